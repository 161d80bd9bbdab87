//! What the processes tell of themselves: spans, to a collector in this process, and log lines as
//! JSON.

use reframe_tests::collector::{Collector, Exported};
use reframe_tests::http;
use reframe_tests::process::{Process, digest};
use reframe_tests::source::Format;

use super::*;

/// The last spans go out within two seconds of a program's end; the rest is for the machine.
const STOPPED: Duration = Duration::from_secs(20);

/// A gateway and a worker with the same variables.
struct Pair {
    gateway: Process,
    worker: Process,
    page: String,
}

impl Pair {
    fn start(environment: &[(&str, &str)], demo: &str, options: &[&str]) -> Self {
        let serve = ["serve", "--demo", demo, "--listen", "127.0.0.1:0"];
        let mut worker = Process::start_in(environment, "reframe-worker", &serve);
        let url = worker.announced("reframe-worker listening on ");
        let ports = ["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", &url];
        let mut gateway =
            Process::start_in(environment, "reframe-gateway", &[&ports, options].concat());
        let page = gateway.announced("page ").trim_end_matches('/').to_owned();
        let metrics = format!("{}/metrics", gateway.announced("admin ").trim_end_matches('/'));
        eventually("the gateway has its worker", PATIENCE, || {
            let metrics = Metrics::parse(&http::get(&metrics).ok()?.body);
            (metrics.sum("reframe_workers_serving", &[]) == 1.0).then_some(())
        });
        Self { gateway, worker, page }
    }

    fn connect(&self, options: Options) -> Peer {
        let peer = Peer::connect(&self.page, options)
            .unwrap_or_else(|reply| panic!("no answer: {reply:?}"));
        peer.wait_connected(PATIENCE);
        peer
    }

    /// As an orchestrator does it.
    fn stop(&mut self) {
        for process in [&mut self.gateway, &mut self.worker] {
            process.terminate();
            assert!(
                process.exit(STOPPED).is_some_and(|status| status.success()),
                "{}",
                process.log()
            );
        }
    }
}

/// All that is exported goes out when the processes end: the schedule comes too late for any of it.
fn exporting(collector: &Collector) -> [(&str, &str); 2] {
    [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()), ("OTEL_BSP_SCHEDULE_DELAY", "600000")]
}

fn named<'a>(spans: &'a [Exported], service: &str, name: &str) -> Vec<&'a Exported> {
    spans
        .iter()
        .filter(|exported| exported.service == service && exported.span.name == name)
        .collect()
}

fn children<'a>(spans: &'a [Exported], of: &Exported) -> Vec<&'a Exported> {
    spans.iter().filter(|exported| exported.span.parent_span_id == of.span.span_id).collect()
}

/// The session's span in either process, which are parent and child.
#[track_caller]
fn session(spans: &[Exported]) -> &Exported {
    let (ours, theirs) =
        (named(spans, "reframe-gateway", "session"), named(spans, "reframe-worker", "session"));
    assert_eq!((ours.len(), theirs.len()), (1, 1), "{spans:#?}");
    assert!(ours[0].span.parent_span_id.is_empty(), "{:?}", ours[0]);
    assert_eq!(theirs[0].span.parent_span_id, ours[0].span.span_id);
    assert!(
        spans.iter().all(|exported| exported.span.trace_id == ours[0].span.trace_id),
        "{spans:#?}"
    );
    for session in [ours[0], theirs[0]] {
        assert_eq!(session.attribute("session").as_deref(), Some(digest("traced").as_str()));
    }
    ours[0]
}

#[test]
fn a_session_is_one_trace_through_gateway_and_worker() {
    let collector = Collector::start();
    let mut pair = Pair::start(&exporting(&collector), "flip", &["--trace-frames", "10"]);
    let mut peer = pair.connect(Options::camera("traced", Video::Live(Format::VGA)));
    peer.wait_until("60 pictures", PATIENCE, |stats| (stats.numbers().len() >= 60).then_some(()));
    peer.close();
    pair.stop();

    let spans = collector.spans();
    let session = session(&spans);
    let frames = named(&spans, "reframe-gateway", "frame");
    let numbers: Vec<u64> =
        frames.iter().map(|frame| frame.attribute("seq").unwrap().parse().unwrap()).collect();
    assert!(numbers.len() >= 6 && numbers.iter().all(|seq| seq % 10 == 0), "{numbers:?}");
    assert_eq!(
        numbers.iter().collect::<HashSet<_>>().len(),
        numbers.len(),
        "a frame has one span: {numbers:?}"
    );

    let mut emitted = 0;
    for frame in &frames {
        assert_eq!(frame.span.parent_span_id, session.span.span_id);
        let mut parts = children(&spans, frame);
        parts.sort_by_key(|part| part.span.start_time_unix_nano);
        let (begin, end) = (frame.span.start_time_unix_nano, frame.span.end_time_unix_nano);
        let (theirs, ours): (Vec<_>, Vec<_>) =
            parts.into_iter().partition(|part| part.service == "reframe-worker");
        for part in &ours {
            let (from, to) = (part.span.start_time_unix_nano, part.span.end_time_unix_nano);
            assert!(begin <= from && from <= to && to <= end, "{part:?} is not within {frame:?}");
        }
        assert!(
            ours.windows(2)
                .all(|two| two[0].span.end_time_unix_nano <= two[1].span.start_time_unix_nano)
        );
        let ours: Vec<&str> = ours.iter().map(|part| part.span.name.as_str()).collect();
        assert!(["decode", "queue", "worker", "pace", "encode"].starts_with(&ours), "{ours:?}");
        let theirs: Vec<&str> = theirs.iter().map(|part| part.span.name.as_str()).collect();
        if ours.contains(&"worker") {
            assert_eq!(theirs, ["handler"]);
        }
        let how = frame.attribute("end").expect("each frame says how it ended");
        assert_eq!(how == "dropped", frame.attribute("reason").is_some(), "{frame:?}");
        if how == "emitted" {
            emitted += 1;
            assert_eq!(ours.len(), 5, "{ours:?}");
        }
    }
    // Of the six and more, a busy machine may have skipped some.
    assert!(emitted >= 3, "{emitted} of {}", frames.len());
}

