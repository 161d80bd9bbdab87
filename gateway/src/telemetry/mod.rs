//! Metrics. Every metric name that this process exports is in this file; those of viewers are in
//! `viewers`.
//!
//! Base units, `_total` on counters only, no ids in labels: a label's values are the few that these
//! files can produce. `docs/metrics.md` lists them and a test compares them.

pub(crate) mod audit;
pub(crate) mod ledger;
pub(crate) mod trace;
pub(crate) mod viewers;
pub(crate) mod worker_series;
mod zeros;

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use parking_lot::{Mutex, MutexGuard};

use crate::codec::Codec;
use crate::telemetry::ledger::{Hop, Reason};
use crate::telemetry::worker_series::{Gauge, WorkerSeries};

/// The series of each worker, which come and go with it.
static WORKERS: Mutex<WorkerSeries> = Mutex::new(WorkerSeries::new());
const WORKER_UP: Gauge = ("reframe_worker_up", "1 when the worker serves, else 0.");
const WORKER_SESSIONS: Gauge =
    ("reframe_worker_sessions", "Sessions placed on the worker by this gateway.");
const WORKER_STUCK: Gauge =
    ("reframe_worker_stuck", "Sessions that ended and whose handler has not returned.");

/// Histogram bounds in seconds: fine around a frame interval, up to a stalled second.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2,
    0.3, 0.5, 1.0, 2.0,
];

/// Histogram bounds in seconds, for what people wait for.
const LONG_SECONDS: &[f64] =
    &[0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0];

/// Histogram bounds of the number of frames in a batch.
const BATCHES: &[f64] = &[1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 64.0];

/// Histogram bounds of bitrates, in bytes a second: 100 kbit/s to 20 Mbit/s.
const BITRATES: &[f64] = &[
    12_500.0, 25_000.0, 37_500.0, 62_500.0, 93_750.0, 125e3, 187_500.0, 250e3, 375e3, 625e3,
    1.25e6, 2.5e6,
];

/// A part of a frame's way: the values of the label `stage`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stage {
    /// In the decoder.
    Decode,
    /// Decoded, waiting for the worker's credit.
    Queue,
    /// From the credit to the result: transport and handler.
    Worker,
    /// From the result to its release.
    Pace,
    /// In the encoder.
    Encode,
    /// From the last packet in to the last packet out.
    Total,
}

impl Stage {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Queue => "queue",
            Self::Worker => "worker",
            Self::Pace => "pace",
            Self::Encode => "encode",
            Self::Total => "total",
        }
    }
}

/// How a session came through the loss of its worker: the values of the label `outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failover {
    /// Its worker drained, and it moved to another before.
    Moved,
    /// It moved to a worker in this gateway's zone.
    Nearer,
    /// Its worker was lost, and another took over.
    Recovered,
    /// Its worker was lost, and none took over in time.
    Lost,
}

impl Failover {
    fn label(self) -> &'static str {
        match self {
            Self::Moved => "moved",
            Self::Nearer => "nearer",
            Self::Recovered => "recovered",
            Self::Lost => "lost",
        }
    }
}

/// Installs the process-wide recorder. `None` if one is installed already: `launch` in a process
/// that has its own.
pub(crate) fn install() -> Option<PrometheusHandle> {
    let mut builder = PrometheusBuilder::new().set_buckets(SECONDS).ok()?;
    for name in
        ["reframe_setup_seconds", "reframe_failover_seconds", "reframe_thread_delay_seconds"]
    {
        builder =
            builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), LONG_SECONDS).ok()?;
    }
    let sizes = Matcher::Full("reframe_batch_size".to_owned());
    builder = builder.set_buckets_for_metric(sizes, BATCHES).ok()?;
    let bandwidth = Matcher::Full("reframe_bandwidth_bytes_per_second".to_owned());
    builder = builder.set_buckets_for_metric(bandwidth, BITRATES).ok()?;
    let handle = builder.install_recorder().ok()?;
    describe();
    gauge!("reframe_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
    gauge!("reframe_sessions_active").set(0);
    viewers::active(0);
    gauge!("reframe_load_ratio").set(0);
    gauge!("reframe_relief_steps").set(0);
    gauge!("reframe_workers_serving").set(0);
    zeros::write();
    Some(handle)
}

