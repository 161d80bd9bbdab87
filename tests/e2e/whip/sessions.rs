//! Clients that send video to a stream, and such that are shown one.

use super::*;

/// The sections of a description, without what stands above.
fn sections(sdp: &str) -> Vec<&str> {
    sdp.split("\r\nm=").skip(1).collect()
}

#[test]
fn frames_of_a_client_of_whip_reach_the_handler_until_it_deletes_its_session() {
    let cluster = Cluster::local(streams());
    let peer = connect_with(&cluster, ingest("/sent/whip"));
    eventually("frames are consumed", PATIENCE, || {
        let consumed = cluster.metrics().sum("reframe_frames_consumed_total", &[]);
        (consumed > 10.0).then_some(())
    });
    let url = cluster.page(peer.resource());
    // What a client of ICE would send means nothing here.
    let deleted = send("DELETE", &url, &[("if-match", "\"another\"")], "");
    assert_eq!((deleted.status, deleted.body.as_str()), (200, ""), "{deleted:?}");
    cluster.wait_for_sessions(0, CLOSED);
    let ended = cluster.metrics();
    let ended = ended.sum("reframe_sessions_ended_total", &[("reason", "client_closed")]);
    assert_eq!(ended, 1.0);
    assert_problem(&send("DELETE", &url, &[], ""), 404, "unknown_connection");
    assert_balanced(&cluster);
}

