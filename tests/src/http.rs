//! Plain HTTP/1.1 requests whose every answer, whatever its status, is a value to look at.

use std::time::Duration;

use ureq::Agent;

/// No request in the tests has reason to take longer, even on a machine that builds something else.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A status and a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body as text.
    pub body: String,
    /// Seconds after which to try again, where the server says so.
    pub retry_after: Option<u32>,
}

impl Reply {
    /// The body as JSON; `Null` when it is not.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// GETs `url`.
///
/// # Errors
/// Nobody answered; an HTTP error status is not an error here.
pub fn get(url: &str) -> Result<Reply, ureq::Error> {
    reply(agent().get(url).call()?)
}

/// POSTs `body` to `url` as `application/json`, well formed or not.
///
/// # Errors
/// Nobody answered; an HTTP error status is not an error here.
pub fn post(url: &str, body: impl AsRef<[u8]>) -> Result<Reply, ureq::Error> {
    reply(agent().post(url).content_type("application/json").send(body.as_ref())?)
}

/// DELETEs `url`.
///
/// # Errors
/// Nobody answered; an HTTP error status is not an error here.
pub fn delete(url: &str) -> Result<Reply, ureq::Error> {
    reply(agent().delete(url).call()?)
}

/// A fresh agent each time: a pooled connection to a process that is gone would look like a failure
/// of the next one.
fn agent() -> Agent {
    Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).build().into()
}

fn reply(mut response: ureq::http::Response<ureq::Body>) -> Result<Reply, ureq::Error> {
    let retry_after = response
        .headers()
        .get("retry-after")
        .and_then(|seconds| seconds.to_str().ok()?.parse().ok());
    Ok(Reply {
        status: response.status().as_u16(),
        body: response.body_mut().read_to_string()?,
        retry_after,
    })
}
