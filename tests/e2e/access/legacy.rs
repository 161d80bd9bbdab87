//! `--legacy-ids`: FastRTC's front-ends, which know no session's token.

use reframe_tests::http::send;

use super::*;

/// FastRTC's front-ends know no session's token.
#[test]
fn ids_alone_are_enough_where_that_was_chosen_and_cannot_be_tried_out() {
    let strict = Cluster::local_with([counting()], &["--auth", "none"]);
    let status = |cluster: &Cluster, id: &str| {
        let body = json!({ "webrtc_id": id, "by": 1 });
        request("POST", &cluster.page("/input_hook"), None, &body).status
    };
    assert_eq!(status(&strict, "nobody"), 401);
    let options = ["--auth", "none", "--legacy-ids", "--trusted-proxies", "127.0.0.1"];
    let legacy = Cluster::local_with([counting()], &options);
    let refused =
        Peer::connect(&legacy.page(""), Options::camera("short", Video::Live(Format::SMALL)));
    assert_eq!(refused.expect_err("it can be guessed").status, 422);
    let id = "long-enough-for-an-id";
    let mut peer = open(&legacy, Options::camera(id, Video::Live(Format::SMALL)));
    assert_eq!(status(&legacy, id), 200);
    // From elsewhere: a program on this machine is not limited.
    let headers = [("content-type", "application/json"), ("x-forwarded-for", "192.0.2.1")];
    let tried = (0..40).map(|n| {
        let body = json!({ "webrtc_id": format!("guessed-at-random-{n}"), "by": 1 }).to_string();
        send("POST", &legacy.page("/input_hook"), &headers, &body).status
    });
    let (wrong, refused) = tried.partition::<Vec<_>, _>(|status| *status == 404);
    assert!((20..30).contains(&wrong.len()), "{wrong:?}");
    assert!(refused.iter().all(|status| *status == 429), "{refused:?}");
    peer.close();
}