#[test]
fn an_answer_is_whole_and_goes_one_way() {
    let cluster = Cluster::local(streams());
    for (path, direction, answered) in [
        ("/sent/whip", Direction::SendOnly, "recvonly"),
        ("/sent/whip", Direction::SendRecv, "recvonly"),
        ("/both/whip", Direction::SendOnly, "recvonly"),
        ("/both/whip", Direction::SendRecv, "recvonly"),
        ("/shown/whep", Direction::RecvOnly, "sendonly"),
        ("/shown/whep", Direction::SendRecv, "sendonly"),
    ] {
        let offered = offer(direction);
        let reply = post(&cluster.page(path), &offered);
        let (location, tag) = created(&reply);
        let id = location.strip_prefix(&format!("{path}/")).expect("below the endpoint");
        assert!(id.len() == 24 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        assert!(tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"'), "it is strong: {tag}");
        assert_eq!(reply.header("content-type"), Some("application/sdp"));
        assert_eq!(reply.header("accept-patch"), Some("application/trickle-ice-sdpfrag"));
        let answer = sections(&reply.body);
        assert_eq!(answer.len(), sections(&offered).len(), "{reply:?}");
        assert!(reply.body.contains("a=group:BUNDLE "), "{reply:?}");
        for section in answer {
            assert!(section.contains("\r\na=candidate:"), "all there are: {section}");
            assert!(section.contains("\r\na=end-of-candidates"), "{section}");
            if section.starts_with("video ") {
                assert!(section.contains(&format!("\r\na={answered}\r\n")), "{section}");
                assert!(section.contains("\r\na=rtcp-mux\r\na=rtcp-mux-only\r\n"), "{section}");
            }
        }
        let deleted = send("DELETE", &cluster.page(&location), &[], "");
        assert_eq!(deleted.status, 200, "{deleted:?}");
    }
    assert_eq!(cluster.sessions(), 0.0, "an offer takes no slot");
}

/// OBS and browsers offer a microphone that nobody listens to.
#[test]
fn audio_beside_the_video_is_answered_inactive() {
    let cluster = Cluster::local(streams());
    let media = Media { audio: true, ..Media::video(Direction::SendOnly) };
    let peer = connect_with(&cluster, Options { media, ..ingest("/sent/whip") });
    eventually("frames are consumed", PATIENCE, || {
        let consumed = cluster.metrics().sum("reframe_frames_consumed_total", &[]);
        (consumed > 10.0).then_some(())
    });
    drop(peer);
}

/// Its client is shown nothing; those who watch it are.
#[test]
fn what_a_client_of_whip_sends_comes_back_for_those_who_watch() {
    let cluster = Cluster::launch("flip");
    let reply = post(&cluster.page("/whip"), &offer(Direction::SendOnly));
    let link = reply.header("link").expect("a link to watch it").to_owned();
    assert!(link.ends_with(">; rel=\"urn:reframe:view\""), "{link}");

    let camera = connect_with(&cluster, ingest("/whip"));
    let listed = reframe_tests::http::get(&cluster.admin("/api/sessions")).expect("an answer");
    let sessions = listed.json();
    let live = sessions["sessions"].as_array().expect("a list").iter();
    let live = live.filter(|session| session["state"] == "live").collect::<Vec<_>>();
    let [session] = live[..] else { panic!("{listed:?}") };
    let view = session["view"].as_str().expect("an operator is told");
    let viewer = connect_with(&cluster, Options::watcher("viewer", format!("/whep/{view}")));
    viewer.wait_received(10, PATIENCE);
    let codes = viewer.stats().received.iter().filter_map(|frame| frame.code).collect::<Vec<_>>();
    assert!(codes.iter().all(|code| code.flipped), "{codes:?}");
    assert_eq!(camera.stats().received.len(), 0, "nothing comes back");

    let deleted = send("DELETE", &cluster.page(viewer.resource()), &[], "");
    assert_eq!(deleted.status, 200, "{deleted:?}");
    eventually("nobody watches", PATIENCE, || {
        (cluster.metrics().sum("reframe_viewers_active", &[]) == 0.0).then_some(())
    });
    assert_eq!(cluster.metrics().sum("reframe_sessions_active", &[]), 1.0, "the session goes on");
}

#[test]
fn a_generator_is_shown_by_whep() {
    let cluster = Cluster::launch("ticker");
    let peer = connect_with(&cluster, Options::watcher("whep", "/whep"));
    peer.wait_received(30, PATIENCE);
    let deleted = send("DELETE", &cluster.page(peer.resource()), &[], "");
    assert_eq!(deleted.status, 200, "{deleted:?}");
    cluster.wait_for_sessions(0, CLOSED);
}

#[test]
fn paths_have_no_representation_and_say_what_they_take() {
    let cluster = Cluster::local(streams());
    let (location, _) = created(&post(&cluster.page("/sent/whip"), &offer(Direction::SendOnly)));
    for (path, posts, patches) in [
        ("/sent/whip", true, false),
        ("/shown/whep", true, false),
        ("/both/whep/view", true, true),
        (location.as_str(), false, true),
        ("/both/whep/view/viewer", false, true),
    ] {
        let url = cluster.page(path);
        for method in ["GET", "HEAD"] {
            let reply = send(method, &url, &[], "");
            assert!((200..300).contains(&reply.status) && reply.body.is_empty(), "{reply:?}");
            // By it a player knows an endpoint.
            let kind = posts.then_some("application/sdp");
            assert_eq!(reply.header("content-type"), kind, "{method} {path}");
        }
        let options = send("OPTIONS", &url, &[], "");
        assert_eq!((options.status, options.body.as_str()), (200, ""), "{options:?}");
        let takes = |name| options.header(name).is_some();
        assert_eq!((takes("accept-post"), takes("accept-patch")), (posts, patches), "{path}");
        let allowed = options.header("allow").expect("the methods").to_owned();
        assert_eq!((allowed.contains("POST"), allowed.contains("PATCH")), (posts, patches));
        let put = send("PUT", &url, &[], "");
        assert_problem(&put, 405, "method_not_allowed");
        assert_eq!(put.header("allow"), Some(allowed.as_str()));
    }
}

#[test]
fn stun_and_turn_servers_are_links() {
    let servers = "stun:192.0.2.9:3478, turn:192.0.2.9:3478?transport=tcp";
    let options = ["--ice-servers", servers, "--turn-secret", "a secret that is shared"];
    let cluster = Cluster::launch_with("flip", &options);
    let links = |reply: &Reply| -> Vec<String> {
        let links = reply.headers.iter().filter(|(name, _)| name == "link");
        links.map(|(_, value)| value.clone()).filter(|link| link.contains("ice-server")).collect()
    };
    let posted = post(&cluster.page("/whip"), &offer(Direction::SendOnly));
    assert_eq!(posted.status, 201, "{posted:?}");
    for reply in [posted, send("OPTIONS", &cluster.page("/whip"), &[], "")] {
        let [stun, turn] = &links(&reply)[..] else { panic!("{reply:?}") };
        assert_eq!(stun, "<stun:192.0.2.9:3478>; rel=\"ice-server\"");
        let start = "<turn:192.0.2.9:3478?transport=tcp>; rel=\"ice-server\"; username=\"";
        assert!(turn.starts_with(start), "{turn}");
        assert!(turn.contains("; credential=\"") && turn.ends_with("credential-type=\"password\""));
    }
    let preflight = [("access-control-request-method", "POST"), ("origin", "http://localhost")];
    assert!(links(&send("OPTIONS", &cluster.page("/whip"), &preflight, "")).is_empty());
}
