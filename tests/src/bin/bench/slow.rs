//! A handler of 200 ms a frame that skips, and a fast one beside it in the same gateway.

use std::slice;
use std::sync::Arc;
use std::time::Duration;

use reframe_tests::cluster::{Cluster, Worker};
use reframe_tests::figures::megabytes;
use reframe_tests::peer::{Received, Stats};
use reframe_tests::source::Clip;

use super::Plan;
use super::report::Report;
use super::streams::{ages, connect, percentile_ms, watch};

/// The length of the first and of the last window that are compared.
const WINDOW_SECS: u32 = 10;

/// Two streams behind one gateway, a worker for each; the fast client is alone for a while.
pub(crate) fn beside_a_fast_one(
    report: &mut Report,
    name: &'static str,
    clip: &Arc<Clip>,
    plan: &Plan,
) {
    let cluster = Cluster::of(vec![Worker::serve("flip"), Worker::serve("skip-frames")]);
    let fast = connect(&cluster, "/flip", "fast", clip, true);
    watch(slice::from_ref(&fast), plan.warm_up_secs);
    let alone = watch(slice::from_ref(&fast), plan.window_secs).remove(0);

    let peers = [connect(&cluster, "/skip-frames", "slow", clip, true), fast];
    watch(&peers, plan.warm_up_secs);
    let rss_before = cluster.gateway.rss_bytes();
    let mut windows: Vec<[Vec<Received>; 2]> = Vec::new();
    for seconds in [WINDOW_SECS, plan.slow_secs - 2 * WINDOW_SECS, WINDOW_SECS] {
        if seconds > 0 {
            windows.push(watch(&peers, seconds).try_into().expect("one list for each peer"));
        }
    }
    let rss_after = cluster.gateway.rss_bytes();

    let (slow, beside): (Vec<_>, Vec<_>) =
        windows.into_iter().map(|[slow, fast]| (slow, fast)).unzip();
    let (first, last) = (ages(&slow[0]), ages(&slow[slow.len() - 1]));
    let [first_p50, last_p50] = [&first, &last].map(|ages| percentile_ms(ages, 50));
    report.add(name, "slow: age when first shown, p50, first 10 s", "ms", first_p50);
    report.add(
        name,
        "slow: age when first shown, p95, first 10 s",
        "ms",
        percentile_ms(&first, 95),
    );
    report.add(name, "slow: age when first shown, p50, last 10 s", "ms", last_p50);
    report.add(name, "slow: age when first shown, p95, last 10 s", "ms", percentile_ms(&last, 95));
    report.add(name, "slow: growth of the p50", "ms", last_p50 - first_p50);
    report.add(
        name,
        "slow: age of what is on the screen, p50",
        "ms",
        percentile_ms(&every_age(&slow.concat()), 50),
    );
    report.add(name, "slow: returned, with re-emissions", "fps", Stats::fps(&slow.concat()));
    report.add(name, "slow: new pictures", "fps", last.len() as f64 / f64::from(WINDOW_SECS));
    report.add(name, "gateway's resident memory at the start", "MB", megabytes(rss_before));
    report.add(name, "gateway's resident memory at the end", "MB", megabytes(rss_after));

    let beside = beside.concat();
    report.add(name, "fast: returned, alone", "fps", Stats::fps(&alone));
    report.add(name, "fast: returned, beside the slow one", "fps", Stats::fps(&beside));
    let (alone, beside) = (ages(&alone), ages(&beside));
    report.add(name, "fast: added latency, p50, alone", "ms", percentile_ms(&alone, 50));
    report.add(name, "fast: added latency, p50, beside", "ms", percentile_ms(&beside, 50));
    report.add(name, "fast: added latency, p95, alone", "ms", percentile_ms(&alone, 95));
    report.add(name, "fast: added latency, p95, beside", "ms", percentile_ms(&beside, 95));
}

/// Of every frame shown, re-emissions of an older picture too.
fn every_age(frames: &[Received]) -> Vec<Duration> {
    frames.iter().filter_map(|frame| frame.age).collect()
}
