//! Metrics of sessions, from their offers to their ends, and of what their clients send and ask.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

use crate::codec::Codec;

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

pub(crate) fn sessions_active(change: f64) {
    gauge!("reframe_sessions_active").increment(change);
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

/// A request without the right to make it.
pub(crate) fn access_refused(reason: &'static str) {
    counter!("reframe_access_refused_total", "reason" => reason).increment(1);
}

/// A client has reached a limit, and its request was refused.
pub(crate) fn client_limited(limit: &'static str) {
    counter!("reframe_client_limited_total", "limit" => limit).increment(1);
}

/// No frame of a session's video is decoded.
pub(crate) fn nothing_shown(fault: &'static str) {
    counter!("reframe_nothing_shown_total", "fault" => fault).increment(1);
}

pub(crate) fn message_dropped() {
    counter!("reframe_messages_dropped_total").increment(1);
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
