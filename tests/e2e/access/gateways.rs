//! Two gateways: what one lets pass, and what it passes on.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reframe_tests::local::LocalWorker;
use reframe_tests::redis::RedisServer;
use ring::hmac;

use super::super::forward::Gateway;
use super::*;

#[test]
fn a_gateway_passes_on_what_the_clusters_key_has_signed() {
    let (keys, shared) = (File::new("cluster", KEY), File::new("shared", OTHER_KEY));
    let (redis, worker) = (RedisServer::start(), LocalWorker::serve(counting(), 4));
    let auth = ["--auth", "token", "--auth-key-file", keys.path()];
    let with_key = [&auth[..], &["--cluster-key-file", shared.path()]].concat();
    let [a, b] = [(); 2].map(|()| Gateway::start_with(&worker, &redis, &with_key));
    let lone = Gateway::start_with(&worker, &redis, &auth);
    let opener = token(&keys, &[]);
    let peer = Peer::connect(&a.page(""), camera("here", &opener)).expect("an answer");
    peer.wait_received(1, PATIENCE);
    let set = |gateway: &Gateway, session: &str, bearer: Option<&str>| {
        let body = json!({ "webrtc_id": "here", "by": 2, "session_token": session });
        request("POST", &gateway.page("/input_hook"), bearer, &body).status
    };
    assert_eq!(set(&b, peer.session_token(), None), 200);
    assert_eq!(set(&lone, peer.session_token(), None), 403, "its key is another");
    // Ids are their clients' choice: the token of another session of the same id is not this one's.
    let header = json!({ "alg": "HS256", "typ": "reframe-session+jwt" });
    let claims = json!({ "sid": "here", "stream": "default", "opened": 0, "nonce": "another" });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&header), part(&claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, OTHER_KEY.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()));
    let theirs = format!("{message}.{signature}");
    assert_eq!([&a, &b].map(|gateway| set(gateway, &theirs, None)), [403, 403]);
    // Rights over the sessions of a stream hold wherever they run.
    let (setter, reader) =
        (token(&keys, &["--action", "set"]), token(&keys, &["--action", "read"]));
    let by_rights = |gateway: &Gateway, token: &str| {
        let body = json!({ "webrtc_id": "here", "by": 4 });
        request("POST", &gateway.page("/input_hook"), Some(token), &body).status
    };
    assert_eq!([&a, &b].map(|gateway| by_rights(gateway, &setter)), [200, 200]);
    assert_eq!([&a, &b].map(|gateway| by_rights(gateway, &reader)), [401, 401]);
    let other = token(&keys, &["--action", "set", "--stream", "other"]);
    assert_eq!([&a, &b].map(|gateway| by_rights(gateway, &other)), [403, 403]);
    peer.wait_output("by", PATIENCE, |by| by.as_f64() == Some(4.0));
}
