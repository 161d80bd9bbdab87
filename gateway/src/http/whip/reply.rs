//! The heads of answers.

use actix_web::http::header::{
    CACHE_CONTROL, ETAG, HeaderValue, LINK, LOCATION, TryIntoHeaderValue,
};
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde_json::Value;

use super::{ACCEPT_PATCH, FRAGMENT, SDP};
use crate::http::gate::now;
use crate::http::{HttpState, ice};
use crate::media::session_id::SessionId;

/// The relation of a session's link for viewers; no other service knows it.
const VIEW: &str = "urn:reframe:view";

/// A connection that was made.
pub(super) struct Created<'a> {
    /// What stands before its id in its path.
    pub(super) endpoint: &'a str,
    pub(super) id: &'a SessionId,
    /// Of its ICE session.
    pub(super) tag: &'a str,
    pub(super) sdp: &'a str,
    /// Whom the access token names, if anybody.
    pub(super) subject: Option<&'a str>,
    /// What stands for the session in a link to watch it.
    pub(super) view: Option<String>,
}

impl Created<'_> {
    /// The answer 201 (RFC 9725, section 4.2).
    pub(super) fn answer(self, shared: &HttpState) -> HttpResponse {
        let mut answer = HttpResponse::Created();
        answer
            .content_type(SDP)
            .insert_header((LOCATION, format!("{}/{}", self.endpoint, self.id)))
            .insert_header((ETAG, format!("\"{}\"", self.tag)))
            .insert_header((CACHE_CONTROL, "no-store"))
            .insert_header(ACCEPT_PATCH);
        add_ice_servers(&mut answer, shared, self.subject);
        if let Some(view) = self.view {
            // Beside `/whip` of its stream, or `/whep`.
            let stream = self.endpoint.rsplit_once('/').map_or("", |(stream, _)| stream);
            answer.append_header((LINK, format!("<{stream}/whep/{view}>; rel=\"{VIEW}\"")));
        }
        answer.body(mux_only(self.sdp))
    }
}

/// The answer to an ICE restart.
pub(super) fn restarted(tag: &str, fragment: String) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(FRAGMENT)
        .insert_header((ETAG, format!("\"{tag}\"")))
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(fragment)
}

/// The STUN and TURN servers as links (RFC 9725, section 4.6).
pub(super) fn add_ice_servers(
    answer: &mut HttpResponseBuilder,
    shared: &HttpState,
    subject: Option<&str>,
) {
    let servers = ice::for_client(shared, subject, now());
    for link in servers.as_array().into_iter().flatten().flat_map(links) {
        answer.append_header((LINK, link));
    }
}

/// One for each URL of a server.
fn links(server: &Value) -> Vec<HeaderValue> {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let credentials = match (server["username"].as_str(), server["credential"].as_str()) {
        (Some(user), Some(secret)) => format!(
            "; username={}; credential={}; credential-type=\"password\"",
            quoted(user),
            quoted(secret)
        ),
        _ => String::new(),
    };
    let urls = server["urls"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let links = urls.map(|url| format!("<{url}>; rel=\"ice-server\"{credentials}"));
    // One with characters that no header has is left out.
    links.filter_map(|link| link.try_into_value().ok()).collect()
}

/// Says in each section that RTCP has no port of its own (RFC 9725, section 4.4.1).
fn mux_only(sdp: &str) -> String {
    sdp.replace("\r\na=rtcp-mux\r\n", "\r\na=rtcp-mux\r\na=rtcp-mux-only\r\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_server_is_a_link_for_each_url() {
        let server = json!({ "urls": ["stun:a", "stun:[2001:db8::1]:3478"] });
        let stun =
            ["<stun:a>; rel=\"ice-server\"", "<stun:[2001:db8::1]:3478>; rel=\"ice-server\""];
        assert_eq!(links(&server), stun);
        let server =
            json!({ "urls": ["turn:b?transport=tcp"], "username": "7:x", "credential": "a\"\\" });
        let turn = "<turn:b?transport=tcp>; rel=\"ice-server\"; username=\"7:x\"; \
                    credential=\"a\\\"\\\\\"; credential-type=\"password\"";
        assert_eq!(links(&server), [turn]);
        let server = json!({ "urls": ["stun:a\n"] });
        assert!(links(&server).is_empty());
    }

    #[test]
    fn rtcp_has_no_port_of_its_own() {
        let sdp = "v=0\r\nm=video 9 X 96\r\na=rtcp-mux\r\na=mid:0\r\n";
        let expected = "v=0\r\nm=video 9 X 96\r\na=rtcp-mux\r\na=rtcp-mux-only\r\na=mid:0\r\n";
        assert_eq!(mux_only(sdp), expected);
    }
}
