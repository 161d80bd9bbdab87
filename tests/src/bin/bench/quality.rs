//! How soon a Chromium with a 720p camera sends and shows all of it.

use std::time::Duration;

use reframe_tests::browser::{Browser, Camera, Flows};
use reframe_tests::cluster::Cluster;
use reframe_tests::wait::try_eventually;

use super::report::Report;

/// FastRTC's documentation says up to a minute.
const PATIENCE: Duration = Duration::from_secs(60);

/// The page, with an open network, from connected.
pub(crate) fn chromium(report: &mut Report, name: &'static str) {
    let cluster = Cluster::launch("flip");
    let browser = Browser::start(&std::env::temp_dir(), name, Camera::AllowedHd);
    browser.open(&cluster.page("/"));
    browser.watch_flows();
    browser.click("start");
    browser.wait_for_state("live");
    let flows = try_eventually(PATIENCE, || {
        let flows = browser.flows();
        flows.iter().any(|flows| flows.full(720)).then_some(flows)
    });
    let flows = flows.unwrap_or_else(|| browser.flows());
    // Never: as long as was waited.
    let never = PATIENCE.as_secs_f64() * 1e3;
    let first = |what: fn(&Flows) -> bool| {
        flows.iter().find(|flows| what(flows)).map_or(never, |flows| flows.ms)
    };
    report.add(name, "connected to 720p sent", "ms", first(|flows| flows.heights[0] == 720));
    report.add(name, "connected to 720p shown", "ms", first(|flows| flows.heights[1] == 720));
    report.add(
        name,
        "connected to 720p at 30 fps both ways, nothing limited",
        "ms",
        first(|flows| flows.full(720)),
    );
}
