//! Two gateways, one Redis, one worker: each gateway answers for the sessions of the other.

use reframe_tests::http::{Reply, delete, get, post};
use reframe_tests::local::LocalWorker;
use reframe_tests::process::Process;
use reframe_tests::redis::RedisServer;
use reframe_tests::source::{Format, Video};
use reframe_tests::updates::Updates;
use reframe_worker::{
    AdditionalOutputs, Frame, HandlerError, Number, Session, Slider, Stream, VideoStreamHandler,
};
use serde_json::json;

use super::*;

/// Seconds that the slots of a gateway that died stay taken: long enough to be looked at meanwhile.
const LEASE: &str = "6";

/// Each frame's number within its session, and an input as the handler sees it.
pub(super) fn counting() -> Stream {
    let handler = VideoStreamHandler::per_session(|| {
        let mut count = 0;
        move |frame: Frame, session: &Session| -> Result<(Frame, AdditionalOutputs), HandlerError> {
            count += 1;
            let by: f64 = session.inputs().get("by")?;
            Ok((frame, AdditionalOutputs::new([json!(count), json!(by)])))
        }
    });
    Stream::builder(handler)
        .additional_inputs([Slider::new("by", 0.0..=10.0).value(1.0)])
        .additional_outputs([Number::new("count"), Number::new("by")])
        .build()
}

pub(super) struct Gateway {
    process: Process,
    page: String,
    admin: String,
}

impl Gateway {
    fn start(worker: &LocalWorker, redis: &RedisServer) -> Self {
        Self::start_with(worker, redis, &[])
    }

    pub(super) fn start_with(worker: &LocalWorker, redis: &RedisServer, options: &[&str]) -> Self {
        let ports = ["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--peer", "127.0.0.1:0"];
        let shared = ["--workers", worker.url(), "--redis", &redis.url(), "--lease", LEASE];
        let mut process =
            Process::start("reframe-gateway", &[&ports[..], &shared, options].concat());
        let page = process.announced("page ").trim_end_matches('/').to_owned();
        let admin = process.announced("admin ").trim_end_matches('/').to_owned();
        let gateway = Self { process, page, admin };
        eventually("a gateway that has its worker and its Redis", PATIENCE, || {
            let metrics = gateway.metrics();
            let is_one = |gauge| metrics.sum(gauge, &[]) == 1.0;
            (is_one("reframe_workers_serving") && is_one("reframe_placement_up")).then_some(())
        });
        gateway
    }

    pub(super) fn page(&self, path: &str) -> String {
        format!("{}{path}", self.page)
    }

    pub(super) fn admin(&self, path: &str) -> String {
        format!("{}{path}", self.admin)
    }

    pub(super) fn log(&self) -> String {
        self.process.log()
    }

    pub(super) fn kill(&mut self) {
        self.process.kill9();
    }

    fn metrics(&self) -> Metrics {
        Metrics::parse(&get(&self.admin("/metrics")).expect("the admin port answers").body)
    }

    fn forwarded(&self, outcome: &str) -> f64 {
        self.metrics().sum("reframe_forwarded_total", &[("outcome", outcome)])
    }

    fn connect(&self, id: &str) -> Peer {
        let peer = Peer::connect(&self.page(""), Options::camera(id, Video::Live(Format::SMALL)));
        let peer = peer.unwrap_or_else(|reply| panic!("no answer: {reply:?}"));
        peer.wait_connected(PATIENCE);
        peer
    }

    /// The status and the body of the answer.
    fn hook(&self, id: &str, by: f64) -> (u16, Value) {
        let body = json!({ "webrtc_id": id, "by": by }).to_string();
        let reply = post(&self.page("/input_hook"), body).expect("an answer");
        (reply.status, reply.json())
    }

    fn trickle(&self, id: &str) -> (u16, Value) {
        let candidate = json!({ "candidate": "candidate:1 1 udp 2122260223 127.0.0.1 9 typ host", "sdpMid": "0" });
        let body =
            json!({ "type": "ice-candidate", "candidate": candidate, "webrtc_id": id }).to_string();
        let reply = post(&self.page("/webrtc/offer"), body).expect("an answer");
        (reply.status, reply.json())
    }

    fn session(&self, id: &str) -> (u16, Value) {
        let reply = get(&self.admin(&format!("/api/sessions/{id}"))).expect("an answer");
        (reply.status, reply.json())
    }

    fn updates(&self, id: &str) -> Result<Updates, Reply> {
        Updates::open(&self.page(&format!("/updates?webrtc_id={id}")))
    }
}

fn started() -> (RedisServer, LocalWorker, Gateway, Gateway) {
    let (redis, worker) = (RedisServer::start(), LocalWorker::serve(counting(), 4));
    let gateways = [(); 2].map(|()| Gateway::start(&worker, &redis));
    let [a, b] = gateways;
    (redis, worker, a, b)
}

fn unknown() -> Value {
    json!({ "status": "failed", "meta": { "error": "unknown_connection" } })
}

