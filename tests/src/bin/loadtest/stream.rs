//! One stream's row of the report.

use std::time::{Duration, Instant};

use reframe_tests::figures::{Percentiles, millis};
use reframe_tests::peer::{Received, Stats};
use serde::Serialize;

use super::run::Stream;

/// Without a frame for so long before the end a stream has fallen silent: many frames even of a
/// server that is far beyond its limit.
const SILENCE: Duration = Duration::from_secs(3);

/// A stream has full quality from the first second on that brings this share of the frames.
const FULL: f64 = 0.9;

/// What was sent.
#[derive(Clone, Copy)]
pub(crate) struct Expected {
    pub(crate) fps: f64,
    pub(crate) size: (u32, u32),
}

/// What is measured of the run.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    pub(crate) from: Instant,
    pub(crate) to: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Served,
    Silent,
    Refused,
}

/// Counts are of the whole run, rates and latencies of what is measured.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) stream: usize,
    pub(crate) outcome: Outcome,
    /// Why it was not served.
    pub(crate) reason: Option<String>,
    /// Was to be decoded.
    pub(crate) sampled: bool,
    pub(crate) sent: usize,
    pub(crate) received: usize,
    pub(crate) measured_frames: usize,
    /// Below what was to be sent, this tool had no time, and the other figures are of a smaller
    /// load.
    pub(crate) sent_fps: Option<f64>,
    pub(crate) fps: Option<f64>,
    pub(crate) decoded: usize,
    pub(crate) new_pictures: usize,
    /// Pictures older than one shown before.
    pub(crate) out_of_order: usize,
    pub(crate) latency_ms: Option<Percentiles>,
    pub(crate) first_frame_ms: Option<f64>,
    pub(crate) full_rate_ms: Option<f64>,
    /// Full rate and full size: only where pictures are decoded.
    pub(crate) full_quality_ms: Option<f64>,
    /// Losses that no retransmission mended.
    pub(crate) gaps: u64,
    pub(crate) plis_sent: u64,
    pub(crate) keyframe_requests: u64,
    pub(crate) undecodable: u64,
}

impl Row {
    pub(crate) fn of(
        index: usize,
        stream: &Stream,
        ended: Instant,
        window: Option<Window>,
        sent: Expected,
    ) -> Self {
        let nothing = Stats::default();
        let (stats, refused) = match &stream.seen {
            Ok(stats) => (stats, None),
            Err(reason) => (&nothing, Some(reason.clone())),
        };
        let (outcome, reason) = match (refused, &stream.seen) {
            (Some(reason), _) => (Outcome::Refused, Some(reason)),
            (None, _) => match silence(stats, ended) {
                Some(reason) => (Outcome::Silent, Some(reason)),
                None => (Outcome::Served, None),
            },
        };
        let since = |at: Instant| millis(at.saturating_duration_since(stream.offered));
        let measured = window.map(|window| within(&stats.received, window)).unwrap_or_default();
        let rate =
            |frames: usize, window: Window| frames as f64 / (window.to - window.from).as_secs_f64();
        let served = window.filter(|_| outcome != Outcome::Refused);
        let full_rate = full_from(&stats.received, sent.fps, |_| true);
        let full_quality =
            full_from(&stats.received, sent.fps, |frame| (frame.width, frame.height) == sent.size);
        Self {
            stream: index,
            outcome,
            reason,
            sampled: stream.decodes,
            sent: stats.sent.len(),
            received: stats.received.len(),
            measured_frames: measured.len(),
            sent_fps: served.map(|window| rate(sent_within(stats, window), window)),
            fps: served.map(|window| rate(measured.len(), window)),
            decoded: stats.received.iter().filter(|frame| frame.width > 0).count(),
            new_pictures: new_pictures(&stats.received).count(),
            out_of_order: out_of_order(&stats.received),
            latency_ms: Percentiles::of(
                window.map(|window| latencies(stats, window)).unwrap_or_default(),
            ),
            first_frame_ms: stats.received.first().map(|frame| since(frame.complete)),
            full_rate_ms: full_rate.map(since),
            full_quality_ms: full_quality.map(since),
            gaps: stats.gaps,
            plis_sent: stats.plis,
            keyframe_requests: stats.keyframe_requests,
            undecodable: stats.undecodable,
        }
    }
}

/// The latencies, within `window`, of pictures shown for the first time: from the last packet that
/// carried a picture to the server to the last that brought it back.
pub(crate) fn latencies(stats: &Stats, window: Window) -> Vec<Duration> {
    let inside = |frame: &&Received| (window.from..window.to).contains(&frame.complete);
    new_pictures(&stats.received).filter(inside).filter_map(|frame| frame.age).collect()
}

fn sent_within(stats: &Stats, window: Window) -> usize {
    stats.sent.iter().filter(|sent| (window.from..window.to).contains(&sent.at)).count()
}

/// The frames, in order of time, that were complete within `window`.
pub(crate) fn within(frames: &[Received], window: Window) -> &[Received] {
    let before = |at: Instant| frames.partition_point(|frame| frame.complete < at);
    &frames[before(window.from)..before(window.to)]
}

/// Frames whose number is not the one before's: all but re-emissions.
fn new_pictures(frames: &[Received]) -> impl Iterator<Item = &Received> {
    let mut last = None;
    frames.iter().filter(move |frame| {
        let number = frame.code.map(|code| code.number);
        number.is_some() && last.replace(number) != Some(number)
    })
}

/// By when pictures were sent, not by their numbers, which repeat with the clip.
fn out_of_order(frames: &[Received]) -> usize {
    let mut newest = None;
    let older = |sent: &Instant| {
        let newest = newest.get_or_insert(*sent);
        let older = *sent < *newest;
        *newest = (*newest).max(*sent);
        older
    };
    frames.iter().filter_map(|frame| frame.complete.checked_sub(frame.age?)).filter(older).count()
}

/// The first frame that is `whole` and from which on a second brings almost all of the frames that
/// it should.
fn full_from(frames: &[Received], fps: f64, whole: impl Fn(&Received) -> bool) -> Option<Instant> {
    let second = Duration::from_secs(1);
    let full = |first: usize| {
        let from = frames[first].complete;
        within(frames, Window { from, to: from + second }).len() as f64 >= FULL * fps
    };
    (0..frames.len())
        .find(|first| whole(&frames[*first]) && full(*first))
        .map(|first| frames[first].complete)
}

/// Why a stream was not there at the end, if it was not.
fn silence(stats: &Stats, ended: Instant) -> Option<String> {
    if let Some(failed) = &stats.failed {
        return Some(format!("this tool failed: {failed}"));
    }
    if stats.closed_by_server {
        return Some("closed by the server".to_owned());
    }
    if stats.connected.is_none() {
        return Some("never connected".to_owned());
    }
    match stats.received.last() {
        None => Some("no frame came".to_owned()),
        Some(last) if last.complete + SILENCE < ended => Some("no frame any more".to_owned()),
        Some(_) => None,
    }
}

#[cfg(test)]
pub(crate) mod tests;