#[test]
fn what_a_generator_makes_is_traced_too() {
    let collector = Collector::start();
    let mut pair = Pair::start(&exporting(&collector), "ticker", &["--trace-frames", "1"]);
    let mut peer = pair.connect(Options::viewer("traced"));
    peer.wait_received(10, PATIENCE);
    peer.close();
    pair.stop();

    let spans = collector.spans();
    let session = session(&spans);
    let frames = named(&spans, "reframe-gateway", "frame");
    assert!(frames.iter().all(|frame| frame.span.parent_span_id == session.span.span_id));
    let handled: HashSet<_> = named(&spans, "reframe-worker", "handler")
        .iter()
        .map(|span| &span.span.parent_span_id)
        .collect();
    let emitted: Vec<_> = frames
        .iter()
        .filter(|frame| frame.attribute("end").as_deref() == Some("emitted"))
        .collect();
    assert!(
        emitted.len() >= 10 && emitted.iter().all(|frame| handled.contains(&frame.span.span_id)),
        "{spans:#?}"
    );
}

#[test]
fn a_sampler_that_says_no_is_asked_once_a_session() {
    let collector = Collector::start();
    let never = ("OTEL_TRACES_SAMPLER", "always_off");
    let environment = [&exporting(&collector)[..], &[never]].concat();
    let mut pair = Pair::start(&environment, "flip", &["--trace-frames", "1"]);
    let mut peer = pair.connect(Options::camera("untraced", Video::Live(Format::VGA)));
    peer.wait_received(10, PATIENCE);
    peer.close();
    pair.stop();
    assert!(collector.spans().is_empty(), "{:#?}", collector.spans());
}

#[test]
fn a_collector_that_is_gone_is_nobodys_concern() {
    let url = Collector::start().url().to_owned();
    let mut pair = Pair::start(
        &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &url)],
        "flip",
        &["--trace-frames", "1"],
    );
    let mut peer = pair.connect(Options::camera("untold", Video::Live(Format::VGA)));
    peer.wait_received(30, PATIENCE);
    peer.close();
    pair.stop();
}

#[test]
fn a_protocol_that_is_not_ours_is_a_wrong_configuration() {
    for (name, arguments) in
        [("reframe-gateway", &[][..]), ("reframe-worker", &["serve", "--demo", "flip"])]
    {
        let wrong = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ];
        let mut process = Process::start_in(&wrong, name, arguments);
        assert_eq!(
            process.exit(PATIENCE).and_then(|status| status.code()),
            Some(64),
            "{}",
            process.log()
        );
        assert!(
            process.log().contains("OTEL_EXPORTER_OTLP_PROTOCOL: `http/json`"),
            "{}",
            process.log()
        );
    }
}

#[test]
fn each_line_of_a_json_log_is_an_object_that_says_whose_session_it_is() {
    let cluster = Cluster::launch_with("flip", &["--log-format", "json"]);
    let mut peer = connect(&cluster, "logged", Video::Live(Format::VGA));
    peer.wait_received(5, PATIENCE);
    peer.close();
    cluster.wait_for_sessions(0, CLOSED);
    let lines: Vec<Value> =
        cluster.gateway.log().lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    for line in &lines {
        assert!(
            ["timestamp", "level", "target", "message"].iter().all(|key| line[key].is_string()),
            "{line}"
        );
    }
    for told in ["connected", "session ended"] {
        let line = lines
            .iter()
            .find(|line| line["message"] == told)
            .unwrap_or_else(|| panic!("no {told}: {lines:#?}"));
        assert_eq!(
            (&line["spans"][0]["name"], &line["spans"][0]["session"]),
            (&"session".into(), &digest("logged").into())
        );
    }
}