#[test]
fn each_gateway_answers_for_the_sessions_of_the_other() {
    let (_redis, _worker, a, b) = started();
    let mut peer = a.connect("here");
    assert_eq!(b.trickle("here"), (200, json!({ "status": "success" })));
    // Before it has a worker it is only connecting.
    let (status, session) = eventually("it is live", PATIENCE, || {
        let (status, session) = b.session("here");
        (session["state"] != "connecting").then_some((status, session))
    });
    assert_eq!((status, &session["id"], &session["state"]), (200, &json!("here"), &json!("live")));
    assert_eq!(
        get(&b.admin("/api/sessions")).expect("an answer").json(),
        json!({ "sessions": [] }),
        "its own only"
    );

    assert_eq!(b.hook("here", 7.0), (200, json!({ "status": "ok" })));
    peer.wait_output("by", PATIENCE, |by| by.as_f64() == Some(7.0));
    let (status, refused) = b.hook("here", 70.0);
    assert_eq!(
        (status, &refused["meta"]["error"], &refused["meta"]["field"]),
        (422, &json!("invalid_input"), &json!("by"))
    );

    let mut updates =
        b.updates("here").unwrap_or_else(|reply| panic!("no event stream: {reply:?}"));
    let mut count =
        || updates.expect("outputs", PATIENCE).json()["count"].as_u64().expect("a count");
    let counts: Vec<_> = (0..10).map(|_| count()).collect();
    assert!(
        counts.iter().copied().eq(counts[0]..counts[0] + 10),
        "as they come, each once: {counts:?}"
    );

    let closed = delete(&b.admin("/api/sessions/here")).expect("an answer");
    assert_eq!((closed.status, closed.json()), (200, json!({ "status": "ok" })));
    let told = peer.wait_message("end_stream", PATIENCE);
    let ended = updates.expect("end_stream", PATIENCE);
    assert_eq!(told["data"], json!(ended.data), "the same reason");
    assert_eq!((updates.next(PATIENCE), updates.ended()), (None, true));
    assert_eq!(
        (b.forwarded("ok"), b.forwarded("unreachable") + b.forwarded("timeout")),
        (6.0, 0.0)
    );
    peer.close();

    eventually("it is known nowhere", PATIENCE, || {
        (b.session("here") == (404, unknown())).then_some(())
    });
    assert_eq!(b.hook("here", 1.0), (404, unknown()));
    assert_eq!(b.updates("here").expect_err("it has ended").status, 404);
    assert_eq!(b.trickle("here"), (200, unknown()));
    assert_eq!(a.metrics().sum("reframe_forwarded_total", &[]), 0.0);
}

/// It waits for the offer where it came, and then looks again where the offer went.
#[test]
fn a_candidate_may_come_before_its_offer_and_to_another_gateway() {
    let (_redis, _worker, a, b) = started();
    std::thread::scope(|scope| {
        // Each waits a second; on a busy machine the offer takes longer.
        let early = scope.spawn(|| {
            eventually("its offer", PATIENCE, || {
                (b.trickle("early") == (200, json!({ "status": "success" }))).then_some(())
            });
        });
        let mut peer = a.connect("early");
        early.join().expect("the candidate was taken");
        peer.close();
    });
    assert!(b.forwarded("ok") >= 1.0);
}

/// A session has eight readers, of which its data channel is one. Its gateway learns that a reader
/// here has left without waiting for the next event: none comes.
#[test]
fn a_reader_that_leaves_here_is_gone_there() {
    // Signs of life go over a quiet stream every 15 s; without them the connection alone can tell.
    const NOTICED: Duration = Duration::from_secs(10);
    let (_redis, _worker, a, b) = started();
    let mut peer = a.connect("read");
    let mut readers: Vec<_> = (0..7)
        .map(|_| b.updates("read").unwrap_or_else(|reply| panic!("no event stream: {reply:?}")))
        .collect();
    readers.iter_mut().for_each(|reader| drop(reader.expect("outputs", PATIENCE)));
    peer.stop_camera();
    let reply = a.updates("read").expect_err("there are eight");
    assert_eq!((reply.status, &reply.json()["meta"]["error"]), (429, &json!("too_many_readers")));
    assert_eq!(b.updates("read").expect_err("there are eight"), reply, "the owner's answer");
    readers.pop();
    let _reader = eventually("a free place", NOTICED, || a.updates("read").ok());
    peer.close();
}

#[test]
fn an_owner_that_was_killed_is_told_until_its_lease_ends() {
    let (_redis, _worker, mut a, b) = started();
    let _peer = a.connect("lost");
    let mut updates =
        b.updates("lost").unwrap_or_else(|reply| panic!("no event stream: {reply:?}"));
    updates.expect("outputs", PATIENCE);

    a.process.kill9();
    let (status, body) = b.hook("lost", 1.0);
    assert_eq!((status, &body["meta"]["error"]), (503, &json!("owner_unavailable")));
    assert!(
        body["meta"]["message"].as_str().is_some_and(|text| text.contains("try again")),
        "{body}"
    );
    assert_eq!(b.trickle("lost").0, 503);
    assert_eq!(b.session("lost").0, 503);
    assert_eq!(b.updates("lost").expect_err("nobody gives any").status, 503);
    assert_eq!(delete(&b.admin("/api/sessions/lost")).expect("an answer").status, 503);
    assert_eq!((b.forwarded("unreachable"), b.forwarded("ok")), (5.0, 1.0));
    // What was on its way comes, and no end: a browser's `EventSource` then asks again.
    while let Some(event) = updates.next(PATIENCE) {
        assert_ne!(event.kind, "end_stream");
    }
    assert!(updates.ended());

    eventually("the lease's end", PATIENCE, || {
        (b.hook("lost", 1.0) == (404, unknown())).then_some(())
    });
    assert_eq!(b.trickle("lost"), (200, unknown()));
    assert_eq!(b.session("lost"), (404, unknown()));
    assert_eq!(b.updates("lost").expect_err("nobody has it").status, 404);
}