/// All metrics, as text.
pub(crate) fn render(recorded: &PrometheusHandle) -> String {
    recorded.render() + &worker_series()
}

/// The metrics that come and go with the workers.
pub(crate) fn worker_series() -> String {
    let mut text = String::new();
    workers().render(&mut text, [WORKER_UP, WORKER_SESSIONS, WORKER_STUCK]);
    text
}

fn workers() -> MutexGuard<'static, WorkerSeries> {
    WORKERS.lock()
}

fn describe() {
    viewers::describe();
    describe_gauge!(
        "reframe_thread_stuck",
        "1 while a thread has given no sign of life for a second or more, else 0."
    );
    describe_histogram!(
        "reframe_thread_delay_seconds",
        "How long a thread took to run a task that it was given."
    );
    describe_counter!(
        "reframe_log_lines_left_out_total",
        "Lines of the log that were too many of their kind."
    );
    describe_gauge!("reframe_workers_serving", "Workers that take sessions of this gateway.");
    describe_gauge!("reframe_build_info", "Always 1; the version is in the label.");
    describe_gauge!("reframe_sessions_active", "Sessions that hold a slot.");
    describe_gauge!(
        "reframe_load_ratio",
        "Part of the time in which the codec threads are at work, with what new sessions will add."
    );
    describe_gauge!(
        "reframe_relief_steps",
        "Steps by which pictures are made fewer and smaller for want of time, on the thread that \
         has most."
    );
    describe_counter!(
        "reframe_access_refused_total",
        "Requests without the right to make them, by what was wrong."
    );
    describe_counter!(
        "reframe_client_limited_total",
        "Requests that were refused because of what their client has already, by limit."
    );
    describe_counter!("reframe_sessions_ended_total", "Ended sessions by reason.");
    describe_counter!(
        "reframe_sessions_total",
        "Sessions that started, by the codec of their video."
    );
    describe_counter!("reframe_offers_total", "Offers by outcome.");
    describe_counter!(
        "reframe_candidates_ignored_total",
        "Candidates of clients that were not understood."
    );
    describe_gauge!(
        "reframe_media_address_private",
        "1 while all addresses that browsers are told for media are private, else 0."
    );
    describe_counter!(
        "reframe_stun_errors_total",
        "Times that a STUN server of --public-ip did not tell our address."
    );
    describe_gauge!("reframe_http_connections", "Connections that an HTTP port holds.");
    describe_counter!(
        "reframe_http_refused_total",
        "Connections and requests that an HTTP port refused, by reason."
    );
    describe_gauge!(
        "reframe_tls_certificate_expiry_timestamp_seconds",
        "When the certificate of the public port, or of the cluster, expires, in seconds since \
         1970."
    );
    describe_counter!(
        "reframe_tls_reload_errors_total",
        "Changed certificate files that could not be used."
    );
    describe_gauge!(
        "reframe_plain_connections",
        "Connections to workers and between gateways that are open without TLS, which \
         --cluster-tls prefer takes."
    );
    describe_counter!(
        "reframe_plain_connections_total",
        "Connections to workers and between gateways that came about without TLS."
    );
    describe_counter!(
        "reframe_forwarded_total",
        "Requests for a session of another gateway, by outcome."
    );
    describe_counter!(
        "reframe_frames_received_total",
        "Frames of which a packet arrived, or for which a generator was asked."
    );
    describe_counter!(
        "reframe_frames_emitted_total",
        "Received frames whose result was sent to the browser."
    );
    describe_counter!(
        "reframe_frames_consumed_total",
        "Received frames that the handler gave no picture for, and meant to."
    );
    describe_counter!(
        "reframe_connection_failures_total",
        "Connections with browsers that failed, by the step that did."
    );
    describe_counter!("reframe_frames_repeated_total", "Re-emissions of the last result.");
    describe_counter!(
        "reframe_frames_dropped_total",
        "Received frames that were lost, by hop and reason."
    );
    describe_counter!(
        "reframe_nothing_shown_total",
        "Times that no frame of a session's video was decoded for three seconds, by what was wrong."
    );
    describe_counter!(
        "reframe_mailbox_full_total",
        "Nudges that a full mailbox refused, by actor."
    );
    describe_histogram!("reframe_stage_seconds", "Time that a frame spent in a part of its way.");
    describe_histogram!(
        "reframe_handler_seconds",
        "Time that the handler took for a frame, as its worker measured."
    );
    describe_histogram!(
        "reframe_turn_wait_seconds",
        "Time that a frame waited for its turn, where a stream's calls run one at a time."
    );
    describe_histogram!(
        "reframe_batch_size",
        "Frames that a model worked on at once, as each of them saw it."
    );
    describe_histogram!(
        "reframe_batch_wait_seconds",
        "Time that a frame waited at the worker for a model to begin."
    );
    describe_histogram!(
        "reframe_model_seconds",
        "Time that a model took for the batch, as each of its frames saw it."
    );
    describe_histogram!(
        "reframe_model_share_seconds",
        "That time divided by the frames of the batch: the sum is the time that models worked."
    );
    describe_counter!("reframe_batch_failures_total", "Frames whose batch failed as a whole.");
    describe_counter!(
        "reframe_superseded_total",
        "Frames that made way for a newer one while they waited for a model."
    );
    describe_counter!("reframe_packets_dropped_total", "Packets that were thrown away, by reason.");
    describe_counter!(
        "reframe_ice_tcp_connections_total",
        "TCP connections to the media port, by outcome."
    );
    describe_counter!(
        "reframe_packets_requested_total",
        "Lost packets asked of browsers again, each request (NACK)."
    );
    describe_counter!(
        "reframe_retransmissions_refused_total",
        "Packets that clients asked for and did not get, by reason."
    );
    describe_counter!("reframe_keyframe_requests_total", "Keyframe requests, by direction.");
    describe_counter!(
        "reframe_messages_dropped_total",
        "Messages for a browser that did not take them in time."
    );
    describe_counter!(
        "reframe_messages_ignored_total",
        "Messages from browsers that mean nothing here, by reason."
    );
    describe_counter!("reframe_inputs_refused_total", "Inputs that did not fit their declaration.");
    describe_counter!(
        "reframe_outputs_dropped_total",
        "Outputs that a slow reader lost, by reader."
    );
    describe_histogram!(
        "reframe_release_error_seconds",
        "Mode receive: how far off its instant on the grid a picture left."
    );
    describe_counter!(
        "reframe_failovers_total",
        "Sessions that changed workers, or lost theirs for good, by outcome."
    );
    describe_histogram!(
        "reframe_failover_seconds",
        "For how long a session had no worker after it lost one."
    );
    describe_histogram!(
        "reframe_bandwidth_bytes_per_second",
        "Video that the path to a browser is thought to carry, once a second of each session with \
         feedback."
    );
    describe_counter!(
        "reframe_padding_bytes_total",
        "Padding sent to browsers to measure what their paths carry."
    );
    describe_histogram!("reframe_setup_seconds", "From an offer to the first picture sent.");
    describe_counter!(
        "reframe_workers_refused_total",
        "Workers that answered and are not used, by reason."
    );
    describe_counter!(
        "reframe_links_total",
        "Sessions that found a worker, by the way of their pictures to it."
    );
    describe_counter!(
        "reframe_discovery_errors_total",
        "Lookups of the name of workers that failed."
    );
    describe_gauge!(
        "reframe_sessions_by_locality",
        "Sessions placed by this gateway, by how near their workers are."
    );
    describe_gauge!("reframe_slots", "Slots that the serving workers of a stream declare.");
    describe_gauge!("reframe_slots_used", "Those of them that are taken, by whichever gateway.");
    describe_gauge!(
        "reframe_placement_up",
        "With Redis: 1 when it shares sessions and slots, else 0."
    );
    describe_counter!("reframe_placement_errors_total", "What Redis did not do, by operation.");
    describe_histogram!(
        "reframe_claim_seconds",
        "With Redis: time that it took to place a session."
    );
}

