//! Requests for a session that another gateway has: asked of that one, and its answer back.
//!
//! > What was forwarded once is not forwarded again: no request goes in circles, whatever the
//! > placement store says. An attacker who can write to that store chooses an address, and nothing
//! > else: method, path and headers are made here of parts that were checked, and what comes back
//! > is JSON, an event stream or an answer in SDP, or nothing. A client's tokens go there with its
//! > request, the operator's never does. Where certificates are required, the address is that of a
//! > gateway of this cluster.
//!
//! First offers are not forwarded: whichever gateway gets one takes the session. Runs on the HTTP
//! threads, never in the gateway actor. There is no queue: a request waits for its own answer, each
//! step of that has a bound, and an event stream is read from its owner as fast as its reader takes
//! it.

mod whip;

use std::collections::HashMap;
use std::fmt::Write;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use hyper::http::request::Builder;
use hyper::{Method, Request};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::TokioExecutor;
use reframe_tls::{ClusterTls, Role};
use serde::de::IgnoredAny;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tracing::debug;

pub(crate) use self::whip::{Answered, Change};
use super::client_address::CLIENT;
use super::control::KEEPALIVE;
use super::{MAX_BODY_BYTES, failed, stream_of, unavailable};
use crate::media::session_id::SessionId;
use crate::telemetry;
use crate::workers::inside::Connector;
use crate::workers::placement::Placement;
use crate::workers::pool::Pool;

/// Marks every forwarded request. A client that sets it only prevents its own request from being
/// forwarded.
const MARK: &str = "x-reframe-forwarded";

/// Timeout of the placement store for a session's owner. After it, the owner is unknown.
const LOCATE_WITHIN: Duration = Duration::from_secs(1);
/// Timeout of a connection to the owner, which is in the same cluster.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// Timeout of the owner's whole answer, or the beginning of an event stream. The answer to an early
/// candidate takes a second.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Timeout between two chunks of an event stream, whose owner sends a keep-alive every
/// [`KEEPALIVE`].
const SILENT: Duration = KEEPALIVE.saturating_mul(3);

/// Requests that wait for other gateways, and event streams that come from them, each with a
/// connection. Full: 503, as if the owner did not answer (`outcome="full"`).
const AT_ONCE: usize = 256;
/// The longest head of an answer; a gateway sends no longer one.
const HEAD_BYTES: usize = 16 * 1024;
/// The longest wait, in seconds, that an owner may ask of a client.
const MAX_RETRY_AFTER: u32 = 30;

/// Looks up the owners of sessions and sends requests to them.
#[derive(Clone)]
pub(crate) struct Forward {
    placement: Arc<dyn Placement>,
    pool: Pool,
    client: Client<Connector, Full<web::Bytes>>,
    places: Arc<Semaphore>,
}

/// The requests that can be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Signal,
    SetInputs,
    Updates,
    Session,
    CloseSession,
}

/// What the owner is told of the client that asks.
#[derive(Clone, Copy, Default)]
pub(crate) struct Caller<'a> {
    /// For the owner's audit log, and for the service that decides.
    pub(crate) address: Option<IpAddr>,
    /// The client's access token, where the owner decides by it. Not the operator's: no address
    /// that Redis names is told that one.
    pub(crate) token: Option<&'a str>,
}

