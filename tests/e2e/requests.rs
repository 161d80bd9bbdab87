//! JSON requests of clients, and the first picture of those that connect.

use reframe_tests::http::{Reply, send};
use reframe_tests::peer::{Media, offer_sdp};
use serde_json::json;

use super::*;

/// Sends `body`, if it is not null, with these headers.
pub(super) fn request_with(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> Reply {
    let headers = [headers, &[("content-type", "application/json")]].concat();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    send(method, url, &headers, &body)
}

/// The same with an access token.
pub(super) fn request(method: &str, url: &str, bearer: Option<&str>, body: &Value) -> Reply {
    let bearer = bearer.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    request_with(method, url, &headers, body)
}

/// The offer of a client that never connects.
pub(super) fn offer(id: &str) -> Value {
    json!({ "type": "offer", "sdp": offer_sdp(Media::default()), "webrtc_id": id })
}

/// A client whose first picture has come back.
#[track_caller]
pub(super) fn open(cluster: &Cluster, options: Options) -> Peer {
    let peer = Peer::connect(&cluster.page(""), options);
    let peer = peer.unwrap_or_else(|reply| panic!("no answer: {reply:?}"));
    peer.wait_received(1, PATIENCE);
    peer
}