pub(crate) fn sessions_active(change: f64) {
    gauge!("reframe_sessions_active").increment(change);
}

pub(crate) fn load(ratio: f64) {
    gauge!("reframe_load_ratio").set(ratio);
}

#[expect(clippy::cast_precision_loss, reason = "a handful")]
pub(crate) fn relief(steps: usize) {
    gauge!("reframe_relief_steps").set(steps as f64);
}

pub(crate) fn session_ended(reason: &'static str) {
    counter!("reframe_sessions_ended_total", "reason" => reason).increment(1);
}

pub(crate) fn connection_failed(step: &'static str) {
    counter!("reframe_connection_failures_total", "step" => step).increment(1);
}

/// `codec`: of its client's video; `None`: a broadcast, which has no client of its own.
pub(crate) fn session_started(codec: Option<Codec>) {
    let codec = codec.map_or("none", Codec::name);
    counter!("reframe_sessions_total", "codec" => codec).increment(1);
}

pub(crate) fn offer(outcome: &'static str) {
    counter!("reframe_offers_total", "outcome" => outcome).increment(1);
}

/// `count` candidates of a client were not understood.
pub(crate) fn candidates_ignored(count: usize) {
    counter!("reframe_candidates_ignored_total").increment(count as u64);
}

/// Browsers are told private addresses, and no others.
pub(crate) fn media_address_private(private: bool) {
    gauge!("reframe_media_address_private").set(f64::from(u8::from(private)));
}