/// Why the owner gave no answer.
#[derive(Debug, thiserror::Error)]
enum ForwardError {
    #[error("its address makes no URL")]
    Address(#[from] hyper::http::Error),
    #[error("it cannot be reached")]
    Unreachable(#[from] ClientError),
    #[error("its answer broke off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("it did not answer in time")]
    Timeout(#[from] Elapsed),
    #[error("its answer is not one that a gateway gives")]
    Foreign,
    #[error("too many others are asked already")]
    Full,
}

impl Ask {
    fn of(request: &HttpRequest) -> Option<Self> {
        let path = request.path();
        match request.method().as_str() {
            "POST" if path.ends_with("/webrtc/offer") => Some(Self::Signal),
            "POST" if path.ends_with("/input_hook") => Some(Self::SetInputs),
            "GET" if path.ends_with("/updates") => Some(Self::Updates),
            "GET" if path.starts_with("/api/sessions/") => Some(Self::Session),
            "DELETE" if path.starts_with("/api/sessions/") => Some(Self::CloseSession),
            _ => None,
        }
    }

    fn method(self) -> Method {
        match self {
            Self::Signal | Self::SetInputs => Method::POST,
            Self::Updates | Self::Session => Method::GET,
            Self::CloseSession => Method::DELETE,
        }
    }

    /// The target's path for session `id`; `stream` is the one in the client's path, and
    /// `session_token` is in its query.
    fn path(self, stream: Option<&str>, id: &SessionId, session_token: Option<&str>) -> String {
        match (self, stream) {
            (Self::Signal, None) => "/webrtc/offer".to_owned(),
            (Self::Signal, Some(stream)) => format!("/{}/webrtc/offer", encoded(stream)),
            (Self::SetInputs, _) => "/input_hook".to_owned(),
            (Self::Updates, _) => match session_token {
                Some(token) => {
                    let (id, token) = (encoded(id.as_str()), encoded(token));
                    format!("/updates?webrtc_id={id}&session_token={token}")
                }
                None => format!("/updates?webrtc_id={}", encoded(id.as_str())),
            },
            (Self::Session | Self::CloseSession, _) => {
                format!("/api/sessions/{}", encoded(id.as_str()))
            }
        }
    }
}

/// The token in the query of a request for updates; that in a body is passed on with it.
fn session_token(request: &HttpRequest) -> Option<String> {
    let query = web::Query::<HashMap<String, String>>::from_query(request.query_string()).ok()?;
    query.into_inner().remove("session_token")
}

/// Percent-encodes one part of a path or a query (RFC 3986, 2.1 and 2.3).
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes any text");
        }
    }
    encoded
}

impl Forward {
    pub(crate) fn new(
        placement: Arc<dyn Placement>,
        pool: Pool,
        tls: Option<Arc<ClusterTls>>,
    ) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT_WITHIN));
        let connector = Connector::new(Role::Gateway, tls, tcp);
        // A new connection for each request: the owner may close an idle one at any time, and a
        // request in flight would be lost.
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .http1_max_buf_size(HEAD_BYTES)
            .build(connector);
        Self { placement, pool, client, places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// The answer of the other gateway that has session `id`. `None`: no other gateway is known to
    /// have it, or this request was already forwarded.
    ///
    /// # Cancel safety
    /// When dropped, it closes its connection; the owner may already have processed the request.
    pub(crate) async fn answer(
        &self,
        request: &HttpRequest,
        id: &SessionId,
        caller: Caller<'_>,
        body: web::Bytes,
    ) -> Option<HttpResponse> {
        let ask = Ask::of(request)?;
        let session_token = session_token(request);
        let path = ask.path(stream_of(request).as_deref(), id, session_token.as_deref());
        let asked = |owner| self.send(owner, ask, path, caller, body);
        let answered = self.to_owner(request, id, asked).await?;
        Some(answered.unwrap_or_else(|unavailable| unavailable))
    }

    /// Asks the other gateway that has session `id`. `None`: no other gateway is known to have it,
    /// or this request was already forwarded. An error is the answer that says that the owner gives
    /// none.
    async fn to_owner<T, F>(
        &self,
        request: &HttpRequest,
        id: &SessionId,
        ask: impl FnOnce(SocketAddr) -> F,
    ) -> Option<Result<T, HttpResponse>>
    where
        F: Future<Output = Result<T, ForwardError>>,
    {
        if request.headers().contains_key(MARK) {
            return None;
        }
        let streams: Vec<_> = self.pool.streams().into_keys().collect();
        let owner =
            timeout(LOCATE_WITHIN, self.placement.locate(id, &streams)).await.ok().flatten()?;
        let answered = timeout(ANSWER_WITHIN, ask(owner)).await;
        let (outcome, answer) = match answered.map_err(ForwardError::from).flatten() {
            Ok(answer) => ("ok", Ok(answer)),
            Err(error) => {
                // Clients can cause any number of these: operators see the counter, not a line
                // each.
                debug!(session = id.digest(), %owner, error = &error as &dyn std::error::Error, "not forwarded");
                let outcome = match error {
                    ForwardError::Timeout(_) => "timeout",
                    ForwardError::Foreign => "foreign",
                    ForwardError::Full => "full",
                    _ => "unreachable",
                };
                let problem = "the server that has this session does not answer; try again, or \
                               start a new session";
                (outcome, Err(unavailable("owner_unavailable", problem)))
            }
        };
        telemetry::forwarded(outcome);
        Some(answer)
    }

    /// As above, or the session's owner is unknown.
    pub(crate) async fn or_unknown(
        &self,
        request: &HttpRequest,
        id: &SessionId,
        caller: Caller<'_>,
        body: web::Bytes,
    ) -> HttpResponse {
        let answer = self.answer(request, id, caller, body).await;
        answer.unwrap_or_else(|| failed(StatusCode::NOT_FOUND, "unknown_connection", None))
    }

    async fn send(
        &self,
        owner: SocketAddr,
        ask: Ask,
        path: String,
        caller: Caller<'_>,
        body: web::Bytes,
    ) -> Result<HttpResponse, ForwardError> {
        let place = self.place()?;
        let request = request_to(owner, ask.method(), &path, caller);
        let request = if ask.method() == Method::POST {
            request.header(CONTENT_TYPE, "application/json").body(Full::new(body))?
        } else {
            request.body(Full::default())?
        };
        // This client does not follow redirects.
        let (head, body) = self.client.request(request).await?.into_parts();
        let status = head.status.as_u16();
        if !(status == 200 || is_refusal(status)) {
            return Err(ForwardError::Foreign);
        }
        // Two versions of the crate `http` meet here: hyper's and actix'.
        let mut response =
            HttpResponse::build(StatusCode::from_u16(status).map_err(|_| ForwardError::Foreign)?);
        if let Some(wait) = retry_after(&head.headers) {
            response.insert_header((RETRY_AFTER.as_str(), wait));
        }
        match kind(&head.headers) {
            Some("text/event-stream") if ask == Ask::Updates && status == 200 => {
                Ok(events(response, body.into_data_stream(), place))
            }
            Some("application/json") => {
                let whole = whole(body).await?;
                serde_json::from_slice::<IgnoredAny>(&whole).map_err(|_| ForwardError::Foreign)?;
                Ok(response.content_type("application/json").body(whole))
            }
            _ => Err(ForwardError::Foreign),
        }
    }
}

