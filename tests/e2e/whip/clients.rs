//! Clients of other projects.

use reframe_tests::clients;

use super::*;

#[test]
#[ignore = "needs clients of other projects: make test-clients"]
fn aiortc_sends_by_whip_and_is_shown_by_whep() {
    for version in ["1.9.0", "1.16.0"] {
        let python = clients::aiortc(version)
            .unwrap_or_else(|| panic!("no aiortc {version}: run `scripts/clients.sh all`"));
        let cluster = Cluster::local(streams());
        let run = |way: &str, path: &str| {
            let said = clients::run(&python, "whip_client.py", &[way, &cluster.page(path)]);
            let done = (&said["status"], &said["done"], &said["deleted"]);
            assert_eq!(done, (&json!(201), &json!(true), &json!(200)), "{version}: {said}");
        };
        run("--whip", "/sent/whip");
        let consumed = cluster.metrics().sum("reframe_frames_consumed_total", &[]);
        assert!(consumed > 5.0, "{consumed} frames came");
        run("--whep", "/shown/whep");
        cluster.wait_for_sessions(0, CLOSED);
    }
}
