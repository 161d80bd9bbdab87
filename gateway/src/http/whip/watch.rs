//! Offers of those who watch somebody's session.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

use super::endpoint::{invalid_offer, offer_of, refused};
use super::reply::Created;
use super::resource::relayed;
use super::{part, session_of, told};
use crate::access::{Grant, SessionClaims};
use crate::browser::offer::Parsed;
use crate::gateway::{Watch, WatchRefused, Watched, entity_tag};
use crate::http::forward::{Answered, Caller, Change};
use crate::http::gate::{Refused, access_token};
use crate::http::{HttpState, failed, stream_of, try_again, unavailable};
use crate::media::refused::OfferRefused;
use crate::media::session_id::SessionId;
use crate::stream::spec::Spec;

/// `POST /whep/VIEW`.
pub(super) async fn watch(
    shared: web::Data<HttpState>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    told(begin(&shared, &request, body).await)
}

async fn begin(
    shared: &HttpState,
    request: &HttpRequest,
    body: web::Bytes,
) -> Result<HttpResponse, Refused> {
    let (gate, text) = (&shared.gate, part(request, "id"));
    let parsed = offer_of(request, &body)?;
    let view = gate.viewed(text).ok_or_else(unknown_view)?;
    if stream_of(request).is_some_and(|stream| stream != view.stream) {
        return Err(unknown_view());
    }
    let session = session_of(&view).ok_or_else(unknown_view)?;
    let grant = gate.watches(request, &view.stream).await?;
    // A broadcast begins when somebody watches it.
    let spec = shared.pool.stream(Some(&view.stream)).filter(|spec| spec.broadcast);
    let watched = match spec {
        Some(spec) if session == SessionId::of_broadcast(&spec.name) => Watched::Broadcast(spec),
        _ => Watched::Session(session, view.nonce),
    };
    // Its session's gateway decides by it too, where tokens decide.
    let token = access_token(request).ok().flatten().filter(|_| gate.decides_by_tokens());
    let endpoint = request.path();
    let viewer = Viewer { endpoint, view: text, watched, grant, token };
    viewer.watch(shared, request, body, parsed).await
}

/// `POST /whep` of a broadcast stream, for one who may open it.
pub(super) async fn broadcast(
    shared: &HttpState,
    request: &HttpRequest,
    body: web::Bytes,
    parsed: Parsed,
    spec: Arc<Spec>,
    grant: Grant,
) -> Result<HttpResponse, Refused> {
    let view = shared.gate.view(&SessionId::of_broadcast(&spec.name), "", &spec.name);
    let endpoint = format!("{}/{view}", request.path());
    let watched = Watched::Broadcast(spec);
    // Its right to open the stream need not be one to watch others' sessions.
    let viewer = Viewer { endpoint: &endpoint, view: &view, watched, grant, token: None };
    viewer.watch(shared, request, body, parsed).await
}

/// One who may watch.
struct Viewer<'a> {
    /// What stands before its id in its connection's path.
    endpoint: &'a str,
    view: &'a str,
    watched: Watched,
    grant: Grant,
    /// What its session's gateway is told of its rights.
    token: Option<&'a str>,
}

impl Viewer<'_> {
    /// Has the session's gateway answer, which may be another one.
    async fn watch(
        self,
        shared: &HttpState,
        request: &HttpRequest,
        body: web::Bytes,
        offer: Parsed,
    ) -> Result<HttpResponse, Refused> {
        let Self { endpoint, view, watched, grant, token } = self;
        let Grant { subject, max_sessions, .. } = grant;
        offer.check_tracks().map_err(|error| invalid_offer(&error))?;
        let (gate, viewer, session) = (&shared.gate, SessionId::draw(), watched.id());
        let watch = Watch {
            watched,
            viewer: viewer.clone(),
            offer,
            codecs: shared.codecs.clone(),
            client: gate.client(request),
            limited: gate.limited(request),
            subject: subject.clone(),
            // Nobody is told: its URL is what such a viewer shows.
            nonce: SessionClaims::new_nonce(),
            max_sessions,
            replaces: None,
            is_resource: true,
        };
        let created = |id: &SessionId, tag: &str, sdp: &str| {
            let subject = subject.as_deref();
            Created { endpoint, id, tag, sdp, subject, view: None }.answer(shared)
        };
        // An error means that the gateway has stopped.
        let watching = shared.gateway.send(watch).await;
        match watching.unwrap_or(Err(WatchRefused::Refused(OfferRefused::Draining))) {
            Ok(sdp) => Ok(created(&viewer, entity_tag(&sdp), &sdp)),
            Err(WatchRefused::UnknownSession) => {
                let caller = Caller { address: gate.client(request), token };
                let change = Change::Watch { view };
                let asked = shared.forward.change(request, &session, caller, change, body).await;
                match relayed(asked)?.ok_or_else(ended)? {
                    Answered::Watching { viewer, tag, sdp } => Ok(created(&viewer, &tag, &sdp)),
                    _ => Err(ended()),
                }
            }
            Err(error) => Err(not_now(error)),
        }
    }
}

fn unknown_view() -> Refused {
    let problem = "nobody has made this link: take `view` of a session's answer, or ask the \
                   operator; all gateways need the same --cluster-key-file";
    Box::new(failed(StatusCode::NOT_FOUND, "unknown_view", Some(problem.to_owned())))
}

fn ended() -> Refused {
    let problem = "the session of this link has ended, or is not known yet".to_owned();
    Box::new(failed(StatusCode::NOT_FOUND, "unknown_connection", Some(problem)))
}

/// Counted by the gateway actor.
fn not_now(error: WatchRefused) -> Refused {
    Box::new(match error {
        WatchRefused::UnknownSession => return ended(),
        WatchRefused::NothingShown => {
            let problem = "this stream shows nothing: its mode is `send`".to_owned();
            failed(StatusCode::NOT_FOUND, "nothing_shown", Some(problem))
        }
        // With `Retry-After`: section 4.3 of the draft.
        WatchRefused::NoPicture => {
            let problem = "this session has no picture yet: try again in a moment";
            try_again(StatusCode::CONFLICT, "no_picture", problem)
        }
        WatchRefused::TooMany(limit) => {
            let problem =
                format!("{limit} watch at this gateway, the most allowed (--max-viewers)");
            unavailable("too_many_viewers", &problem)
        }
        WatchRefused::Offer(error) => return invalid_offer(&error),
        WatchRefused::Refused(error) => return refused(error),
    })
}
