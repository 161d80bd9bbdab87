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
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
}

impl Reply {
    /// The value of a header, whose name is in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

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

/// [`post`] with headers.
///
/// # Errors
/// As [`post`].
pub fn post_with(
    url: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> Result<Reply, ureq::Error> {
    let request = agent().post(url).content_type("application/json");
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    reply(request.send(body.as_ref())?)
}

/// POSTs a session description to `url`, as WHIP and WHEP do.
///
/// # Errors
/// As [`post`].
pub fn post_sdp(url: &str, headers: &[(&str, &str)], sdp: &str) -> Result<Reply, ureq::Error> {
    let request = agent().post(url).content_type("application/sdp");
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    reply(request.send(sdp)?)
}

/// DELETEs `url`.
///
/// # Errors
/// Nobody answered; an HTTP error status is not an error here.
pub fn delete(url: &str) -> Result<Reply, ureq::Error> {
    reply(agent().delete(url).call()?)
}

/// Sends `body` to `url` by any method, and follows no redirect.
///
/// # Panics
/// When nobody answers, or a header is invalid.
#[must_use]
pub fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body.to_owned()).expect("a request");
    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .build()
        .into();
    let answered = agent.run(request).and_then(reply);
    answered.unwrap_or_else(|error| panic!("{method} {url}: {error}"))
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
    let headers = response.headers().iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    let headers = headers.collect();
    Ok(Reply {
        headers,
        status: response.status().as_u16(),
        body: response.body_mut().read_to_string()?,
        retry_after,
    })
}
