//! Candidates, ICE restarts and ends, by the URL of a connection.

use super::*;

/// Credentials that no client has.
fn credentials(ufrag: &str) -> String {
    format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:{ufrag}{}\r\n", "x".repeat(22))
}

/// A whole fragment, as section 4.3.3 of RFC 9725 has it.
fn fragment(ufrag: &str) -> String {
    let head = "a=group:BUNDLE 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\n";
    [head, &credentials(ufrag), CANDIDATE, "a=end-of-candidates\r\n"].concat()
}

#[test]
fn candidates_come_by_patch() {
    let cluster = Cluster::local(streams());
    let offered = offer(Direction::SendOnly);
    let (location, tag) = created(&post(&cluster.page("/sent/whip"), &offered));
    let url = cluster.page(&location);
    let own = |name| line(&offered, name).expect("it is in the offer");
    let of_session =
        format!("a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", own("a=ice-ufrag:"), own("a=ice-pwd:"));
    for body in [CANDIDATE, "a=end-of-candidates\r\n", &(of_session.clone() + CANDIDATE)] {
        let reply = patch(&url, Some(&tag), body);
        assert_eq!((reply.status, reply.body.as_str()), (204, ""), "{reply:?}");
        assert_eq!(reply.header("etag"), None, "{reply:?}");
    }
    assert_eq!(patch(&url, Some(&format!("\"other\", {tag}")), CANDIDATE).status, 204);
    // A transport that is not spoken, and a name that leads nowhere, are silently left out.
    let others = "a=candidate:1 1 sctp 1 192.0.2.1 9 typ host\r\n\
                  a=candidate:1 1 udp 1 nowhere.invalid 9 typ host\r\na=candidate:nonsense\r\n";
    assert_eq!(patch(&url, Some(&tag), others).status, 204);

    assert_problem(&patch(&url, None, CANDIDATE), 428, "precondition_required");
    for stale in ["\"stale\"", "W/\"weak\"", &format!("W/{tag}"), &tag.to_ascii_lowercase()] {
        if stale != tag {
            assert_problem(&patch(&url, Some(stale), CANDIDATE), 412, "precondition_failed");
        }
    }
    assert_problem(&patch(&url, Some("no quotes"), CANDIDATE), 400, "invalid_request");
    for malformed in ["", "hello", "a=ice-ufrag:half\r\n", "a=ice-ufrag:a b\r\na=ice-pwd:x\r\n"] {
        assert_problem(&patch(&url, Some(&tag), malformed), 400, "invalid_request");
    }
    let wrong = send("PATCH", &url, &[SDP, ("if-match", &tag)], CANDIDATE);
    assert_problem(&wrong, 415, "invalid_request");
    assert_eq!(wrong.header("accept-patch"), Some("application/trickle-ice-sdpfrag"));
    assert_problem(&patch(&url, Some(&tag), &"x".repeat(200_000)), 413, "invalid_request");
}

#[test]
fn a_connection_is_changed_by_its_own_url_alone() {
    let cluster = Cluster::launch("flip");
    // A session of the page's protocol has none, whatever its id.
    let page = connect(&cluster, "abcdefghijklmnopqrstuvwx", Video::Live(Format::SMALL));
    let (location, tag) = created(&post(&cluster.page("/whip"), &offer(Direction::SendOnly)));
    let id = location.rsplit('/').next().expect("an id");
    let view = page.whep();
    for foreign in [
        "/whip/abcdefghijklmnopqrstuvwx".to_owned(),
        "/whep/abcdefghijklmnopqrstuvwx".to_owned(),
        format!("{view}/abcdefghijklmnopqrstuvwx"),
        format!("{view}/{id}"),
        format!("/whip/{}", id.to_ascii_uppercase()),
        format!("{location}x"),
        format!("/whep/view/{id}"),
    ] {
        let url = cluster.page(&foreign);
        assert_problem(&patch(&url, Some(&tag), CANDIDATE), 404, "unknown_connection");
        assert_problem(&patch(&url, Some("*"), CANDIDATE), 404, "unknown_connection");
        assert_problem(&send("DELETE", &url, &[], ""), 404, "unknown_connection");
    }
    let seen = page.stats().received.len();
    page.wait_received(seen + 10, PATIENCE);
    assert_eq!(patch(&cluster.page(&location), Some(&tag), CANDIDATE).status, 204);
}

