//! An offer: of a session that runs, or of a new one.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use reframe_trace::STRANGER;
use serde_json::{Map, Value, json};
use tracing::info;

use super::forward::Caller;
use super::gate::now;
use super::{HttpState, failed, invalid_input, invalid_request, stream_of, try_again, unavailable};
use crate::access::{Action, Grant, SessionClaims};
use crate::browser::offer::{self, OfferError};
use crate::gateway::{Renegotiate, StartSession, Watch, WatchRefused, Watched};
use crate::media::refused::OfferRefused;
use crate::media::session_id::SessionId;
use crate::stream::inputs::{self, InputError};
use crate::stream::live_session::Owner;
use crate::stream::spec::{Mode, Spec};
use crate::telemetry;

pub(super) struct Offered {
    pub(super) id: SessionId,
    pub(super) sdp: String,
    /// The inputs that the person set before pressing Start.
    pub(super) inputs: Map<String, Value>,
    /// The declaration that the client was made for, by its digest; `None`: the newest.
    pub(super) declaration: Option<String>,
    /// Only for a running session.
    pub(super) renegotiate: bool,
    /// The token of this session, or of the one whose place it takes.
    pub(super) token: Option<String>,
}

/// No resources are taken before all checks have passed.
pub(super) async fn answer(
    shared: &HttpState,
    request: &HttpRequest,
    body: web::Bytes,
    offered: Offered,
) -> HttpResponse {
    let Offered { id, sdp, inputs, declaration, renegotiate, token } = offered;
    let gate = &shared.gate;
    let takes_ids = gate.takes_ids(request, token.as_deref());
    if let Err(problem) = gate.check_id_length(&id) {
        return invalid_request(problem);
    }
    // One that another gateway's key signed is no obstacle for a client that may open a session
    // anyway.
    let claims = token.and_then(|token| gate.claims(&token).ok());
    let nonce = claims.as_ref().filter(|claims| claims.sid == id.as_str());
    let nonce = nonce.map(|claims| claims.nonce.clone());
    // Whether it shows what a further offer of a session needs.
    let shows_token = nonce.is_some();
    let owns = shows_token || takes_ids;
    let stream = stream_of(request);
    let broadcast = shared.pool.stream(stream.as_deref()).is_some_and(|spec| spec.broadcast);
    let mut sdp = Sdp::Text(sdp);
    // The gateway that forwards an offer to a broadcast has not looked whose id it has.
    if owns && (shows_token || !broadcast || !gate.is_for_peers()) {
        let parsed = match sdp.parsed() {
            Ok(parsed) => parsed,
            Err(problem) => return invalid_offer(&id, &problem),
        };
        let further = Renegotiate { id: id.clone(), offer: parsed.clone(), nonce };
        // An error means that the gateway has stopped.
        if let Ok(Some(answered)) = shared.gateway.send(further).await {
            return conclude(answered.map(|sdp| (sdp, "renegotiated")), None);
        }
        sdp = Sdp::Parsed(Box::new(parsed));
    }
    if gate.is_for_peers() && !broadcast {
        // What is forwarded is of a session that ran a moment ago; none begins here. But for the
        // viewers of a broadcast, which is here.
        return failed(StatusCode::OK, "unknown_connection", None);
    }
    if renegotiate {
        if !shows_token && let Err(refused) = gate.credential(request, &id, None, None).await {
            return *refused;
        }
        // The session may be at another gateway. A new session would be useless to a browser that
        // has a connection.
        let caller = Caller { address: gate.client(request), token: None };
        let owned = shared.located_by(stream.as_deref(), &id);
        let answer = shared.forward.answer(request, &owned, caller, body).await;
        return answer.unwrap_or_else(|| {
            gate.wrong_id(request);
            failed(StatusCode::OK, "unknown_connection", None)
        });
    }
    begin(shared, request, body, New { id, sdp, inputs, declaration, claims, owns }).await
}

/// An offer that is read when it is clear that it may be made.
enum Sdp {
    Text(String),
    Parsed(Box<offer::Parsed>),
}

impl Sdp {
    fn parsed(self) -> Result<offer::Parsed, OfferError> {
        match self {
            Self::Text(text) => offer::parse(text),
            Self::Parsed(parsed) => Ok(*parsed),
        }
    }
}

/// An offer that no session of this gateway was offered with before.
struct New {
    id: SessionId,
    sdp: Sdp,
    inputs: Map<String, Value>,
    declaration: Option<String>,
    /// Of the session whose place it takes.
    claims: Option<SessionClaims>,
    /// It has shown what a further offer needs.
    owns: bool,
}

