//! Whoever reaches a worker's port and is no gateway: what that costs is bounded, and the gateway's
//! sessions go on.

use std::collections::BTreeMap;
use std::fs;
use std::future::poll_fn;
use std::io::Write;
use std::iter::repeat_n;
use std::net::TcpStream;

use bytes::Bytes;
use http_body_util::StreamBody;
use reframe_proto::MAX_OPEN_BYTES;
use reframe_proto::v1::DescribeRequest;
use reframe_proto::v1::frame_worker_client::FrameWorkerClient;
use reframe_tests::attacker::tcp::is_closed;
use reframe_tests::cluster::Worker;
use reframe_tests::process::Process;
use reframe_tests::source::{Format, Video};
use reframe_worker::{
    AdditionalOutputs, Frame, Json, Session, Stream, Textbox, VideoStreamHandler,
};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_stream::{StreamExt, iter, pending};
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::*;

/// As the worker has them.
const CONNECTIONS: usize = 256;
const UNASKED: usize = 64;
const UNANSWERED: usize = 256;

const SESSION: &str = "/reframe.v1.FrameWorker/Session";
const DESCRIBE: &str = "/reframe.v1.FrameWorker/Describe";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// What a worker may need more for all that strangers send at once: the calls that wait, as long as
/// they may be, and as much for what carries them. Without bounds it is gigabytes.
const MEMORY: u64 = 64 << 20;

/// A gateway with a session that runs, in front of one worker, and somebody else who reaches that.
struct Scene {
    cluster: Cluster,
    honest: Peer,
    runtime: Runtime,
}

impl Scene {
    fn start() -> Self {
        let cluster = Cluster::of(vec![Worker::serve("flip")]);
        let honest = connect(&cluster, "honest", Video::Live(Format::SMALL));
        honest.wait_received(10, PATIENCE);
        let runtime =
            Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        Self { cluster, honest, runtime }
    }

    fn worker(&self) -> &Process {
        &self.cluster.workers[0].process
    }

    fn url(&self) -> &str {
        &self.cluster.workers[0].url
    }

    fn stranger(&self) -> Channel {
        let endpoint = Endpoint::from_shared(self.url().to_owned()).expect("a URL");
        self.runtime.block_on(endpoint.connect()).expect("the port is open")
    }

    fn raw(&self) -> TcpStream {
        TcpStream::connect(self.url().trim_start_matches("http://")).expect("the port is open")
    }

    /// All that the log says of what was turned away, by reason.
    fn turned_away(&self) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for line in
            self.worker().log().lines().filter(|line| line.contains("peers were turned away"))
        {
            for (reason, count) in line.split_whitespace().filter_map(|field| field.split_once('='))
            {
                *sums.entry(reason.to_owned()).or_default() +=
                    count.parse::<u64>().unwrap_or_default();
            }
        }
        sums
    }

    #[track_caller]
    fn wait_turned_away(&self, reason: &str, count: usize) {
        eventually(&format!("{count} turned away as {reason}"), PATIENCE, || {
            (self.turned_away().get(reason) == Some(&(count as u64))).then_some(())
        });
    }

    /// The session went on all the while, and another starts.
    #[track_caller]
    fn assert_undisturbed(mut self, seen: usize) {
        let mut next = connect(&self.cluster, "next", Video::Live(Format::SMALL));
        next.wait_received(10, PATIENCE);
        let stats = self.honest.stats();
        let fps = Stats::fps(&stats.received[seen..]);
        assert!(fps > 20.0 && stats.undecodable == 0, "{fps:.1} fps; {}", stats.summary());
        assert_eq!(self.cluster.metrics().sum("reframe_worker_up", &[]), 1.0);
        next.close();
        self.honest.close();
        assert_balanced(&self.cluster);
    }
}

/// A message that says how long it is, as far as it was sent.
fn message(declared: usize, sent: usize) -> Bytes {
    let length = u32::try_from(declared).expect("four bytes").to_be_bytes();
    [0].into_iter().chain(length).chain(repeat_n(7, sent)).collect()
}

/// The status of a call that sends these parts, and then nothing, and does not end.
async fn call(mut channel: Channel, path: &str, parts: Vec<Bytes>) -> Code {
    let parts = iter(parts.into_iter().map(|part| Ok::<_, Status>(hyper::body::Frame::data(part))));
    let request = http::Request::post(format!("http://worker{path}"))
        .header("content-type", "application/grpc")
        .body(Body::new(StreamBody::new(parts.chain(pending()))))
        .expect("a request");
    poll_fn(|cx| channel.poll_ready(cx)).await.expect("a connection");
    let response = channel.call(request).await.expect("an answer");
    let code = response.headers().get("grpc-status").expect("no body, but a status");
    Code::from_bytes(code.as_bytes())
}

