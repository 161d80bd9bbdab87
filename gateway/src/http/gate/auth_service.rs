//! `--auth http`: a service of the operator's decides, as MediaMTX' `authHTTPAddress`.
//!
//! It is sent `{"ip", "action", "stream", "token"}` and answers 200 to 299 where that is allowed;
//! its body may say `{"subject", "max_sessions", "inputs"}`. Any other status refuses. One that
//! does not answer refuses too, with 503: nobody is let in because a service is down.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use hyper::Uri;
use parking_lot::Mutex;
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::http_client::{HttpClient, HttpClientError};
use crate::access::{Action, Grant, is_subject};
use crate::shares::Rates;

/// For so long a decision holds without being asked for again: the page asks what it may see, then
/// opens.
const CACHED_FOR: Duration = Duration::from_secs(10);
/// Questions of one client network in a row, with five a second on average: its people open a page
/// together, which asks about each stream. It bounds what one network takes of the places of all.
const BURST: u32 = 64;
/// See [`BURST`].
const EVERY: Duration = Duration::from_millis(200);
/// The most that it may fix, in bytes of JSON: the session's token carries it.
const MAX_INPUTS: usize = 2_048;
/// Decisions that are remembered. Full: those that no longer hold go, and if there are none, the
/// new one is not remembered.
const MAX_CACHED: usize = 4_096;

/// Asks, and remembers for a while.
pub(crate) struct AuthService {
    remote: HttpClient,
    url: Uri,
    cached: Mutex<HashMap<Question, (Instant, Option<Grant>)>>,
    /// Questions of each client network that were not remembered.
    rates: Mutex<Rates>,
}

/// A digest of all that is asked, so that no token stays in memory.
type Question = [u8; 32];

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
}

impl AuthService {
    pub(crate) fn new(remote: HttpClient, url: Uri) -> Self {
        let rates = Mutex::new(Rates::new(BURST, EVERY));
        Self { remote, url, cached: Mutex::default(), rates }
    }

    /// The rights of who asks, for one action with one stream; `None`: it is refused.
    ///
    /// # Errors
    /// The service gives no answer.
    pub(crate) async fn ask(
        &self,
        now: Instant,
        ip: Option<IpAddr>,
        action: Action,
        stream: &str,
        token: Option<&str>,
    ) -> Result<Option<Grant>, AuthServiceError> {
        let body = json!({ "ip": ip, "action": action, "stream": stream, "token": token });
        let body = body.to_string();
        let question: Question =
            digest(&SHA256, body.as_bytes()).as_ref().try_into().expect("it has 32 bytes");
        if let Some((until, decision)) = self.cached.lock().get(&question)
            && now < *until
        {
            return Ok(decision.clone());
        }
        if ip.is_some_and(|ip| !self.rates.lock().take(now, ip)) {
            return Err(AuthServiceError::Often);
        }
        let decision = match self.remote.ask(&self.url, Some(body)).await? {
            (200..=299, body) => {
                Some(granted(action, stream, &body).map_err(AuthServiceError::Answer)?)
            }
            _ => None,
        };
        let mut cached = self.cached.lock();
        if cached.len() >= MAX_CACHED {
            cached.retain(|_, (until, _)| now < *until);
        }
        if cached.len() < MAX_CACHED {
            cached.insert(question, (now + CACHED_FOR, decision.clone()));
        }
        Ok(decision)
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
    use super::*;

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