impl Forward {
    /// One of those that may wait for other gateways.
    fn place(&self) -> Result<OwnedSemaphorePermit, ForwardError> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| ForwardError::Full)
    }
}

/// The head of a request.
fn request_to(owner: SocketAddr, method: Method, path: &str, caller: Caller<'_>) -> Builder {
    let uri = format!("http://{owner}{path}");
    let mut request = Request::builder().method(method).uri(uri).header(MARK, "1");
    if let Some(address) = caller.address {
        request = request.header(CLIENT, address.to_string());
    }
    if let Some(token) = caller.token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    request
}

fn is_refusal(status: u16) -> bool {
    (400..500).contains(&status) || status == 503
}

fn retry_after(headers: &HeaderMap) -> Option<u32> {
    let wait: u32 = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(wait.min(MAX_RETRY_AFTER))
}

/// The content type, without its parameters.
fn kind(headers: &HeaderMap) -> Option<&str> {
    headers.get(CONTENT_TYPE)?.to_str().ok()?.split(';').next().map(str::trim)
}

async fn whole(body: Incoming) -> Result<web::Bytes, ForwardError> {
    let whole = Limited::new(body, MAX_BODY_BYTES).collect().await;
    Ok(whole.map_err(ForwardError::Broken)?.to_bytes())
}

/// Streams the owner's events; `place` is freed when they end.
fn events<E>(
    mut response: actix_web::HttpResponseBuilder,
    events: impl futures_util::Stream<Item = Result<web::Bytes, E>> + 'static,
    place: OwnedSemaphorePermit,
) -> HttpResponse
where
    E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
{
    // Otherwise an owner that vanished silently would leave the reader waiting for ever.
    let events = tokio_stream::StreamExt::timeout(events, SILENT);
    let events = events.map(move |event| {
        let _place = &place;
        event.map_err(io::Error::other)?.map_err(io::Error::other)
    });
    response
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL.as_str(), "no-store"))
        .streaming(events)
}

#[cfg(test)]
#[path = "forward_tests.rs"]
mod tests;