/// How these calls end, on channels that they share.
fn call_all(
    scene: &Scene,
    channels: usize,
    calls: Vec<(&'static str, Vec<Bytes>)>,
) -> BTreeMap<i32, usize> {
    let channels: Vec<_> = (0..channels).map(|_| scene.stranger()).collect();
    scene.runtime.block_on(async {
        let mut set = JoinSet::new();
        for ((path, parts), channel) in calls.into_iter().zip(channels.iter().cycle()) {
            set.spawn(call(channel.clone(), path, parts));
        }
        let mut codes = BTreeMap::new();
        while let Some(code) = set.join_next().await {
            *codes.entry(code.expect("no call panics").into()).or_default() += 1;
        }
        codes
    })
}

/// The most memory since [`forget_peak`].
fn peak(process: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the peak");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

fn forget_peak(process: &Process) {
    fs::write(format!("/proc/{}/clear_refs", process.id()), "5").expect("it is ours");
}

/// Those that say that they are too long are refused before they are; those that are not are given
/// up.
#[test]
fn unfinished_first_messages_cost_no_memory() {
    let scene = Scene::start();
    let before = scene.worker().rss_bytes();
    forget_peak(scene.worker());
    let seen = scene.honest.stats().received.len();

    // Each would send 15 MiB: 3 GiB in all.
    let part = Bytes::from(vec![7; 1 << 20]);
    let large = [vec![message(15 << 20, 0)], vec![part; 15]].concat();
    let codes = call_all(&scene, 20, vec![(SESSION, large.clone()); 200]);
    assert_eq!(codes, BTreeMap::from([(Code::OutOfRange.into(), 200)]), "an open");
    let codes = call_all(
        &scene,
        20,
        [vec![(DESCRIBE, large.clone()); 100], vec![(WATCH, large); 100]].concat(),
    );
    assert_eq!(codes, BTreeMap::from([(Code::OutOfRange.into(), 200)]), "any other call");
    // None declares too much, and each goes on behind its message.
    let small = [vec![message(0, 0)], vec![Bytes::from(vec![0; 1 << 20]); 15]].concat();
    let codes = call_all(
        &scene,
        20,
        [vec![(DESCRIBE, small.clone()); 100], vec![(WATCH, small); 100]].concat(),
    );
    assert_eq!(codes, BTreeMap::from([(Code::OutOfRange.into(), 200)]), "more than one message");
    scene.wait_turned_away("too_long", 600);

    // As long as it may be, but for the last byte.
    let almost = vec![message(MAX_OPEN_BYTES, MAX_OPEN_BYTES - 1)];
    let codes = call_all(&scene, 20, vec![(SESSION, almost); UNANSWERED]);
    let (late, displaced) =
        (codes.get(&Code::DeadlineExceeded.into()), codes.get(&Code::ResourceExhausted.into()));
    // The gateway's own calls, if it makes some meanwhile, find a place.
    let (late, displaced) =
        (late.copied().unwrap_or_default(), displaced.copied().unwrap_or_default());
    assert!(late + displaced == UNANSWERED && late >= UNANSWERED - 3, "{codes:?}");
    scene.wait_turned_away("unfinished", late);

    let grown = peak(scene.worker()).saturating_sub(before);
    assert!(grown < MEMORY, "{} MiB more", grown >> 20);
    scene.assert_undisturbed(seen);
}

/// Too many calls that wait: those that have waited longest are refused, and an honest one is not.
#[test]
fn an_honest_call_finds_a_place_among_any_number_that_wait() {
    let scene = Scene::start();
    let seen = scene.honest.stats().received.len();
    let silent = 2 * UNANSWERED;
    // A connection has as many streams as a gateway may need, and no more.
    let channels: Vec<_> = (0..silent / 32).map(|_| scene.stranger()).collect();
    let mut set = JoinSet::new();
    for channel in channels.iter().cycle().take(silent) {
        set.spawn_on(
            call(channel.clone(), SESSION, vec![message(1_000, 10)]),
            scene.runtime.handle(),
        );
    }
    let mut client = FrameWorkerClient::new(scene.stranger());
    for _ in 0..10 {
        let described =
            scene.runtime.block_on(client.describe(DescribeRequest::default())).expect("an answer");
        assert_eq!(described.into_inner().name, "flip");
    }
    let codes = scene.runtime.block_on(set.join_all());
    let count = |code| codes.iter().filter(|found| **found == code).count();
    assert_eq!(count(Code::DeadlineExceeded) + count(Code::ResourceExhausted), silent, "{codes:?}");
    assert!(count(Code::ResourceExhausted) >= silent - UNANSWERED, "{codes:?}");
    scene.assert_undisturbed(seen);
}

#[test]
fn connections_are_bounded_and_the_gateways_stays() {
    let scene = Scene::start();
    let seen = scene.honest.stats().received.len();
    let describe = |channel: &Channel| {
        let mut client = FrameWorkerClient::new(channel.clone());
        scene.runtime.block_on(client.describe(DescribeRequest::default()))
    };
    // One is the gateway's.
    let mut channels: Vec<_> = (1..CONNECTIONS).map(|_| scene.stranger()).collect();
    for channel in &channels {
        describe(channel).expect("there is room");
    }
    const BEYOND: usize = 30;
    for _ in 0..BEYOND {
        let refused = scene.raw();
        eventually("it is closed", PATIENCE, || is_closed(&refused).then_some(()));
    }
    scene.wait_turned_away("no_room", BEYOND);
    channels.truncate(10);
    // Those that were dropped are gone in a moment.
    eventually("there is room again", PATIENCE, || {
        let late = scene.raw();
        let closed = try_eventually(Duration::from_millis(200), || is_closed(&late).then_some(()));
        closed.is_none().then_some(())
    });
    describe(&channels[0]).expect("it was never closed");
    scene.assert_undisturbed(seen);
}

/// A preface that comes byte by byte is not waited for.
#[test]
fn connections_on_which_nothing_is_asked_are_closed() {
    const ALL: usize = 100;
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let scene = Scene::start();
    let seen = scene.honest.stats().received.len();
    let mut slow: Vec<_> = (0..ALL).map(|_| scene.raw()).collect();
    let (mut rounds, mut last) = (0, Instant::now());
    eventually("all are closed", PATIENCE, || {
        slow.retain(|stream| !is_closed(stream));
        if last.elapsed() > Duration::from_millis(500) {
            for stream in &mut slow {
                // Closed a moment ago.
                drop(stream.write(&PREFACE[rounds..=rounds]));
            }
            rounds = (rounds + 1).min(PREFACE.len() - 2);
            last = Instant::now();
        }
        slow.is_empty().then_some(())
    });
    scene.wait_turned_away("displaced", ALL - UNASKED);
    scene.wait_turned_away("silent", UNASKED);
    scene.assert_undisturbed(seen);
}

/// An honest open is bounded too: what does not fit comes behind it.
#[test]
fn inputs_that_are_too_long_for_an_open_follow_it() {
    const TEXTS: usize = 6;
    let names: Vec<_> = (0..TEXTS).map(|n| format!("text_{n}")).collect();
    let handler = VideoStreamHandler::new(|frame: Frame, session: &Session| {
        let inputs = session.inputs();
        let lengths = (0..TEXTS)
            .map(|n| inputs.get::<String>(&format!("text_{n}")).map_or(0, |text| text.len()));
        (frame, AdditionalOutputs::new([json!(lengths.collect::<Vec<_>>())]))
    });
    let mut stream = Stream::builder(handler).additional_outputs([Json::new("lengths")]);
    for name in &names {
        stream = stream.additional_inputs([Textbox::new(name)]);
    }
    let cluster = Cluster::local([stream.build()]);
    // Four bytes each: 96 KiB.
    let text = "\u{1f3a5}".repeat(4096);
    assert!(TEXTS * text.len() > MAX_OPEN_BYTES);
    let values: serde_json::Map<_, _> =
        names.iter().map(|name| (name.clone(), json!(text))).collect();
    let options = Options::camera("long", Video::Live(Format::SMALL)).with_inputs(values.into());
    let mut peer = connect_with(&cluster, options);
    let all = json!(vec![text.len(); TEXTS]);
    peer.wait_until("the handler has them all", PATIENCE, |stats| {
        (stats.newest_output("lengths") == Some(&all)).then_some(())
    });
    peer.close();
    assert_balanced(&cluster);
}
