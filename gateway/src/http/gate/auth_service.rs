//! `--auth http`: a service of the operator's decides, as MediaMTX' `authHTTPAddress`.
//!
//! It is sent `{"ip", "action", "stream", "token"}` and answers 200 to 299 where that is allowed;
//! its body may say `{"subject", "max_sessions", "inputs"}`. Any other status refuses. One that
//! does not answer refuses too, with 503: nobody is let in because a service is down.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use parking_lot::Mutex;
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::decisions::{Decision, Decisions, Found, Question};
use super::http_client::{HttpClient, HttpClientError};
use crate::access::{Action, Grant, is_subject};
use crate::shares::Rates;

/// Questions of one client network in a row, with five a second on average: its people open a page
/// together, which asks about each stream. It bounds what one network takes of the places of all.
const BURST: u32 = 64;
/// See [`BURST`].
const EVERY: Duration = Duration::from_millis(200);
/// The most that it may fix, in bytes of JSON: the session's token carries it.
const MAX_INPUTS: usize = 2_048;

/// Asks, and remembers for a while.
pub(crate) struct AuthService {
    client: HttpClient,
    url: Uri,
    decisions: Arc<Decisions>,
    /// Questions of each client network that were not remembered.
    rates: Mutex<Rates>,
}

#[derive(Deserialize)]
struct Answer {
    subject: Option<String>,
    max_sessions: Option<u32>,
    #[serde(default)]
    inputs: Map<String, Value>,
}

/// Why there is no decision. The text is for the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthServiceError {
    /// The client's network has asked too often; the service was not.
    #[error("too many questions of one client network")]
    Often,
    #[error(transparent)]
    HttpClient(#[from] HttpClientError),
    #[error("its answer is not as documented: {0}")]
    Answer(String),
    #[error("this gateway stopped before the answer came")]
    Dropped,
}

impl AuthService {
    pub(crate) fn new(client: HttpClient, url: Uri) -> Self {
        let rates = Mutex::new(Rates::new(BURST, EVERY));
        Self { client, url, decisions: Arc::default(), rates }
    }

    /// The rights of the client, for one action with one stream; `None`: it is refused. A question
    /// that is being asked already is not asked again.
    ///
    /// # Errors
    /// The service gives no answer.
    ///
    /// # Cancel safety
    /// When dropped, the question goes on, for those who wait for its answer and for the next.
    pub(crate) async fn ask(
        &self,
        now: Instant,
        ip: Option<IpAddr>,
        action: Action,
        stream: &str,
        token: Option<&str>,
    ) -> Decision {
        let body = json!({ "ip": ip, "action": action, "stream": stream, "token": token });
        let body = body.to_string();
        let question: Question =
            digest(&SHA256, body.as_bytes()).as_ref().try_into().expect("it has 32 bytes");
        let waiting = match self.decisions.find(now, question) {
            Found::Decided(decision) => return Ok(decision),
            Found::Asked(waiting) => waiting,
            Found::New(asking) => {
                let waiting = asking.waiting();
                if ip.is_some_and(|ip| !self.rates.lock().take(now, ip)) {
                    asking.answered(Err(Arc::new(AuthServiceError::Often)));
                } else {
                    let (client, url, stream) =
                        (self.client.clone(), self.url.clone(), stream.to_owned());
                    tokio::spawn(async move {
                        let decided = decide(&client, &url, action, &stream, body).await;
                        asking.answered(decided.map_err(Arc::new));
                    });
                }
                waiting
            }
        };
        waiting.decision().await
    }
}

async fn decide(
    client: &HttpClient,
    url: &Uri,
    action: Action,
    stream: &str,
    question: String,
) -> Result<Option<Grant>, AuthServiceError> {
    match client.ask(url, Some(question)).await? {
        (200..=299, body) => {
            granted(action, stream, &body).map(Some).map_err(AuthServiceError::Answer)
        }
        _ => Ok(None),
    }
}

fn granted(action: Action, stream: &str, body: &[u8]) -> Result<Grant, String> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Grant::one(None, action, stream, None, Map::new()));
    }
    let Answer { subject, max_sessions, inputs } =
        serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if subject.is_none() && max_sessions.is_some() {
        return Err("`max_sessions` needs a `subject`, whose sessions are counted".to_owned());
    }
    if serde_json::to_string(&inputs).is_ok_and(|text| text.len() > MAX_INPUTS) {
        return Err(format!("`inputs` has more than {MAX_INPUTS} bytes"));
    }
    if subject.as_deref().is_some_and(|subject| !is_subject(subject)) {
        return Err("`subject` is empty, too long, or has controls".to_owned());
    }
    Ok(Grant::one(subject, action, stream, max_sessions, inputs))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A connection on which the whole question has come.
    async fn asked(service: &TcpListener) -> TcpStream {
        let mut connection = service.accept().await.unwrap().0;
        let mut text = Vec::new();
        while !text.ends_with(b"}") {
            assert_ne!(connection.read_buf(&mut text).await.unwrap(), 0);
        }
        connection
    }

    #[tokio::test]
    async fn requests_that_come_together_ask_once_and_one_that_leaves_takes_nothing_along() {
        let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Uri = format!("http://{}/", service.local_addr().unwrap()).parse().unwrap();
        let gate = AuthService::new(HttpClient::new(&url).unwrap(), url);
        let (now, ip) = (Instant::now(), "192.0.2.1".parse().ok());
        let ask = || Box::pin(gate.ask(now, ip, Action::Open, "flip", Some("ada's")));
        let mut together: Vec<_> = (0..20).map(|_| ask()).collect();
        assert!(together.iter_mut().all(|one| one.now_or_never().is_none()), "no answer yet");
        let mut connection = asked(&service).await;
        // The one that has asked, and one that only waits.
        together.drain(..2);
        let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 17\r\n\r\n";
        let answer = head.to_owned() + r#"{"subject":"ada"}"#;
        connection.write_all(answer.as_bytes()).await.unwrap();
        for one in together {
            assert_eq!(one.await.unwrap().unwrap().subject.as_deref(), Some("ada"));
        }
        assert!(ask().now_or_never().is_some(), "it is remembered");
        assert!(service.accept().now_or_never().is_none(), "it was asked once");

        // Another question, and all who have it leave: its answer is there for the next.
        let other = || Box::pin(gate.ask(now, ip, Action::Set, "flip", Some("ada's")));
        assert!(other().now_or_never().is_none());
        let mut connection = asked(&service).await;
        let next = other();
        connection.write_all(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        assert_eq!(next.await.unwrap(), None);
        assert!(service.accept().now_or_never().is_none(), "it was asked once");
    }

    #[test]
    fn an_answer_may_be_empty_or_name_somebody() {
        let grant = granted(Action::Open, "flip", b" \n").unwrap();
        assert_eq!((grant.subject.as_deref(), grant.may(Action::Open, "flip")), (None, Ok(())));
        let grant = granted(Action::Set, "flip", br#"{"subject":"ada","max_sessions":2,"more":1}"#);
        let grant = grant.unwrap();
        assert_eq!((grant.subject.as_deref(), grant.max_sessions), (Some("ada"), Some(2)));
        assert!(grant.may(Action::Open, "flip").is_err() && grant.may(Action::Set, "x").is_err());
        for wrong in [
            &b"yes"[..],
            b"[]",
            br#"{"subject":""}"#,
            br#"{"inputs":[]}"#,
            br#"{"max_sessions":1}"#,
        ] {
            assert!(granted(Action::Open, "flip", wrong).is_err());
        }
    }
}
