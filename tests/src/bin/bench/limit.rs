//! As many 1280x720 streams as a machine just about carries, against what the codecs and the
//! handler reach by themselves beside the same clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use bytes::BytesMut;
use reframe_gateway::codec::Picture;
use reframe_tests::cluster::Cluster;
use reframe_tests::peer::{Peer, Stats};
use reframe_tests::process::cpu_time;
use reframe_tests::source::Clip;
use reframe_tests::wait::for_time;
use tokio::time::Instant;

use super::floor::Stream;
use super::report::{FASTEST, LIMIT, Report, SLOWEST};
use super::streams::{PATIENCE, connect, new_frames, watch_for};
use super::{Plan, load};

/// Two on each core.
const STREAMS_A_CORE: usize = 2;
const FPS: f64 = 30.0;
/// Until the server has found what fits.
const SETTLED_SECS: u32 = 8;

/// Both, one after the other.
pub(crate) fn at_the_limit(report: &mut Report, name: &'static str, clip: &Arc<Clip>, plan: &Plan) {
    let cores = thread::available_parallelism().map_or(2, usize::from);
    let streams = cores * STREAMS_A_CORE;
    let cluster = Cluster::launch_with("flip", &["--capacity", "64", "--max-load", "100"]);
    let peers: Vec<Peer> =
        (0..streams).map(|n| connect(&cluster, "", &n.to_string(), clip, false)).collect();
    peers.iter().for_each(|peer| peer.wait_received(1, PATIENCE));
    watch_for(&peers, SETTLED_SECS);
    let seconds = f64::from(plan.window_secs);
    // The peers are threads of this process.
    let (new, clients) = (new_frames(&cluster), cpu_time(std::process::id()));
    let received = watch_for(&peers, plan.window_secs);
    let new = (new_frames(&cluster) - new) / seconds / streams as f64;
    let clients = (cpu_time(std::process::id()) - clients).div_f64(seconds * cores as f64);
    drop(peers);
    drop(cluster);
    let alone = by_themselves(clip, cores, clients, plan);
    report.add(name, "streams", "", streams as f64);
    report.add(name, "new pictures, mean of the streams", "fps", new);
    let fps = received.iter().map(|frames| Stats::fps(frames));
    report.add(name, SLOWEST, "fps", fps.clone().fold(f64::INFINITY, f64::min));
    report.add(name, FASTEST, "fps", fps.fold(0.0, f64::max));
    report.add(name, "by themselves, beside the clients' CPU", "fps", alone);
    report.add(name, LIMIT, "", new / alone);
}

/// Decodes, turns over and encodes, on a thread for each core, while as much CPU of each core is
/// taken as `clients` took of a second; frames a second of each stream.
fn by_themselves(clip: &Arc<Clip>, cores: usize, clients: Duration, plan: &Plan) -> f64 {
    let (frames, over) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        load::share(scope, &over, clients.as_secs_f64());
        for _ in 0..cores {
            scope.spawn(|| code(clip, &frames, &over));
        }
        let secs = |secs: u32| for_time(Duration::from_secs(secs.into()));
        secs(plan.warm_up_secs);
        let before = frames.load(Ordering::Relaxed);
        secs(plan.window_secs);
        let after = frames.load(Ordering::Relaxed);
        over.store(true, Ordering::Relaxed);
        let streams = (cores * STREAMS_A_CORE) as f64;
        (after - before) as f64 / f64::from(plan.window_secs) / streams
    })
}

/// Streams of one thread in turn, none faster than its camera.
fn code(clip: &Arc<Clip>, frames: &AtomicU64, over: &AtomicBool) {
    let mut streams: Vec<_> = (0..STREAMS_A_CORE).map(|_| Stream::new(clip)).collect();
    let (mut number, mut due) = (0, Instant::now());
    while !over.load(Ordering::Relaxed) {
        // Who is late does not catch up, as a camera does not.
        due = (due + Duration::from_secs_f64(1.0 / FPS)).max(Instant::now());
        for stream in &mut streams {
            stream.frame_with(number, clip.units(), turn_over);
            frames.fetch_add(1, Ordering::Relaxed);
        }
        number += 1;
        while Instant::now() < due {
            thread::park_timeout(due.saturating_duration_since(Instant::now()));
        }
    }
}

/// What the handler `flip` does.
fn turn_over(picture: &Picture) -> Picture {
    let (width, height) = (picture.width as usize, picture.height as usize);
    let mut data = BytesMut::with_capacity(picture.data.len());
    let (luma, chroma) = picture.data.split_at(width * height);
    for (plane, width) in std::iter::once((luma, width))
        .chain(chroma.chunks(chroma.len() / 2).map(|plane| (plane, width / 2)))
    {
        plane.chunks(width).rev().for_each(|row| data.extend_from_slice(row));
    }
    Picture { data: data.freeze(), ..picture.clone() }
}
