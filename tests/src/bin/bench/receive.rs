//! Mode receive: how exactly a generator's pictures leave the server, and how exactly they arrive.
//!
//! At the client a grid is fitted to what arrived: its period is the declared one, exactly, and its
//! origin the median. A picture's error is how far from its own place it came; its RTP time stamp
//! says which that is.
//!
//! Beside it runs a bare timer at the same rate: what the machine, busy as it is, lets anybody do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reframe_tests::cluster::Cluster;
use reframe_tests::peer::{Options, Peer, Received};

use super::report::{ARRIVAL_P50, ARRIVAL_P99, EMPTY, EXTRA, RELEASE_P50, RELEASE_P99, Report};
use super::streams::PATIENCE;
use super::{Plan, load};

/// Of the RTP clock, hertz; the rates measured here divide it.
const CLOCK: u32 = 90_000;

/// The demo `ticker` at `fps`, watched from its first picture on; `busy` where others have most of
/// the machine.
pub(crate) fn metronome(
    report: &mut Report,
    name: &'static str,
    fps: u32,
    busy: bool,
    plan: &Plan,
) {
    let cluster = Cluster::launch_with("ticker", &["--fps", &fps.to_string()]);
    let options = Options { decode: false, ..Options::viewer(name) };
    let peer = Peer::connect(&cluster.page(""), options)
        .unwrap_or_else(|reply| panic!("no answer but {reply:?}"));
    // A second more, so that what belongs into the window and comes late is there.
    let long = Duration::from_secs(u64::from(plan.receive_secs) + 1);
    let over = AtomicBool::new(false);
    let (frames, timer) = std::thread::scope(|scope| {
        if busy {
            load::start(scope, &over);
        }
        let timer = scope.spawn(|| bare_timer(fps, &over));
        let frames = peer.wait_until("the window", long + PATIENCE, |stats| {
            let (first, last) = (stats.received.first()?.arrived, stats.received.last()?.arrived);
            (last - first >= long).then(|| stats.received.clone())
        });
        over.store(true, Ordering::Relaxed);
        (frames, timer.join().expect("a timer cannot fail"))
    });
    let metrics = cluster.metrics();

    let ticks = CLOCK / fps;
    let origin = frames[0].rtp_time;
    let off_grid =
        frames.iter().filter(|frame| !(frame.rtp_time - origin).is_multiple_of(u64::from(ticks)));
    report.add(name, "time stamps off the grid", "frames", off_grid.count() as f64);

    let arrivals: Vec<_> =
        frames.iter().map(|frame| arrival(frame, frames[0].arrived, origin)).collect();
    let late = sorted(arrivals.iter().map(|(at, place)| at - place));
    let offset = percentile(&late, 50);
    let errors = sorted(late.iter().map(|late| (late - offset).abs()));

    // By the client's clock: from half a place before the first to as long after.
    let seconds = f64::from(plan.receive_secs);
    let half = 0.5 / f64::from(fps);
    let inside = |at: f64| (-half..seconds - half).contains(&(at - offset));
    let count = arrivals.iter().filter(|(at, _)| inside(*at)).count() as f64;
    let places = arrivals.iter().filter(|(_, place)| *place < seconds - half).count() as f64;
    let expected = seconds * f64::from(fps);
    report.add(name, "pictures in the window", "frames", count);
    report.add(name, EXTRA, "frames", count - expected);
    report.add(name, EMPTY, "places", expected - places);

    let release = |quantile| {
        1e3 * metrics.quantile("reframe_release_error_seconds", quantile).unwrap_or(f64::NAN)
    };
    report.add(name, RELEASE_P50, "ms", release(0.50));
    report.add(name, RELEASE_P99, "ms", release(0.99));
    report.add(name, ARRIVAL_P50, "ms", 1e3 * percentile(&errors, 50));
    report.add(name, ARRIVAL_P99, "ms", 1e3 * percentile(&errors, 99));
    report.add(name, "off the grid at the client, most", "ms", 1e3 * percentile(&errors, 100));
    report.add(name, "a bare timer beside it: late, p99", "ms", 1e3 * percentile(&timer, 99));
    report.add(name, "a bare timer beside it: late, most", "ms", 1e3 * percentile(&timer, 100));
}

/// How late a thread wakes that does nothing but wait for the next place on a grid of `fps`;
/// seconds, sorted.
fn bare_timer(fps: u32, over: &AtomicBool) -> Vec<f64> {
    let interval = Duration::from_secs(1) / fps;
    let mut due = tokio::time::Instant::now() + interval;
    let mut late = Vec::new();
    while !over.load(Ordering::Relaxed) {
        std::thread::park_timeout(due.saturating_duration_since(tokio::time::Instant::now()));
        let now = tokio::time::Instant::now();
        // Nobody unparks this thread, but it may wake without a reason.
        if now >= due {
            late.push((now - due).as_secs_f64());
            while due <= now {
                due += interval;
            }
        }
    }
    sorted(late.into_iter())
}

/// When a frame came, and its place on the grid; seconds since the first came and from the first's
/// place.
fn arrival(frame: &Received, first: Instant, origin: u64) -> (f64, f64) {
    let place = (frame.rtp_time - origin) as f64 / f64::from(CLOCK);
    (frame.arrived.duration_since(first).as_secs_f64(), place)
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() - 1) * percent / 100]
}