/// `count` further queries without an answer; 0 for a server that will be asked. The label is one
/// of the few that `--public-ip` names.
pub(crate) fn stun_errors(server: &str, count: u64) {
    counter!("reframe_stun_errors_total", "server" => server.to_owned()).increment(count);
}

pub(crate) fn http_connections(port: &'static str, more: f64) {
    gauge!("reframe_http_connections", "port" => port).increment(more);
}

/// A request without the right to make it.
pub(crate) fn access_refused(reason: &'static str) {
    counter!("reframe_access_refused_total", "reason" => reason).increment(1);
}

/// A client has reached a limit, and its request was refused.
pub(crate) fn client_limited(limit: &'static str) {
    counter!("reframe_client_limited_total", "limit" => limit).increment(1);
}

pub(crate) fn http_refused(port: &'static str, reason: &'static str) {
    counter!("reframe_http_refused_total", "port" => port, "reason" => reason).increment(1);
}

#[expect(clippy::cast_precision_loss, reason = "exact for millions of years")]
pub(crate) fn tls_expiry(certificate: &'static str, timestamp_seconds: i64) {
    gauge!("reframe_tls_certificate_expiry_timestamp_seconds", "certificate" => certificate)
        .set(timestamp_seconds as f64);
}

pub(crate) fn tls_reload_error(certificate: &'static str) {
    counter!("reframe_tls_reload_errors_total", "certificate" => certificate).increment(1);
}

