//! The run itself: offers by the plan, looks at the processes every second, and gives what was
//! seen.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::random;
use reframe_tests::peer::{Options as PeerOptions, Peer, Place, Stats};
use reframe_tests::process::Usage;
use reframe_tests::source::{Clip, Video};
use tokio::signal::ctrl_c;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval_at, sleep_until};

use super::options::Target;
use super::plan::Plan;
use super::progress::Progress;

/// Between two looks at the processes.
const LOOK: Duration = Duration::from_secs(1);

/// What was seen.
pub(crate) struct Run {
    pub(crate) started: Instant,
    pub(crate) ended: Instant,
    /// Those that were offered, in order.
    pub(crate) streams: Vec<Stream>,
    /// The first at the start, the last at the end.
    pub(crate) looks: Vec<Look>,
}

/// A stream that was offered.
pub(crate) struct Stream {
    pub(crate) offered: Instant,
    pub(crate) decodes: bool,
    /// What came back, or why it was refused.
    pub(crate) seen: Result<Stats, String>,
}

/// What processes had used.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) at: Instant,
    /// This tool.
    pub(crate) tool: Usage,
    /// By `--pid`; `None` once it is gone.
    pub(crate) servers: Vec<Option<Usage>>,
}

impl Look {
    fn take(pids: &[u32]) -> Self {
        let tool = Usage::of(std::process::id()).unwrap_or_default();
        Self { at: now(), tool, servers: pids.iter().map(|id| Usage::of(*id)).collect() }
    }
}

/// Runs `plan`, or as much of it as there is time for before Ctrl-C.
pub(crate) fn run(
    plan: &Plan,
    target: &Target,
    clip: &Arc<Clip>,
    pids: &[u32],
) -> std::io::Result<Run> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let run = runtime.block_on(drive(plan, target, clip, pids));
    // An offer that nobody answers would hold us for as long as a request may take.
    runtime.shutdown_background();
    Ok(run)
}

async fn drive(plan: &Plan, target: &Target, clip: &Arc<Clip>, pids: &[u32]) -> Run {
    let started = now();
    let mut opening = JoinSet::new();
    let name: u32 = random();
    for (index, stream) in (0..plan.streams).enumerate() {
        let camera = PeerOptions {
            decode: plan.decodes(stream),
            place: Place { local: target.local, through: None },
            ..PeerOptions::camera(
                format!("load-{name:08x}-{stream}"),
                Video::Clip(Arc::clone(clip)),
            )
        };
        let (at, page) = (started + plan.offer_at(stream), target.page.clone());
        opening.spawn(async move { (index, open(at, page, camera).await) });
    }
    let mut answers: Vec<Option<Answer>> = (0..plan.streams).map(|_| None).collect();
    let mut looks = Vec::new();
    let mut progress = Progress::new(plan);
    let mut ticks = interval_at(started.into(), LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut interrupted = Box::pin(ctrl_c());
    loop {
        tokio::select! {
            biased;
            _ = &mut interrupted => {
                looks.push(Look::take(pids));
                break;
            }
            _ = ticks.tick() => {
                let look = Look::take(pids);
                let elapsed = look.at - started;
                looks.push(look);
                progress.show(elapsed, answers.iter().flatten().filter_map(|answer| answer.peer.as_ref().ok()));
                if elapsed >= plan.end() {
                    break;
                }
            }
            Some(Ok((index, answer))) = opening.join_next() => answers[index] = Some(answer),
        }
    }
    progress.finish();
    let ended = now();
    let (streams, peers) = collect(plan, started, ended, answers);
    close(peers);
    Run { started, ended, streams, looks }
}

/// The answer to an offer.
struct Answer {
    offered: Instant,
    peer: Result<Peer, String>,
}

async fn open(at: Instant, page: String, camera: PeerOptions) -> Answer {
    sleep_until(at.into()).await;
    let offered = now();
    let peer = spawn_blocking(move || Peer::try_connect(&page, camera)).await;
    // Should our own client give up, the server is not to blame; but the stream is not there
    // either.
    let peer = peer.map_err(|error| format!("this tool failed: {error}"));
    Answer { offered, peer: peer.and_then(|peer| peer.map_err(|refusal| refusal.to_string())) }
}

/// What each stream has seen up to now, and those to close.
fn collect(
    plan: &Plan,
    started: Instant,
    ended: Instant,
    answers: Vec<Option<Answer>>,
) -> (Vec<Stream>, Vec<Peer>) {
    let (mut streams, mut peers) = (Vec::new(), Vec::new());
    for (index, answer) in (0..).zip(answers) {
        let planned = started + plan.offer_at(index);
        if answer.is_none() && planned >= ended {
            continue;
        }
        let unanswered =
            || Answer { offered: planned, peer: Err("no answer before the end".to_owned()) };
        let Answer { offered, peer } = answer.unwrap_or_else(unanswered);
        let seen = peer.map(|peer| {
            let stats = peer.stats();
            peers.push(peer);
            stats
        });
        streams.push(Stream { offered, decodes: plan.decodes(index), seen });
    }
    (streams, peers)
}

/// All at once: each waits up to a second for the server.
fn close(peers: Vec<Peer>) {
    let closing: Vec<_> =
        peers.into_iter().map(|mut peer| std::thread::spawn(move || peer.close())).collect();
    // A peer whose thread had panicked has said so on standard error.
    closing.into_iter().for_each(|thread| drop(thread.join()));
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