#[test]
fn a_restart_that_fails_leaves_the_session_as_it_was() {
    let cluster = Cluster::local(streams());
    let peer = connect_with(&cluster, ingest("/sent/whip"));
    let url = cluster.page(peer.resource());
    let own = patch(&url, Some("*"), "a=end-of-candidates\r\n");
    assert_eq!(own.status, 204, "{own:?}");
    for (wrong, status, error) in [
        (credentials(&"x".repeat(40)), 400, "invalid_request"),
        ("a=ice-ufrag:alone\r\n".to_owned(), 400, "invalid_request"),
        ("a=ice-ufrag:a\r\na=ice-pwd:b\r\na=ice-ufrag:c\r\n".to_owned(), 400, "invalid_request"),
    ] {
        assert_problem(&patch(&url, Some("*"), &wrong), status, error);
    }
    let restart = patch(&url, Some("\"stale\""), &fragment("fresh"));
    assert_problem(&restart, 412, "precondition_failed");
    assert_problem(&patch(&url, None, &fragment("fresh")), 428, "precondition_required");
    let consumed = || cluster.metrics().sum("reframe_frames_consumed_total", &[]);
    let before = consumed();
    eventually("frames still come", PATIENCE, || (consumed() > before + 10.0).then_some(()));
}

#[test]
fn a_restart_brings_other_credentials_and_another_entity_tag() {
    let cluster = Cluster::local(streams());
    let answer = post(&cluster.page("/sent/whip"), &offer(Direction::SendOnly));
    let (location, first) = created(&answer);
    let url = cluster.page(&location);
    let mut tags = vec![first.clone()];
    let mut ours = vec![line(&answer.body, "a=ice-ufrag:").expect("ours").to_owned()];
    for (ufrag, condition) in [("one", "*"), ("two", "\"*\""), ("three", "")] {
        let newest = tags.last().expect("one").clone();
        // By the present entity tag too.
        let condition = if condition.is_empty() { newest.as_str() } else { condition };
        let restarted = patch(&url, Some(condition), &fragment(ufrag));
        assert_eq!(restarted.status, 200, "{restarted:?}");
        assert_eq!(restarted.header("content-type"), Some(FRAGMENT.1));
        let fragment = &restarted.body;
        let new = line(fragment, "a=ice-ufrag:").expect("ours").to_owned();
        assert!(line(fragment, "a=ice-pwd:").is_some_and(|secret| secret.len() >= 22));
        assert!(line(fragment, "a=candidate:").is_some(), "{fragment}");
        assert!(line(fragment, "m=video 9 ").is_some() && line(fragment, "a=mid:").is_some());
        let options = |text| line(text, "a=ice-options:").map(str::to_owned);
        assert_eq!(options(fragment), options(&answer.body), "as in the answer");
        assert!(!fragment.contains("v=0") && !fragment.contains("a=rtpmap"), "{fragment}");
        let tag = restarted.header("etag").expect("of the new ICE session").to_owned();
        assert!(!tags.contains(&tag) && !ours.contains(&new), "{tags:?} {ours:?}");
        // Candidates of the session before are late.
        assert_problem(&patch(&url, Some(&newest), CANDIDATE), 412, "precondition_failed");
        assert_eq!(patch(&url, Some(&tag), CANDIDATE).status, 204);
        tags.push(tag);
        ours.push(new);
    }
    // Too many in a row are for later: the session goes on.
    let busy = eventually("a restart too much", PATIENCE, || {
        let reply = patch(&url, Some("*"), &fragment(&format!("n{}", tags.len())));
        tags.push(String::new());
        (reply.status != 200).then_some(reply)
    });
    assert_problem(&busy, 503, "busy");
    assert!(busy.retry_after.is_some_and(|wait| wait > 0), "{busy:?}");
    assert_eq!(send("DELETE", &url, &[], "").status, 200);
}
