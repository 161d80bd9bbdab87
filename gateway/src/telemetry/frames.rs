//! Metrics of frames and of their packets.

use std::time::Duration;

use metrics::{counter, histogram};

use super::ledger::{Hop, Reason};

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

pub(crate) fn frame_consumed() {
    counter!("reframe_frames_consumed_total").increment(1);
}

pub(crate) fn release_error(late: Duration) {
    histogram!("reframe_release_error_seconds").record(late.as_secs_f64());
}
