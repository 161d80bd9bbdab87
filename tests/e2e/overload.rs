//! A gateway that is busy takes no more sessions, and keeps those that it has.

use reframe_tests::http::get;
use reframe_tests::source::{Format, Video};
use serde_json::json;

use super::*;

#[test]
fn a_busy_gateway_keeps_its_sessions_and_takes_no_more() {
    // One session alone is more than that.
    let cluster = Cluster::launch_with("flip", &["--max-load", "1"]);
    let offer = |id: &str| Peer::connect(&cluster.page(""), Options::camera(id, Video::Live(Format::SMALL)));
    let mut first = connect(&cluster, "first", Video::Live(Format::SMALL));
    // At once, when nothing was measured yet, and later.
    for _ in 0..2 {
        let reply = offer("second").expect_err("it is busy");
        assert_eq!((reply.status, reply.retry_after), (503, Some(2)));
        assert_eq!(reply.json()["meta"]["error"], json!("overloaded"), "{reply:?}");
        wait_for_more(&first);
    }
    let metrics = cluster.metrics();
    let offers = |outcome: &str| metrics.sum("reframe_offers_total", &[("outcome", outcome)]);
    assert_eq!((offers("answered"), offers("overloaded")), (1.0, 2.0));
    assert!(metrics.sum("reframe_load_ratio", &[]) > 0.01);
    assert_eq!(cluster.gateway.log().matches("(--max-load)").count(), 1, "told once: {}", cluster.gateway.log());
    // It is for those that run.
    assert_eq!(get(&cluster.admin("/readyz")).expect("an answer").status, 200);

    first.close();
    cluster.wait_for_sessions(0, CLOSED);
    // Its load is still in the figure, but nobody is there to be harmed.
    let mut second = eventually("it is taken", PATIENCE, || offer("second").ok());
    second.wait_received(5, PATIENCE);
    second.close();
    assert_balanced(&cluster);
}
