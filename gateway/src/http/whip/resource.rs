//! Changes of a connection by its URL, and its end. Its gateway may be another one.

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::{HttpRequest, HttpResponse, web};

use super::condition::{self, ConditionError};
use super::endpoint::refused;
use super::{ACCEPT_PATCH, FRAGMENT, fragment, part, problem, reply, session_of, told};
use crate::browser::offer::OfferError;
use crate::gateway::{DeleteResource, PatchRefused, PatchResource, Patched, entity_tag};
use crate::http::forward::{Answered, Caller, Change};
use crate::http::gate::Refused;
use crate::http::{HttpState, failed, unless_kind};
use crate::media::refused::OfferRefused;
use crate::media::session_id::SessionId;
use crate::telemetry;

/// The connection that a path names.
struct Named<'a> {
    /// A session's, or a viewer's.
    id: SessionId,
    /// The session that a viewer watches.
    of: Option<SessionId>,
    /// The parts of the path that say so.
    parts: Vec<&'a str>,
}

impl<'a> Named<'a> {
    /// `None`: nobody has such a connection.
    fn by(shared: &HttpState, request: &'a HttpRequest) -> Option<Self> {
        let (view, id) = (part(request, "view"), part(request, "id"));
        let drawn = SessionId::drawn(id)?;
        if view.is_empty() {
            return Some(Self { id: drawn, of: None, parts: vec![id] });
        }
        let session = session_of(&shared.gate.viewed(view)?)?;
        Some(Self { id: drawn, of: Some(session), parts: vec![view, id] })
    }

    /// Whose gateway has it.
    fn session(&self) -> &SessionId {
        self.of.as_ref().unwrap_or(&self.id)
    }
}

/// `PATCH` of a connection: candidates, or an ICE restart.
pub(super) async fn patch(
    shared: web::Data<HttpState>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    told(change(&shared, &request, body).await)
}

/// `DELETE` of a connection. Of ICE sessions it asks nothing, so `If-Match` means nothing here
/// (RFC 9725, section 4.3.1).
pub(super) async fn delete(shared: web::Data<HttpState>, request: HttpRequest) -> HttpResponse {
    told(end(&shared, &request).await)
}

async fn change(
    shared: &HttpState,
    request: &HttpRequest,
    body: web::Bytes,
) -> Result<HttpResponse, Refused> {
    if let Some(mut refusal) = unless_kind(request, FRAGMENT, "a fragment of SDP") {
        let (name, value) = ACCEPT_PATCH;
        refusal.headers_mut().insert(name, value);
        return Err(Box::new(refusal));
    }
    let (change, ignored) = fragment::read(&body).map_err(|error| invalid(error.to_string()))?;
    let condition = condition::of(request.headers()).map_err(|error| match error {
        ConditionError::Missing => {
            let problem = Some(error.to_string());
            Box::new(failed(StatusCode::PRECONDITION_REQUIRED, "precondition_required", problem))
        }
        ConditionError::Malformed => invalid(error.to_string()),
    })?;
    let named = Named::by(shared, request).ok_or_else(|| unknown(shared, request))?;
    let (id, of) = (named.id.clone(), named.of.clone());
    let patch = PatchResource { id, of, condition: condition.clone(), change };
    // An error means that the gateway has stopped.
    match shared.gateway.send(patch).await.unwrap_or(Err(PatchRefused::Unknown)) {
        Ok(Patched::Added) => {
            telemetry::candidates_ignored(ignored);
            Ok(HttpResponse::NoContent().finish())
        }
        Ok(Patched::Restarted(sdp)) => {
            telemetry::offer("renegotiated");
            Ok(reply::restarted(entity_tag(&sdp), fragment::of_answer(&sdp)))
        }
        Err(PatchRefused::Unknown) => {
            let change = Change::Patch { resource: &named.parts, condition: &condition };
            elsewhere(shared, request, &named, change, body).await
        }
        Err(error) => Err(not_changed(error)),
    }
}

