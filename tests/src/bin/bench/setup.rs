//! From the offer to the first processed picture, step by step: connections one after the other.
//! And the whole of it with aiortc, whose own set-up is the larger part: so it also offers to
//! itself.

use std::sync::Arc;
use std::time::Instant;

use reframe_tests::clients;
use reframe_tests::cluster::Cluster;
use reframe_tests::figures::millis;
use reframe_tests::source::Clip;

use super::Plan;
use super::report::{BEYOND, CONNECTED, FIRST_FRAME, Report};
use super::streams::{PATIENCE, connect};

/// Medians of this many connections are a round's figures.
const CONNECTIONS: usize = 15;
const AIORTC: &str = "1.16.0";

/// Connects, waits for the first picture, leaves; as often as it says.
pub(crate) fn steps(report: &mut Report, name: &'static str, clip: &Arc<Clip>, _: &Plan) {
    let cluster = Cluster::launch("flip");
    let mut rows: [Vec<f64>; 4] = Default::default();
    for n in 0..CONNECTIONS {
        let offered = tokio::time::Instant::now().into_std();
        let mut peer = connect(&cluster, "", &n.to_string(), clip, false);
        peer.wait_received(1, PATIENCE);
        let stats = peer.stats();
        let since = |at: Option<Instant>| {
            millis(at.expect("before the first frame").duration_since(offered))
        };
        let first = stats.received.first().map(|frame| frame.complete);
        let steps = [stats.answered, stats.reached, stats.connected, first];
        rows.iter_mut().zip(steps).for_each(|(row, step)| row.push(since(step)));
        peer.close();
    }
    let names = ["offer to answer", "offer to a path (ICE)", CONNECTED, FIRST_FRAME];
    for (metric, values) in names.into_iter().zip(rows) {
        report.add(name, metric, "ms", median(values));
    }
}

/// The same client by turns here and against itself.
pub(crate) fn aiortc(report: &mut Report, name: &'static str) {
    let Some(python) = clients::aiortc(AIORTC) else {
        report.note(&format!(
            "{name}: left out. `scripts/clients.sh test` installs aiortc {AIORTC}."
        ));
        return;
    };
    let cluster = Cluster::launch("flip");
    let url = cluster.page("/webrtc/offer");
    let first_picture = |args: &[&str]| {
        let said = clients::run(&python, "aiortc_client.py", args);
        said["first_picture_ms"].as_f64().unwrap_or_else(|| panic!("no picture: {said}"))
    };
    let pairs = (0..CONNECTIONS).map(|_| (first_picture(&["--url", &url]), first_picture(&[])));
    let (here, itself): (Vec<f64>, Vec<f64>) = pairs.unzip();
    let (here, itself) = (median(here), median(itself));
    report.add(name, FIRST_FRAME, "ms", here);
    report.add(name, "the same against itself", "ms", itself);
    report.add(name, BEYOND, "ms", here - itself);
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