/// A connection without TLS where TLS is preferred, for as long as it lives.
pub(crate) struct PlainConnection(&'static str);

impl PlainConnection {
    /// With a `worker` or a `gateway`.
    pub(crate) fn with(peer: &'static str) -> Self {
        counter!("reframe_plain_connections_total", "peer" => peer).increment(1);
        gauge!("reframe_plain_connections", "peer" => peer).increment(1.0);
        Self(peer)
    }
}

impl Drop for PlainConnection {
    fn drop(&mut self) {
        gauge!("reframe_plain_connections", "peer" => self.0).decrement(1.0);
    }
}

pub(crate) fn forwarded(outcome: &'static str) {
    counter!("reframe_forwarded_total", "outcome" => outcome).increment(1);
}

pub(crate) fn frame_received() {
    counter!("reframe_frames_received_total").increment(1);
}

pub(crate) fn frame_emitted() {
    counter!("reframe_frames_emitted_total").increment(1);
}

pub(crate) fn frame_repeated() {
    counter!("reframe_frames_repeated_total").increment(1);
}

pub(crate) fn frame_dropped(hop: Hop, reason: Reason) {
    counter!("reframe_frames_dropped_total", "hop" => hop.label(), "reason" => reason.label())
        .increment(1);
}

/// No frame of a session's video is decoded.
pub(crate) fn nothing_shown(fault: &'static str) {
    counter!("reframe_nothing_shown_total", "fault" => fault).increment(1);
}

/// A nudge was refused. That costs no frame: frames wait in a queue beside the mailbox.
pub(crate) fn mailbox_full(actor: &'static str) {
    counter!("reframe_mailbox_full_total", "actor" => actor).increment(1);
}

pub(crate) fn stage(stage: Stage, took: Duration) {
    histogram!("reframe_stage_seconds", "stage" => stage.label()).record(took.as_secs_f64());
}

pub(crate) fn handler(took: Duration) {
    histogram!("reframe_handler_seconds").record(took.as_secs_f64());
}

/// A frame waited for its session's turn.
pub(crate) fn turn_wait(stream: &str, waited: Duration) {
    histogram!("reframe_turn_wait_seconds", "stream" => stream.to_owned())
        .record(waited.as_secs_f64());
}

/// A frame used a model that works on batches; `size` 0: none began with it.
pub(crate) fn batch(stream: &str, size: u32, wait: Duration, model: Duration, share: Duration) {
    let stream = || stream.to_owned();
    histogram!("reframe_batch_wait_seconds", "stream" => stream()).record(wait.as_secs_f64());
    if size > 0 {
        histogram!("reframe_batch_size", "stream" => stream()).record(f64::from(size));
        histogram!("reframe_model_seconds", "stream" => stream()).record(model.as_secs_f64());
        histogram!("reframe_model_share_seconds", "stream" => stream()).record(share.as_secs_f64());
    }
}

/// A model's call failed for a whole batch that a frame was in.
pub(crate) fn batch_failed(stream: &str) {
    counter!("reframe_batch_failures_total", "stream" => stream.to_owned()).increment(1);
}

/// A newer frame took the place of one that waited for a model.
pub(crate) fn superseded(stream: &str) {
    counter!("reframe_superseded_total", "stream" => stream.to_owned()).increment(1);
}

pub(crate) fn packets_dropped(reason: &'static str, count: u64) {
    counter!("reframe_packets_dropped_total", "reason" => reason).increment(count);
}

pub(crate) fn ice_tcp(outcome: &'static str) {
    counter!("reframe_ice_tcp_connections_total", "outcome" => outcome).increment(1);
}

pub(crate) fn packets_requested(count: u64) {
    counter!("reframe_packets_requested_total").increment(count);
}

pub(crate) fn retransmissions_refused(reason: &'static str, count: u64) {
    counter!("reframe_retransmissions_refused_total", "reason" => reason).increment(count);
}

pub(crate) fn keyframe_request(direction: &'static str) {
    counter!("reframe_keyframe_requests_total", "direction" => direction).increment(1);
}

pub(crate) fn message_dropped() {
    counter!("reframe_messages_dropped_total").increment(1);
}

pub(crate) fn frame_consumed() {
    counter!("reframe_frames_consumed_total").increment(1);
}

pub(crate) fn message_ignored(reason: &'static str) {
    counter!("reframe_messages_ignored_total", "reason" => reason).increment(1);
}

pub(crate) fn input_refused() {
    counter!("reframe_inputs_refused_total").increment(1);
}

pub(crate) fn output_dropped(reader: &'static str) {
    counter!("reframe_outputs_dropped_total", "reader" => reader).increment(1);
}

pub(crate) fn release_error(late: Duration) {
    histogram!("reframe_release_error_seconds").record(late.as_secs_f64());
}

pub(crate) fn worker_stuck(worker: &str, more: bool) {
    workers().stuck(worker, more);
}

/// A session's worker changed, or should have. `gap` is how long the session had none.
pub(crate) fn failover(outcome: Failover, gap: Duration) {
    counter!("reframe_failovers_total", "outcome" => outcome.label()).increment(1);
    if !matches!(outcome, Failover::Moved | Failover::Nearer) {
        histogram!("reframe_failover_seconds").record(gap.as_secs_f64());
    }
}

pub(crate) fn bandwidth(bytes_per_second: f64) {
    histogram!("reframe_bandwidth_bytes_per_second").record(bytes_per_second);
}

/// Bytes of RTP payload that held only padding.
pub(crate) fn padding(bytes: usize) {
    if bytes > 0 {
        counter!("reframe_padding_bytes_total").increment(bytes as u64);
    }
}

pub(crate) fn setup(took: Duration) {
    histogram!("reframe_setup_seconds").record(took.as_secs_f64());
}

pub(crate) fn worker_up(worker: &str, up: bool) {
    workers().up(worker, up);
}

/// The pool no longer knows the worker.
pub(crate) fn worker_gone(worker: &str) {
    workers().gone(worker);
}

#[expect(clippy::cast_precision_loss, reason = "some thousands")]
pub(crate) fn workers_serving(count: usize) {
    gauge!("reframe_workers_serving").set(count as f64);
}

/// The label is one of `version`, `declaration` and `contradiction`.
pub(crate) fn worker_refused(reason: &'static str) {
    counter!("reframe_workers_refused_total", "reason" => reason).increment(1);
}

/// The label is one of `process`, `memory` and `messages`.
pub(crate) fn link(carrier: &'static str) {
    counter!("reframe_links_total", "carrier" => carrier).increment(1);
}

pub(crate) fn discovery_error() {
    counter!("reframe_discovery_errors_total").increment(1);
}

pub(crate) fn worker_sessions(worker: &str, sessions: u32) {
    workers().sessions(worker, sessions);
}

/// A session was placed on a worker that is so near, or left it.
pub(crate) fn sessions_by_locality(stream: &str, locality: &'static str, change: f64) {
    let stream = stream.to_owned();
    gauge!("reframe_sessions_by_locality", "stream" => stream, "locality" => locality)
        .increment(change);
}

pub(crate) fn slots(stream: &str, slots: u32, used: u32) {
    gauge!("reframe_slots", "stream" => stream.to_owned()).set(f64::from(slots));
    gauge!("reframe_slots_used", "stream" => stream.to_owned()).set(f64::from(used));
    // The stream is known from here on: see `zeros`.
    counter!("reframe_batch_failures_total", "stream" => stream.to_owned()).increment(0);
    counter!("reframe_superseded_total", "stream" => stream.to_owned()).increment(0);
}

pub(crate) fn placement_up(up: bool) {
    gauge!("reframe_placement_up").set(f64::from(u8::from(up)));
}

pub(crate) fn placement_error(operation: &'static str) {
    counter!("reframe_placement_errors_total", "operation" => operation).increment(1);
}

pub(crate) fn claim(took: Duration) {
    histogram!("reframe_claim_seconds").record(took.as_secs_f64());
}

/// The label is one of the few kinds of threads, see `app`.
pub(crate) fn thread_delay(kind: &'static str, took: Duration) {
    histogram!("reframe_thread_delay_seconds", "kind" => kind).record(took.as_secs_f64());
}

/// The label is a thread's name: one value for each thread of this process that does work.
pub(crate) fn thread_stuck(thread: &str, stuck: bool) {
    gauge!("reframe_thread_stuck", "thread" => thread.to_owned()).set(f64::from(u8::from(stuck)));
}

pub(crate) fn log_lines_left_out(count: u64) {
    counter!("reframe_log_lines_left_out_total").absolute(count);
}
