//! Two 1280x720 streams after something stood still or was busy: how soon all of their pictures are
//! back, and how many of them an hour of such things costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use reframe_tests::browser::{Browser, Camera};
use reframe_tests::cluster::Cluster;
use reframe_tests::netem::{Conditions, Network};
use reframe_tests::peer::{Peer, Received, Stats};
use reframe_tests::source::Clip;
use reframe_tests::wait::for_time;
use tokio::time::Instant;

use super::report::Report;
use super::streams::{PATIENCE, connect, new_frames, watch_for};
use super::{Plan, progress};

/// Looked for so long; what takes longer is given as this.
const LOOK: Duration = Duration::from_secs(30);
/// Before each disturbance: an estimate that has met no limit is at the maximum.
const STEADY_SECS: u32 = 5;
/// Of what a stream shows in a second of 30 pictures.
const ALL: usize = 29;
/// Loops that take a core each, for [`BUSY`].
const BUSY_LOOPS: usize = 14;
const BUSY: Duration = Duration::from_secs(2);

/// What happens to streams that go well.
#[derive(Clone, Copy, Debug)]
enum Disturbance {
    /// The server's process is stopped.
    Server(Duration),
    /// Both clients are.
    Clients(Duration),
    /// Nothing comes back from them, feedback included.
    Feedback(Duration),
    /// Other threads want all the CPU.
    Neighbours,
    /// A browser is started, and ended.
    Browser,
}

impl Disturbance {
    fn name(self) -> String {
        match self {
            Self::Server(time) => format!("server stopped for {} s", time.as_secs()),
            Self::Clients(time) => format!("clients stopped for {} s", time.as_secs()),
            Self::Feedback(time) => format!("no feedback for {} s", time.as_secs()),
            Self::Neighbours => format!("{BUSY_LOOPS} busy loops for {} s", BUSY.as_secs()),
            Self::Browser => "a browser starts".to_owned(),
        }
    }

    /// Returns when it is over.
    fn happen(self, cluster: &Cluster, peers: &[Peer]) {
        match self {
            Self::Server(time) => {
                cluster.gateway.freeze();
                for_time(time);
                cluster.gateway.thaw();
            }
            Self::Clients(time) => {
                peers.iter().for_each(|peer| peer.stall(time));
                for_time(time);
            }
            Self::Feedback(time) => {
                let cut = Conditions { blackout: true, ..Conditions::default() };
                let set = |network| peers.iter().for_each(|peer| peer.set_network(network));
                set(Network { up: cut, ..Network::default() });
                for_time(time);
                set(Network::default());
            }
            Self::Neighbours => {
                let over = AtomicBool::new(false);
                thread::scope(|scope| {
                    for _ in 0..BUSY_LOOPS {
                        scope.spawn(|| {
                            while !over.load(Ordering::Relaxed) {
                                std::hint::spin_loop();
                            }
                        });
                    }
                    for_time(BUSY);
                    over.store(true, Ordering::Relaxed);
                });
            }
            Self::Browser => {
                drop(Browser::start(&std::env::temp_dir(), "recovery", Camera::Allowed))
            }
        }
    }
}

/// Each disturbance once, each of a fresh pair of streams.
pub(crate) fn disturbances(report: &mut Report, name: &'static str, clip: &Arc<Clip>, plan: &Plan) {
    let stood: &[u64] = if plan.rounds == 1 { &[3] } else { &[1, 3, 10] };
    let stood = stood.iter().map(|seconds| Duration::from_secs(*seconds));
    let stood = stood.flat_map(|time| {
        [Disturbance::Server(time), Disturbance::Clients(time), Disturbance::Feedback(time)]
    });
    for disturbance in stood.chain([Disturbance::Neighbours, Disturbance::Browser]) {
        let cluster = Cluster::launch("flip");
        let peers = two(&cluster, clip);
        watch_for(&peers, STEADY_SECS);
        disturbance.happen(&cluster, &peers);
        let over = Instant::now().into_std();
        watch_for(&peers, u32::try_from(LOOK.as_secs()).unwrap_or(u32::MAX));
        let back = peers.iter().map(|peer| back(&peer.stats(), over));
        let metric = format!("all pictures again: {}", disturbance.name());
        report.add(name, &metric, "s", back.fold(0.0, f64::max));
    }
}

/// A disturbance each minute, in turn, for so many minutes.
pub(crate) fn soak(report: &mut Report, name: &'static str, clip: &Arc<Clip>, minutes: u32) {
    const SECOND: Duration = Duration::from_secs(1);
    let turns = [
        Disturbance::Server(SECOND),
        Disturbance::Clients(SECOND),
        Disturbance::Feedback(SECOND),
        Disturbance::Neighbours,
        Disturbance::Browser,
    ];
    let cluster = Cluster::launch("flip");
    let peers = two(&cluster, clip);
    watch_for(&peers, STEADY_SECS);
    let sent = || peers.iter().map(|peer| peer.stats().sent.len()).sum::<usize>() as f64;
    let (first, began, sent_first) = (new_frames(&cluster), Instant::now(), sent());
    let mut worst: f64 = 1.0;
    for minute in 0..minutes {
        let (shown, due) = (new_frames(&cluster), began + Duration::from_secs(60) * (minute + 1));
        let disturbance = turns[minute as usize % turns.len()];
        disturbance.happen(&cluster, &peers);
        while Instant::now() < due {
            for_time(Duration::from_millis(100));
        }
        let kept = (new_frames(&cluster) - shown) / (60.0 * 30.0 * peers.len() as f64);
        worst = worst.min(kept);
        progress(&format!(
            "minute {}: {}: {:.1} % kept",
            minute + 1,
            disturbance.name(),
            100.0 * kept
        ));
    }
    let (shown, passed) = (new_frames(&cluster) - first, began.elapsed().as_secs_f64());
    let due = passed * 30.0 * peers.len() as f64;
    report.add(name, "minutes", "", f64::from(minutes));
    report.add(name, "pictures kept, of 30 a second", "%", 100.0 * shown / due);
    report.add(name, "of those that were sent", "%", 100.0 * shown / (sent() - sent_first));
    report.add(name, "of the worst minute", "%", 100.0 * worst);
}

/// The first decodes.
fn two(cluster: &Cluster, clip: &Arc<Clip>) -> Vec<Peer> {
    let peers: Vec<_> =
        (0..2).map(|n| connect(cluster, "", &n.to_string(), clip, n == 0)).collect();
    peers.iter().for_each(|peer| peer.wait_received(1, PATIENCE));
    peers
}

/// Seconds from `over` until a second begins with all pictures: of full size, and new ones, where
/// that is seen.
fn back(stats: &Stats, over: std::time::Instant) -> f64 {
    let after: Vec<&Received> =
        stats.received.iter().filter(|frame| frame.complete >= over).collect();
    let begins = after.iter().enumerate().find(|(at, frame)| {
        let end = frame.complete + Duration::from_secs(1);
        let second: Vec<_> = after[*at..].iter().take_while(|frame| frame.complete < end).collect();
        let new = second.windows(2).filter(|two| two[0].code != two[1].code).count();
        let seen = second.iter().any(|frame| frame.height > 0);
        let full = second.iter().all(|frame| [0, 720].contains(&frame.height));
        full && second.len() >= ALL && (!seen || new + 2 >= ALL)
    });
    begins.map_or(LOOK, |(_, frame)| frame.complete - over).as_secs_f64()
}
