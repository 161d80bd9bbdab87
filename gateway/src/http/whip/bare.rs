//! What paths take beside what they are for. They have no representation, so GET has an answer
//! without content (RFC 9725, section 4.1).

use actix_web::http::Method;
use actix_web::http::header::ALLOW;
use actix_web::{HttpRequest, HttpResponse, web};

use super::{ACCEPT_PATCH, ACCEPT_POST, SDP, part, problem, reply};
use crate::access::{Action, Grant};
use crate::http::{HttpState, not_allowed, stream_of};

/// What a path is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Endpoint,
    /// The link to a session, or the connection of a session's own client.
    View,
    Connection,
}

impl Place {
    fn allowed(self) -> &'static str {
        match self {
            Self::Endpoint => "GET, HEAD, OPTIONS, POST",
            Self::View => "GET, HEAD, OPTIONS, POST, PATCH, DELETE",
            Self::Connection => "GET, HEAD, OPTIONS, PATCH, DELETE",
        }
    }
}

pub(super) async fn endpoint(shared: web::Data<HttpState>, request: HttpRequest) -> HttpResponse {
    answer(&shared, &request, Place::Endpoint).await
}

pub(super) async fn view(shared: web::Data<HttpState>, request: HttpRequest) -> HttpResponse {
    answer(&shared, &request, Place::View).await
}

pub(super) async fn connection(shared: web::Data<HttpState>, request: HttpRequest) -> HttpResponse {
    answer(&shared, &request, Place::Connection).await
}

async fn answer(shared: &HttpState, request: &HttpRequest, place: Place) -> HttpResponse {
    let mut answer = match *request.method() {
        // A player may ask by it whether this is an endpoint (the draft, section 4.2).
        Method::GET | Method::HEAD if place != Place::Connection => {
            let mut answer = HttpResponse::Ok();
            answer.content_type(SDP);
            return answer.finish();
        }
        Method::GET | Method::HEAD => return HttpResponse::NoContent().finish(),
        Method::OPTIONS => HttpResponse::Ok(),
        _ => return problem(not_allowed(place.allowed())),
    };
    answer.insert_header((ALLOW, place.allowed()));
    if place != Place::Connection {
        answer.insert_header(ACCEPT_POST);
        // Some clients take STUN and TURN servers only before they offer.
        if let Some(grant) = grant(shared, request, place).await {
            reply::add_ice_servers(&mut answer, shared, grant.subject.as_deref());
        }
    }
    if place != Place::Endpoint {
        answer.insert_header(ACCEPT_PATCH);
    }
    answer.finish()
}

/// The rights of one who may post here.
async fn grant(shared: &HttpState, request: &HttpRequest, place: Place) -> Option<Grant> {
    if !shared.gate.may_ask(request) {
        return None;
    }
    match place {
        Place::View => {
            let view = shared.gate.viewed(part(request, "id"))?;
            shared.gate.watches(request, &view.stream).await.ok()
        }
        _ => {
            let spec = shared.pool.stream(stream_of(request).as_deref())?;
            shared.gate.allows(request, Action::Open, &spec.name).await.ok()
        }
    }
}
