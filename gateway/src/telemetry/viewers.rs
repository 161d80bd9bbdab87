//! Those who watch sessions.

use metrics::{counter, describe_counter, describe_gauge, gauge};

pub(super) fn describe() {
    describe_gauge!("reframe_viewers_active", "Viewers that have not ended.");
    describe_counter!("reframe_viewers_ended_total", "Ended viewers by reason.");
    describe_counter!("reframe_viewers_refused_total", "Viewers that were not taken, by reason.");
    describe_counter!(
        "reframe_viewer_frames_total",
        "Encoded frames for viewers, by what became of them."
    );
    describe_counter!(
        "reframe_renditions_total",
        "Encodings that were begun for viewers beside that of the session's own browser."
    );
    describe_counter!(
        "reframe_renditions_skipped_total",
        "Pictures that an encoder for viewers had no time for."
    );
}

pub(crate) fn active(active: usize) {
    gauge!("reframe_viewers_active").set(active as f64);
}

pub(crate) fn ended(reason: &'static str) {
    counter!("reframe_viewers_ended_total", "reason" => reason).increment(1);
}

pub(crate) fn refused(reason: &'static str) {
    counter!("reframe_viewers_refused_total", "reason" => reason).increment(1);
}

pub(crate) fn frame(outcome: &'static str) {
    counter!("reframe_viewer_frames_total", "outcome" => outcome).increment(1);
}

pub(crate) fn rendition_started() {
    counter!("reframe_renditions_total").increment(1);
}

pub(crate) fn rendition_skipped() {
    counter!("reframe_renditions_skipped_total").increment(1);
}
