//! The run itself: offers by the plan, looks at the processes every second, and gives what was
//! seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rand::random;
use reframe_tests::peer::{Options as PeerOptions, Peer, Place, Stats};
use reframe_tests::process::Usage;
use reframe_tests::source::{Clip, Video};
use tokio::signal::ctrl_c;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval_at, sleep, sleep_until};

use super::options::Target;
use super::plan::Plan;
use super::progress::Progress;
use super::retry;

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
    /// Offers that were made again because the server had refused them for the moment.
    pub(crate) retries: u32,
}

/// A stream that was offered.
pub(crate) struct Stream {
    /// The last time, where it was offered several times.
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
    let retries = Arc::new(AtomicU32::new(0));
    let name: u32 = random();
    for (index, stream) in (0..plan.streams).enumerate() {
        let camera = PeerOptions {
            decode: plan.decodes(stream),
            place: Place { local: target.local, through: None },
            token: target.token.clone(),
            ..PeerOptions::camera(
                format!("load-{name:08x}-{stream}"),
                Video::Clip(Arc::clone(clip)),
            )
        };
        let (at, page) = (started + plan.offer_at(stream), target.page.clone());
        let retries = Arc::clone(&retries);
        opening.spawn(async move { (index, open(at, page, camera, &retries).await) });
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
    Run { started, ended, streams, looks, retries: retries.load(Ordering::Relaxed) }
}

/// The answer to an offer.
struct Answer {
    offered: Instant,
    peer: Result<Peer, String>,
}

/// Offers a stream, and again where the server says that it may be offered later.
async fn open(at: Instant, page: String, camera: PeerOptions, retries: &AtomicU32) -> Answer {
    sleep_until(at.into()).await;
    let mut retried = 0;
    loop {
        let offered = now();
        let (page, camera) = (page.clone(), camera.clone());
        let peer = match spawn_blocking(move || Peer::try_connect(&page, camera)).await {
            Ok(Ok(peer)) => Ok(peer),
            Ok(Err(refusal)) => {
                if let Some(pause) = retry::wait(&refusal, retried, random()) {
                    sleep(pause).await;
                    retried += 1;
                    retries.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                Err(refusal.to_string())
            }
            // Should our own client give up, the server is not to blame; but the stream is not
            // there either.
            Err(error) => Err(format!("this tool failed: {error}")),
        };
        return Answer { offered, peer };
    }
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use reframe_tests::source::Format;

    use super::*;

    /// A server that limits the rate twice, and then has no room.
    #[tokio::test]
    async fn a_refusal_for_the_moment_is_waited_out_and_counted() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let page = format!("http://{}", server.local_addr().unwrap());
        let serving = std::thread::spawn(move || {
            for (status, error) in
                [(429, "rate_limited"), (429, "rate_limited"), (503, "overloaded")]
            {
                let (mut client, _) = server.accept().unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"}") {
                    let mut some = [0; 4_096];
                    let length = client.read(&mut some).unwrap();
                    request.extend_from_slice(&some[..length]);
                }
                let body = format!(r#"{{"status":"failed","meta":{{"error":"{error}"}}}}"#);
                let reply = format!(
                    "HTTP/1.1 {status} No\r\nRetry-After: 0\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                client.write_all(reply.as_bytes()).unwrap();
            }
        });
        let clip = Arc::new(Clip::encode(Format::SMALL, 1, 1).unwrap());
        let camera = PeerOptions::camera("retried", Video::Clip(clip));
        let retries = AtomicU32::new(0);
        let answer = open(now(), page, camera, &retries).await;
        assert_eq!(answer.peer.err().as_deref(), Some("overloaded"));
        assert_eq!(retries.into_inner(), 2);
        serving.join().unwrap();
    }
}
