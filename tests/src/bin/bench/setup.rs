//! From the offer to the first processed picture, step by step: connections one after the other.

use std::sync::Arc;
use std::time::Instant;

use reframe_tests::cluster::Cluster;
use reframe_tests::figures::millis;
use reframe_tests::source::Clip;

use super::Plan;
use super::report::{CONNECTED, FIRST_FRAME, Report};
use super::streams::{PATIENCE, connect};

/// Medians of this many connections are a round's figures.
const CONNECTIONS: usize = 15;

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
    for (metric, mut values) in names.into_iter().zip(rows) {
        values.sort_by(f64::total_cmp);
        report.add(name, metric, "ms", values[values.len() / 2]);
    }
}
