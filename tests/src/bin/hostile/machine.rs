//! What happens to a process rather than to its ports, and looks like a hang from outside.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use reframe_tests::cluster::Cluster;
use reframe_tests::http;
use reframe_tests::peer::{Options, Peer};
use reframe_tests::source::{Clip, Format, Video};
use reframe_tests::wait::{for_time, try_eventually};
use rustix::process::{Pid, Signal, kill_process};

use crate::arena::Arena;

/// Longer than what is taken for a hang.
const STOPPED: Duration = Duration::from_secs(12);
/// How long `/healthz` is looked at.
const LOOKS: Duration = Duration::from_secs(15);
/// Three to four times what one codec thread can do.
const STREAMS: usize = 10;

/// On a gateway of its own: no stream outlives its server's standstill.
pub(crate) fn stopped_and_overloaded(_: &mut Arena, _: &mut SmallRng) -> Result<String, String> {
    let cluster = Cluster::launch_with("flip", &["--codec-threads", "1"]);
    cluster.gateway.freeze();
    for_time(STOPPED);
    let pid = i32::try_from(cluster.gateway.id()).ok().and_then(Pid::from_raw).ok_or("no process id")?;
    kill_process(pid, Signal::CONT).map_err(|error| error.to_string())?;
    healthy(&cluster, Duration::from_secs(3)).map_err(|bad| format!("after {STOPPED:?} of standstill: {bad}"))?;

    let clip = Arc::new(Clip::encode(Format::HD, 60, 60).map_err(|error| error.to_string())?);
    let connect = |n: usize| {
        let options = Options { decode: false, ..Options::camera(n.to_string(), Video::Clip(Arc::clone(&clip))) };
        Peer::connect(&cluster.page(""), options).map_err(|reply| format!("{reply:?}"))
    };
    let peers = (0..STREAMS).map(connect).collect::<Result<Vec<_>, _>>()?;
    let looks = healthy(&cluster, LOOKS).map_err(|bad| format!("with {STREAMS} streams of 720p: {bad}"))?;
    Ok(format!("stopped for {STOPPED:?}; {} streams of 720p, {looks} times 200", peers.len()))
}

/// How often it was 200 in all that time, or what it was instead.
fn healthy(cluster: &Cluster, time: Duration) -> Result<usize, String> {
    let mut looks = 0;
    let bad = try_eventually(time, || {
        looks += 1;
        match http::get(&cluster.admin("/healthz")) {
            Ok(reply) if reply.status == 200 => None,
            Ok(reply) => Some(format!("{} {}", reply.status, reply.body)),
            Err(error) => Some(error.to_string()),
        }
    });
    bad.map_or(Ok(looks), Err)
}
