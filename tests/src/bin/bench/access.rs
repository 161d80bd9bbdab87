//! What a request costs that shows a token, beside one that need not.

use std::fs;
use std::time::Duration;

use reframe_tests::cluster::Cluster;
use reframe_tests::figures::millis;
use reframe_tests::http::send;
use reframe_tests::process::run;

use super::Plan;
use super::report::Report;

/// Requests of each kind, by turns in fours, so that a busy moment is in both.
const REQUESTS: u32 = 2_000;

/// A gateway on loopback, and one with `--auth token`; the CPU of each for the same small request.
pub(crate) fn checked(report: &mut Report, name: &'static str, _: &Plan) {
    let file = std::env::temp_dir().join(format!("reframe-bench-keys-{}", std::process::id()));
    fs::write(&file, "0123456789abcdef0123456789abcdef").expect("a file");
    let path = file.to_str().expect("a UTF-8 path");
    let minted = run("reframe-gateway", &["token", "--auth-key-file", path]);
    let token = String::from_utf8(minted.stdout).expect("a token");
    let bearer = format!("Bearer {}", token.trim());
    let open = Cluster::launch("flip");
    let checks = Cluster::launch_with("flip", &["--auth", "token", "--auth-key-file", path]);
    let before = [&open, &checks].map(|cluster| cluster.gateway.cpu_time());
    for _ in 0..REQUESTS / 4 {
        for cluster in [&open, &checks] {
            for _ in 0..4 {
                let headers = [("authorization", bearer.as_str())];
                let reply = send("GET", &cluster.page("/api/token"), &headers, "");
                assert_eq!(reply.status, 200, "{reply:?}");
            }
        }
    }
    let after = [&open, &checks].map(|cluster| cluster.gateway.cpu_time());
    fs::remove_file(&file).ok();
    let each = |at: usize| {
        let took: Duration = after[at].saturating_sub(before[at]);
        1_000.0 * millis(took) / f64::from(REQUESTS)
    };
    report.add(name, "CPU of a request that needs no token", "us", each(0));
    report.add(name, "CPU of a request whose token is checked (HS256)", "us", each(1));
    report.add(name, "the check", "us", each(1) - each(0));
}