async fn end(shared: &HttpState, request: &HttpRequest) -> Result<HttpResponse, Refused> {
    let named = Named::by(shared, request).ok_or_else(|| unknown(shared, request))?;
    let delete = DeleteResource { id: named.id.clone(), of: named.of.clone() };
    if shared.gateway.send(delete).await.unwrap_or(false) {
        return Ok(HttpResponse::Ok().finish());
    }
    let change = Change::Delete { resource: &named.parts };
    elsewhere(shared, request, &named, change, web::Bytes::new()).await
}

/// What another gateway answers. A stranger who guesses is refused before the store is asked.
async fn elsewhere(
    shared: &HttpState,
    request: &HttpRequest,
    named: &Named<'_>,
    change: Change<'_>,
    body: web::Bytes,
) -> Result<HttpResponse, Refused> {
    shared.gate.unless_guessing(request)?;
    let ends = matches!(change, Change::Delete { .. });
    let caller = Caller { address: shared.gate.client(request), token: None };
    let asked = shared.forward.change(request, named.session(), caller, change, body).await;
    if matches!(&asked, Some(Ok(Answered::Refused { status, .. })) if *status == StatusCode::NOT_FOUND)
    {
        shared.gate.guessed(request);
    }
    match relayed(asked)? {
        Some(Answered::Restarted { tag, fragment }) => Ok(reply::restarted(&tag, fragment)),
        Some(Answered::Done) if ends => Ok(HttpResponse::Ok().finish()),
        Some(Answered::Done) => Ok(HttpResponse::NoContent().finish()),
        _ => Err(unknown(shared, request)),
    }
}

/// What another gateway has answered, where that is no refusal.
///
/// # Errors
/// Its refusal, or ours where it does not answer.
pub(super) fn relayed(
    asked: Option<Result<Answered, HttpResponse>>,
) -> Result<Option<Answered>, Refused> {
    match asked.transpose().map_err(Box::new)? {
        Some(Answered::Refused { status, retry_after, problem: theirs }) => {
            let mut response = HttpResponse::build(status);
            if let Some(wait) = retry_after {
                response.insert_header((RETRY_AFTER, wait));
            }
            Err(Box::new(problem::anew(response.finish(), theirs)))
        }
        answered => Ok(answered),
    }
}

/// Counted, so that nobody can try many.
fn unknown(shared: &HttpState, request: &HttpRequest) -> Refused {
    shared.gate.guessed(request);
    let problem = "there is no connection at this URL, or it has ended".to_owned();
    Box::new(failed(StatusCode::NOT_FOUND, "unknown_connection", Some(problem)))
}

fn invalid(problem: String) -> Refused {
    Box::new(failed(StatusCode::BAD_REQUEST, "invalid_request", Some(problem)))
}

/// The connection is as before.
fn not_changed(error: PatchRefused) -> Refused {
    let not_fit = |problem: String| {
        telemetry::offer("invalid");
        Box::new(failed(StatusCode::UNPROCESSABLE_ENTITY, "invalid_offer", Some(problem)))
    };
    match error {
        PatchRefused::Unknown => invalid(String::new()),
        PatchRefused::Stale => {
            let problem = "`If-Match` names another ICE session than the present one: use the \
                           `ETag` of the last answer, or `*` for a restart"
                .to_owned();
            Box::new(failed(StatusCode::PRECONDITION_FAILED, "precondition_failed", Some(problem)))
        }
        PatchRefused::HalfRestart => {
            invalid("an ICE restart needs a new `a=ice-ufrag` as well as a new `a=ice-pwd`".into())
        }
        PatchRefused::Invalid(OfferError::Credential(name, longest)) => {
            invalid(format!("`a={name}` is longer than {longest} bytes"))
        }
        PatchRefused::Invalid(error) => not_fit(error.to_string()),
        PatchRefused::Refused(OfferRefused::Unanswerable(problem)) => not_fit(problem),
        PatchRefused::Refused(error) => refused(error),
    }
}
