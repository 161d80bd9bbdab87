//! Offers that begin a session: of a client that sends video to a stream, or that is shown a
//! generator.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use reframe_trace::STRANGER;
use serde_json::Map;
use tracing::info;

use super::reply::Created;
use super::{ACCEPT_POST, SDP, is_malformed, told, watch};
use crate::access::Action;
use crate::browser::offer::{self, OfferError, Parsed};
use crate::gateway::entity_tag;
use crate::http::gate::{Refused, now};
use crate::http::offer::{Beginning, no_stream, open, refusal};
use crate::http::{HttpState, failed, invalid_input, stream_of, unavailable, unless_kind};
use crate::media::refused::OfferRefused;
use crate::media::session_id::SessionId;
use crate::stream::spec::Mode;
use crate::telemetry;

/// `POST /whip`.
pub(super) async fn ingest(
    shared: web::Data<HttpState>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    told(begin(&shared, &request, body, Mode::Send).await)
}

/// `POST /whep`.
pub(super) async fn play(
    shared: web::Data<HttpState>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    told(begin(&shared, &request, body, Mode::Receive).await)
}

/// `way`: of the video, from the client's side. A client of WHIP sends also where the stream's
/// pictures come back: they are for those who watch.
async fn begin(
    shared: &HttpState,
    request: &HttpRequest,
    body: web::Bytes,
    way: Mode,
) -> Result<HttpResponse, Refused> {
    let parsed = offer_of(request, &body)?;
    let stream = stream_of(request);
    let Some(spec) = shared.pool.stream(stream.as_deref()) else {
        return Err(Box::new(no_stream(shared, request, stream).await));
    };
    let grant = shared.gate.allows(request, Action::Open, &spec.name).await?;
    if (way == Mode::Receive) != (spec.mode == Mode::Receive) {
        return Err(Box::new(wrong_mode(way)));
    }
    if spec.broadcast {
        return watch::broadcast(shared, request, body, parsed, spec, grant).await;
    }
    let offer = parsed.check_tracks().and_then(|()| parsed.negotiate(way, &shared.codecs));
    let offer = offer.map_err(|error| invalid_offer(&error))?;
    let (id, subject) = (SessionId::draw(), grant.subject.clone());
    let shown = (spec.mode != Mode::Send).then(|| spec.name.clone());
    let beginning = Beginning {
        spec,
        outdated: false,
        id: id.clone(),
        offer,
        inputs: Map::new(),
        grant,
        opened: now(),
        replaces: None,
        resource: Some(parsed),
    };
    let opened = open(shared, request, beginning).await;
    // What the stream wants of its inputs, no client of WHIP can say: its token does.
    let (answered, claims) = opened.map_err(|error| Box::new(invalid_input(&error)))?;
    let sdp = answered.map_err(refused)?;
    telemetry::offer("answered");
    let tag = entity_tag(&sdp);
    let (endpoint, subject) = (request.path(), subject.as_deref());
    let view = shown.map(|stream| shared.gate.view(&id, &claims.nonce, &stream));
    let created = Created { endpoint, id: &id, tag, sdp: &sdp, subject, view };
    Ok(created.answer(shared))
}

/// Reads the offer in a body.
///
/// # Errors
/// The body is not an offer.
pub(super) fn offer_of(request: &HttpRequest, body: &[u8]) -> Result<Parsed, Refused> {
    if let Some(mut refusal) = unless_kind(request, SDP, "SDP") {
        let (name, value) = ACCEPT_POST;
        refusal.headers_mut().insert(name, value);
        return Err(Box::new(refusal));
    }
    let Ok(text) = std::str::from_utf8(body) else {
        telemetry::offer("malformed");
        let problem = Some("the body is not UTF-8".to_owned());
        return Err(Box::new(failed(StatusCode::BAD_REQUEST, "invalid_offer", problem)));
    };
    offer::parse(text.to_owned()).map_err(|error| invalid_offer(&error))
}

pub(super) fn invalid_offer(problem: &OfferError) -> Refused {
    info!(target: STRANGER, %problem, "offer refused");
    telemetry::offer("invalid");
    let text = Some(problem.to_string());
    Box::new(if is_malformed(problem) {
        failed(StatusCode::BAD_REQUEST, "invalid_offer", text)
    } else {
        failed(StatusCode::UNPROCESSABLE_ENTITY, "invalid_offer", text)
    })
}

/// The endpoint is of another protocol than the stream's mode: there is nothing here.
fn wrong_mode(way: Mode) -> HttpResponse {
    telemetry::offer("invalid");
    let problem = match way {
        Mode::Receive => {
            "this stream wants video: send it to `/whip` of the stream; to watch somebody's \
             session, post to its link, `/whep/VIEW`"
        }
        _ => "this stream takes no video: be shown it by `/whep` of the stream",
    };
    failed(StatusCode::NOT_FOUND, "wrong_mode", Some(problem.to_owned()))
}

/// Why the gateway takes no session now; counted.
pub(super) fn refused(refused: OfferRefused) -> Refused {
    let (outcome, response) = match refused {
        OfferRefused::Full(limit) => {
            let problem = format!("all {limit} places are taken: try again later");
            ("full", unavailable(refused.error(), &problem))
        }
        // The id was drawn: it is one that we have drawn before.
        OfferRefused::AlreadyExists => ("exists", unavailable("busy", "try again")),
        refused => refusal(refused),
    };
    telemetry::offer(outcome);
    Box::new(response)
}
