//! Access tokens: what a refusal says, what a token allows and fixes, and keys that are replaced.

use reframe_tests::http::send;

use super::super::browser::SOON;
use super::*;

#[test]
fn what_is_refused_says_what_to_do() {
    let keys = File::new("told", KEY);
    let cluster = with_tokens(&keys, &[]);
    let expired = token(&keys, &["--ttl", "1s"]);
    let refused = |bearer: Option<&str>| {
        let reply = request("POST", &cluster.page("/webrtc/offer"), bearer, &offer("x"));
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"), "{reply:?}");
        reply.json()["meta"]["message"].as_str().unwrap_or_default().to_owned()
    };
    assert!(refused(None).contains("a token is needed"));
    eventually("the token has ended, half a minute included", Duration::from_secs(60), || {
        let reply = request("GET", &cluster.page("/api/token"), Some(&expired), &Value::Null);
        (reply.status == 401).then_some(())
    });
    assert!(refused(Some(&expired)).contains("ask for a new one"));
    let long = "x".repeat(5_000);
    assert!(refused(Some(&long)).contains("more than 4096 bytes"));
    assert_eq!(cluster.sessions(), 0.0);
    // Two of them: which one counts is not guessed.
    let good = format!("Bearer {}", token(&keys, &[]));
    let two = [("authorization", good.as_str()), ("authorization", good.as_str())];
    let reply = send("GET", &cluster.page("/api/streams"), &two, "");
    assert_eq!(reply.status, 401, "{reply:?}");
}

#[test]
fn inputs_and_numbers_of_sessions_are_the_tokens() {
    let keys = File::new("rights", KEY);
    let cluster = with_tokens(&keys, &[]);
    let grant = token(&keys, &["--subject", "ada", "--max-sessions", "1", "--input", "by=7"]);
    let listed = request("GET", &cluster.page("/api/streams"), Some(&grant), &Value::Null).json();
    assert_eq!(listed["streams"][0]["inputs"], json!([]), "what is fixed is not offered");
    let mut peer = open(&cluster, camera("one", &grant));
    peer.wait_output("by", PATIENCE, |by| by.as_f64() == Some(7.0));
    let set = json!({ "webrtc_id": "one", "by": 1, "session_token": peer.session_token() });
    let reply = request("POST", &cluster.page("/input_hook"), None, &set);
    assert_eq!((reply.status, &reply.json()["meta"]["field"]), (422, &json!("by")));
    let refused =
        Peer::connect(&cluster.page(""), camera("two", &grant).with_inputs(json!({ "by": 2 })));
    assert_eq!(refused.expect_err("`by` is fixed").status, 422);
    let refused =
        Peer::connect(&cluster.page(""), camera("two", &grant)).expect_err("one is enough");
    let error = refused.json()["meta"]["error"].clone();
    assert_eq!((refused.status, error), (429, json!("session_limit_reached")));
    peer.close();
    cluster.wait_for_sessions(0, CLOSED);
    // Its own place is no obstacle, and the rights come with the session's token.
    let again = Options {
        token: None,
        session_token: Some(peer.session_token().to_owned()),
        ..camera("again", "")
    };
    let mut again = open(&cluster, again);
    again.wait_output("by", PATIENCE, |by| by.as_f64() == Some(7.0));
    again.close();
}

#[test]
fn keys_are_replaced_while_sessions_run() {
    let (keys, cluster_keys) = (File::new("rotated", KEY), File::new("signing", KEY));
    let cluster = with_tokens(&keys, &["--cluster-key-file", cluster_keys.path()]);
    let old = token(&keys, &[]);
    let mut peer = open(&cluster, camera("first", &old));
    let status =
        |token: &str| request("GET", &cluster.page("/api/token"), Some(token), &Value::Null).status;
    let set = |peer: &Peer| {
        let body = json!({ "webrtc_id": "first", "by": 1, "session_token": peer.session_token() });
        request("POST", &cluster.page("/input_hook"), None, &body).status
    };
    // The new one beside the old one, then alone.
    keys.write(&format!("new {OTHER_KEY}\nold {KEY}\n"));
    cluster_keys.write(&format!("{OTHER_KEY}\n{KEY}\n"));
    let new = token(&keys, &[]);
    eventually("the new key is known", SOON, || (status(&new) == 200).then_some(()));
    assert_eq!((status(&old), set(&peer)), (200, 200));
    keys.write(OTHER_KEY);
    eventually("the old key is gone", SOON, || (status(&old) == 401).then_some(()));
    // A file that is broken changes nothing.
    keys.write("short");
    eventually("it is told", SOON, || {
        cluster.gateway.log().contains("cannot be used").then_some(())
    });
    assert_eq!(status(&new), 200);
    cluster_keys.write(OTHER_KEY);
    eventually("the session's token is of a key that is gone", SOON, || {
        (set(&peer) == 403).then_some(())
    });
    let pictures = peer.stats().received.len();
    peer.wait_received(pictures + 10, PATIENCE);
    peer.close();
}