async fn begin(
    shared: &HttpState,
    request: &HttpRequest,
    body: web::Bytes,
    New { id, sdp, mut inputs, declaration, claims, owns }: New,
) -> HttpResponse {
    let (gate, now) = (&shared.gate, now());
    let stream = stream_of(request);
    let Some(spec) = shared.pool.stream(stream.as_deref()) else {
        return no_stream(shared, request, stream).await;
    };
    let claims = claims.filter(|claims| claims.reopens(now) && claims.stream == spec.name);
    let replaces = claims.as_ref().map(|claims| claims.sid.clone());
    let opened = claims.as_ref().map_or(now, |claims| claims.opened);
    let granted = match claims {
        Some(claims) => Ok(Grant::from_session(claims)),
        None => gate.allows(request, Action::Open, &spec.name).await,
    };
    let grant = match granted {
        Ok(grant) => grant,
        Err(refused) => return *refused,
    };
    if spec.broadcast {
        let parsed = match sdp.parsed() {
            Ok(parsed) => parsed,
            Err(problem) => return invalid_offer(&id, &problem),
        };
        return watch(shared, request, body, Viewer { id, spec, parsed, grant, opened, replaces })
            .await;
    }
    let parsed = sdp.parsed().and_then(|parsed| parsed.negotiate(spec.mode, &shared.codecs));
    let offer = match parsed {
        Ok(offer) => offer,
        Err(problem) => return invalid_offer(&id, &problem),
    };
    // A page that was opened, or a session that began, under another declaration goes on with what
    // fits this one, and is told this one.
    let outdated = declaration.is_some_and(|known| known != spec.digest());
    if outdated {
        inputs.retain(|name, value| inputs::fits(&spec.inputs, name, value));
    }
    let watched = (spec.mode != Mode::Send).then(|| spec.name.clone());
    let resource = None;
    let beginning = Beginning {
        spec,
        outdated,
        id: id.clone(),
        offer,
        inputs,
        grant,
        opened,
        replaces,
        resource,
    };
    let (answered, claims) = match open(shared, request, beginning).await {
        Ok(opened) => opened,
        Err(error) => return invalid_input(&error),
    };
    if matches!(answered, Err(OfferRefused::AlreadyExists)) {
        // The session may be at another gateway, and this is a renegotiation.
        let caller = Caller { address: gate.client(request), token: None };
        if owns && let Some(answer) = shared.forward.answer(request, &id, caller, body).await {
            return answer;
        }
        // It tells that there is one.
        gate.wrong_id(request);
    }
    let begun = answered.is_ok().then(|| Begun {
        token: gate.sign(&claims),
        view: watched.map(|stream| gate.view(&id, &claims.nonce, &stream)),
    });
    conclude(answered.map(|sdp| (sdp, "answered")), begun)
}

/// A session that may begin, whichever protocol its client speaks.
pub(super) struct Beginning {
    pub(super) spec: Arc<Spec>,
    /// Its client was made for another declaration.
    pub(super) outdated: bool,
    pub(super) id: SessionId,
    pub(super) offer: offer::Offer,
    /// What the client has set.
    pub(super) inputs: Map<String, Value>,
    pub(super) grant: Grant,
    /// When its access token was shown, in seconds since 1970.
    pub(super) opened: u64,
    /// The id of the session whose place it takes.
    pub(super) replaces: Option<String>,
    /// See [`StartSession::resource`].
    pub(super) resource: Option<offer::Parsed>,
}

/// Has the gateway answer. Gives the claims of the session's token beside the answer.
///
/// # Errors
/// The inputs are not valid; counted.
pub(super) async fn open(
    shared: &HttpState,
    request: &HttpRequest,
    beginning: Beginning,
) -> Result<(Result<String, OfferRefused>, SessionClaims), InputError> {
    let Beginning { spec, outdated, id, offer, inputs, grant, opened, replaces, resource } =
        beginning;
    let fixed: Vec<String> = grant.inputs.keys().cloned().collect();
    let checked = inputs::unless_fixed(&fixed, &inputs).and_then(|()| {
        let all = inputs.into_iter().chain(grant.inputs.clone()).collect();
        inputs::check(&spec.inputs, &all)
    });
    let inputs = checked.inspect_err(|problem| {
        info!(target: STRANGER, session = id.digest(), %problem, "offer refused");
        telemetry::offer("invalid");
    })?;
    let (client, limited) = (shared.gate.client(request), shared.gate.limited(request));
    let claims = SessionClaims::new(id.as_str(), &spec.name, &grant, opened);
    let owner = Owner { subject: grant.subject, nonce: claims.nonce.clone(), fixed };
    let max_sessions = grant.max_sessions;
    let start = StartSession {
        spec,
        outdated,
        id,
        client,
        limited,
        offer,
        inputs,
        owner,
        max_sessions,
        replaces,
        resource,
    };
    // An error means that the gateway has stopped.
    let answered = shared.gateway.send(start).await.unwrap_or(Err(OfferRefused::Draining));
    Ok((answered, claims))
}

/// What the answer to a session's first offer tells beside.
struct Begun {
    token: String,
    /// What stands for it in a link to watch it.
    view: Option<String>,
}

/// Who opens a broadcast stream.
struct Viewer {
    id: SessionId,
    spec: Arc<Spec>,
    parsed: offer::Parsed,
    grant: Grant,
    opened: u64,
    replaces: Option<String>,
}

