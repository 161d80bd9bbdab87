//! Requests for a session that another gateway has: sent on to that one, and its answer back.
//!
//! > What was forwarded once is not forwarded again: no request goes in circles, whatever the placement store says.
//!
//! First offers are not forwarded: whichever gateway gets one takes the session. Runs on the HTTP threads, never in the gateway
//! actor. There is no queue: a request waits for its own answer, each step of that has a bound, and an event stream is
//! read from its owner as fast as its reader takes it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::TokioExecutor;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tracing::debug;

use super::control::KEEPALIVE;
use super::{MAX_BODY_BYTES, failed, unavailable};
use crate::placement::Placement;
use crate::pool::Pool;
use crate::telemetry;

/// On every forwarded request. One that a client sets costs that client the forwarding, and nobody anything else.
const MARK: &str = "x-reframe-forwarded";
/// What of an answer's head comes back.
const KEPT: [HeaderName; 3] = [CONTENT_TYPE, CACHE_CONTROL, RETRY_AFTER];

/// For the placement store to say who has a session. Over: nobody, as far as we know.
const LOCATE_WITHIN: Duration = Duration::from_secs(1);
/// For a connection to the owner, which is in the same cluster.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// For the owner's whole answer, or the beginning of an event stream. An early candidate's takes a second.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// For the next bytes of an event stream, whose owner gives a sign of life every [`KEEPALIVE`].
const SILENT: Duration = KEEPALIVE.saturating_mul(3);

/// Knows the owners of sessions and asks them.
#[derive(Clone)]
pub(crate) struct Forward {
    placement: Arc<dyn Placement>,
    pool: Pool,
    client: Client<HttpConnector, Full<web::Bytes>>,
}

/// No answer of the owner.
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
}

impl Forward {
    pub(crate) fn new(placement: Arc<dyn Placement>, pool: Pool) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_WITHIN));
        connector.set_nodelay(true);
        // A connection for each request: an idle one is closed by the owner when it likes, and a request that was on its
        // way then is lost.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Self { placement, pool, client }
    }

    /// The answer of the other gateway that has session `id`. `None`: there is none, as far as is known, or this request
    /// has come from one.
    ///
    /// # Cancel safety
    /// Dropped, it closes its connection; the owner may have done what was asked.
    pub(crate) async fn answer(&self, request: &HttpRequest, id: &str, body: web::Bytes) -> Option<HttpResponse> {
        if request.headers().contains_key(MARK) {
            return None;
        }
        let streams: Vec<_> = self.pool.streams().into_keys().collect();
        let owner = timeout(LOCATE_WITHIN, self.placement.locate(id, &streams)).await.ok().flatten()?;
        let answered = timeout(ANSWER_WITHIN, self.send(&owner, request, body)).await;
        let (outcome, response) = match answered.map_err(ForwardError::from).flatten() {
            Ok(response) => ("ok", response),
            Err(error) => {
                // Clients can cause as many as they like: the counter tells operators, not a line each.
                debug!(session = id, owner, error = &error as &dyn std::error::Error, "not forwarded");
                let outcome = if matches!(error, ForwardError::Timeout(_)) { "timeout" } else { "unreachable" };
                let problem = "the server that has this session does not answer; try again, or start a new session";
                (outcome, unavailable("owner_unavailable", problem))
            }
        };
        telemetry::forwarded(outcome);
        Some(response)
    }

    /// As above, or that nobody knows the session.
    pub(crate) async fn or_unknown(&self, request: &HttpRequest, id: &str, body: web::Bytes) -> HttpResponse {
        let answer = self.answer(request, id, body).await;
        answer.unwrap_or_else(|| failed(StatusCode::NOT_FOUND, "unknown_connection", None))
    }

    async fn send(&self, owner: &str, request: &HttpRequest, body: web::Bytes) -> Result<HttpResponse, ForwardError> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let url = format!("{}{path}", owner.trim_end_matches('/'));
        let mut forwarded = Request::builder().method(request.method().as_str()).uri(url).header(MARK, "1");
        if let Some(kind) = request.headers().get(CONTENT_TYPE.as_str()) {
            forwarded = forwarded.header(CONTENT_TYPE, kind.as_bytes());
        }
        let (head, body) = self.client.request(forwarded.body(Full::new(body))?).await?.into_parts();

        // Two versions of the crate `http` meet here: one has what hyper says, the other what actix understands.
        let status = StatusCode::from_u16(head.status.as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
        let mut response = HttpResponse::build(status);
        for name in &KEPT {
            if let Some(value) = head.headers.get(name) {
                response.insert_header((name.as_str(), value.as_bytes()));
            }
        }
        let kind = head.headers.get(CONTENT_TYPE).map_or(&[][..], |kind| kind.as_bytes());
        if kind.starts_with(b"text/event-stream") {
            // An owner that vanished without a word would leave the reader with silence for ever.
            let events = tokio_stream::StreamExt::timeout(body.into_data_stream(), SILENT);
            let events = events.map(|event| event.map_err(io::Error::other)?.map_err(io::Error::other));
            return Ok(response.streaming(events));
        }
        let whole = Limited::new(body, MAX_BODY_BYTES).collect().await.map_err(ForwardError::Broken)?;
        Ok(response.body(whole.to_bytes()))
    }
}

#[cfg(test)]
#[path = "forward_tests.rs"]
mod tests;
