//! Two and four times as many 1280x720 streams as the machine can code: what each gets, and whether
//! the server answers.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use reframe_tests::cluster::Cluster;
use reframe_tests::figures::megabytes;
use reframe_tests::http;
use reframe_tests::peer::{Media, Options, Peer, Stats, offer_sdp};
use reframe_tests::source::{Clip, Video};
use serde_json::json;
use tokio::time::Instant;

use super::report::{FASTEST, Report, SLOWEST};
use super::streams::{PATIENCE, ages, connect, new_frames, percentile_ms, watch_for};
use super::{Plan, floor};

/// What the whole costs, to the codecs alone, where the server has no more than its share of the
/// machine.
const OVERHEAD: f64 = 1.3;
/// Between two looks at how fast the server answers.
const PROBE_INTERVAL: Duration = Duration::from_millis(100);
/// Until the server has found what fits: some steps of its relief, and the way back from one too
/// many.
const SETTLED_SECS: u32 = 8;
/// Longer than what the load is a mean of, so that who is refused then is refused for what was
/// measured.
const SECOND_TRY_SECS: u32 = 3;

/// Streams that the cores can code at 30 fps.
fn capacity(clip: &Arc<Clip>, plan: &Plan) -> usize {
    let floor_ms = floor::paced(clip, 1, plan).cpu_ms;
    let ms = thread::available_parallelism().map_or(2, usize::from) as f64 * 1_000.0;
    (1..)
        .take_while(|streams| f64::from(*streams) * 30.0 * floor_ms * OVERHEAD <= ms)
        .count()
        .max(1)
}

/// `factor` times what fits, all taken. Browsers with the page send less when asked, as an obedient
/// `clip` does.
pub(crate) fn beyond(
    report: &mut Report,
    name: &'static str,
    factor: usize,
    clip: &Arc<Clip>,
    plan: &Plan,
) {
    let streams = factor * capacity(clip, plan);
    let cluster = Cluster::launch_with("flip", &["--capacity", "256", "--max-load", "100"]);
    let mut peers: Vec<_> =
        (0..streams).map(|n| connect(&cluster, "", &n.to_string(), clip, n == 0)).collect();
    report.add(name, STREAMS, "", streams as f64);
    measure(report, name, &cluster, &peers, plan);
    close(&mut peers);
}

/// Four times what fits, offered twice to a gateway with the default `--max-load`.
pub(crate) fn limited(report: &mut Report, name: &'static str, clip: &Arc<Clip>, plan: &Plan) {
    let streams = 4 * capacity(clip, plan);
    let cluster = Cluster::launch_with("flip", &["--capacity", "256", "--max-load", "90"]);
    let offer = |n: usize| {
        let video = Video::Clip(Arc::clone(clip));
        let options = Options { decode: n == 0, ..Options::camera(n.to_string(), video) };
        Peer::connect(&cluster.page(""), options).ok().filter(taken)
    };
    let mut peers: Vec<_> = (0..streams).filter_map(offer).collect();
    watch_for(&peers, SECOND_TRY_SECS);
    peers.extend((peers.len()..streams).map(|n| n + streams).filter_map(offer));
    report.add(name, STREAMS, "", peers.len() as f64);
    measure(report, name, &cluster, &peers, plan);
    close(&mut peers);
}

const STREAMS: &str = "streams";

/// Whether the server shows `peer` something. It refuses some offers, and ends some sessions when
/// their connection stands and their codec thread has no room.
fn taken(peer: &Peer) -> bool {
    peer.wait_until("a picture, or an end", PATIENCE, |stats| {
        (!stats.received.is_empty() || stats.closed_by_server).then_some(!stats.received.is_empty())
    })
}

/// The first of `peers` decodes.
fn measure(
    report: &mut Report,
    name: &'static str,
    cluster: &Cluster,
    peers: &[Peer],
    plan: &Plan,
) {
    peers.iter().for_each(|peer| peer.wait_received(1, PATIENCE));
    watch_for(peers, SETTLED_SECS);
    let (rss_before, new_before) = (cluster.gateway.rss_bytes(), new_frames(cluster));
    let (probes, received) = thread::scope(|scope| {
        let (stop, stopped) = channel();
        let probing = scope.spawn(move || probe(cluster, &stopped));
        let received = watch_for(peers, plan.window_secs);
        drop(stop);
        (probing.join().expect("the server answers"), received)
    });
    let grown = cluster.gateway.rss_bytes() as f64 - rss_before as f64;
    let new = (new_frames(cluster) - new_before) / f64::from(plan.window_secs) / peers.len() as f64;
    report.add(name, "new pictures, mean of the streams", "fps", new);
    let fps = received.iter().map(|frames| Stats::fps(frames));
    report.add(name, SLOWEST, "fps", fps.clone().fold(f64::INFINITY, f64::min));
    report.add(name, FASTEST, "fps", fps.fold(0.0, f64::max));
    let ages = ages(&received[0]);
    report.add(name, "added latency, p50", "ms", percentile_ms(&ages, 50));
    report.add(name, "added latency, p99", "ms", percentile_ms(&ages, 99));
    report.add(name, "resident memory at the start", "MB", megabytes(rss_before));
    report.add(name, "growth of it", "MB", grown / 1e6);
    let [health, offers] = probes;
    report.add(name, "/healthz, p99", "ms", percentile_ms(&health, 99));
    report.add(name, "/healthz, slowest", "ms", percentile_ms(&health, 100));
    report.add(name, "answer to an offer, p99", "ms", percentile_ms(&offers, 99));
    report.add(name, "answer to an offer, slowest", "ms", percentile_ms(&offers, 100));
}

/// How long `/healthz` and an offer, which is then withdrawn, take, until `stopped` is closed.
fn probe(cluster: &Cluster, stopped: &Receiver<()>) -> [Vec<Duration>; 2] {
    let (mut health, mut offers) = (Vec::new(), Vec::new());
    while stopped.recv_timeout(PROBE_INTERVAL) == Err(RecvTimeoutError::Timeout) {
        let started = Instant::now();
        assert_eq!(http::get(&cluster.admin("/healthz")).expect("it lives").status, 200);
        health.push(started.elapsed());
        let id = format!("probe-{}", offers.len());
        let body = json!({ "sdp": offer_sdp(Media::default()), "type": "offer", "webrtc_id": id });
        let started = Instant::now();
        http::post(&cluster.page("/webrtc/offer"), body.to_string())
            .expect("an answer, or a refusal");
        offers.push(started.elapsed());
        http::delete(&cluster.admin(&format!("/api/sessions/{id}"))).expect("an answer");
    }
    [health, offers]
}

/// All at once: each waits up to a second for the server.
fn close(peers: &mut [Peer]) {
    thread::scope(|scope| peers.iter_mut().for_each(|peer| drop(scope.spawn(|| peer.close()))));
}