/// Shows the broadcast's session, here or at the gateway that has it.
async fn watch(
    shared: &HttpState,
    request: &HttpRequest,
    body: web::Bytes,
    Viewer { id, spec, parsed, grant, opened, replaces }: Viewer,
) -> HttpResponse {
    let (gate, watched) = (&shared.gate, SessionId::of_broadcast(&spec.name));
    let view = gate.view(&watched, "", &spec.name);
    let claims = SessionClaims::new(id.as_str(), &spec.name, &grant, opened);
    let client = gate.client(request);
    let watch = Watch {
        watched: Watched::Broadcast(spec),
        viewer: id.clone(),
        offer: parsed,
        codecs: shared.codecs.clone(),
        client,
        limited: gate.limited(request),
        subject: grant.subject,
        max_sessions: claims.max_sessions,
        replaces,
        nonce: claims.nonce.clone(),
        is_resource: false,
    };
    let begun = Begun { token: gate.sign(&claims), view: Some(view) };
    // An error means that the gateway has stopped.
    let stopped = Err(WatchRefused::Refused(OfferRefused::Draining));
    let refused = match shared.gateway.send(watch).await.unwrap_or(stopped) {
        Ok(sdp) => return conclude(Ok((sdp, "answered")), Some(begun)),
        Err(WatchRefused::UnknownSession) => {
            let caller = Caller { address: client, token: None };
            let answer = shared.forward.answer(request, &watched, caller, body).await;
            return answer.unwrap_or_else(|| conclude(Err(OfferRefused::NoWorker), None));
        }
        Err(WatchRefused::Offer(problem)) => return invalid_offer(&id, &problem),
        Err(WatchRefused::Refused(refused)) => refused,
        Err(WatchRefused::TooMany(limit)) => OfferRefused::Full(limit),
        // It has just begun, and its gateway is still asking for its place.
        Err(WatchRefused::NoPicture | WatchRefused::NothingShown) => OfferRefused::Busy,
    };
    conclude(Err(refused), None)
}

fn invalid_offer(id: &SessionId, problem: &OfferError) -> HttpResponse {
    info!(target: STRANGER, session = id.digest(), %problem, "offer refused");
    telemetry::offer("invalid");
    failed(StatusCode::BAD_REQUEST, "invalid_offer", Some(problem.to_string()))
}

/// `begun`: of a session that has just begun.
fn conclude(
    answered: Result<(String, &'static str), OfferRefused>,
    begun: Option<Begun>,
) -> HttpResponse {
    let (outcome, response) = match answered {
        Ok((sdp, outcome)) => {
            let mut answer = json!({ "type": "answer", "sdp": sdp });
            if let Some(Begun { token, view }) = begun {
                answer["session_token"] = token.into();
                if let Some(view) = view {
                    answer["view"] = view.into();
                }
            }
            (outcome, HttpResponse::Ok().json(answer))
        }
        Err(refused) => refusal(refused),
    };
    telemetry::offer(outcome);
    response
}

/// The label `outcome`, and the answer.
pub(super) fn refusal(refused: OfferRefused) -> (&'static str, HttpResponse) {
    let error = refused.error();
    let busy = |problem| (error, unavailable(error, problem));
    match refused {
        OfferRefused::AlreadyExists => ("exists", failed(StatusCode::OK, error, None)),
        OfferRefused::Full(limit) => {
            let meta = json!({ "error": error, "limit": limit });
            ("full", HttpResponse::Ok().json(json!({ "status": "failed", "meta": meta })))
        }
        OfferRefused::Client(limit) => {
            telemetry::client_limited(limit.label());
            (error, try_again(StatusCode::TOO_MANY_REQUESTS, error, &limit.in_words()))
        }
        OfferRefused::NoWorker => busy("no worker serves this stream right now"),
        OfferRefused::Overloaded => busy("this server is busy right now"),
        OfferRefused::Draining => busy("this server is stopping"),
        OfferRefused::Busy => {
            busy("this session has offered too often, or too many offers are being answered")
        }
        OfferRefused::NoCodec => busy("a codec could not be started"),
        OfferRefused::RateLimited => {
            let problem = "too many new sessions from your network lately; behind a proxy that serves many people, the \
                           server needs --trusted-proxies";
            (error, try_again(StatusCode::TOO_MANY_REQUESTS, error, problem))
        }
        OfferRefused::Unanswerable(problem) => {
            ("invalid", failed(StatusCode::BAD_REQUEST, error, Some(problem)))
        }
    }
}

/// No stream has this name or, without a name, the root has none.
pub(super) async fn no_stream(
    shared: &HttpState,
    request: &HttpRequest,
    stream: Option<String>,
) -> HttpResponse {
    let known = shared.pool.streams();
    let visible = match shared.gate.visible(request, known.keys().cloned()).await {
        Ok(visible) => visible,
        Err(refused) => return *refused,
    };
    if known.is_empty() {
        telemetry::offer("no_worker");
        return unavailable("no_worker", "no worker serves this stream right now");
    }
    telemetry::offer("invalid");
    let names = visible.into_keys().collect::<Vec<_>>().join(", ");
    let problem = match stream {
        Some(_) => format!("no stream has this name; there are {names}"),
        None => format!(
            "this server has several streams: the path must begin with /NAME, one of {names}"
        ),
    };
    failed(StatusCode::NOT_FOUND, "unknown_stream", Some(problem))
}
