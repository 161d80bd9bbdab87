//! Congestion control of what we send, told by the browser's TWCC feedback: the lower of what delay
//! and what loss allow, and how both rise again (`pipeline::bandwidth`).
//!
//! The crate's interceptor that records and its numbering are used. Its estimator is not: it lets a
//! queue of half a second stand, and ten of a hundred packets be lost (`docs/decisions/0009`). Nor
//! is its pacer: that lets a tenth of a second out at once, so it spreads no frame, and holds back
//! up to 4096 packets, or throws them away, where `egress` leaves a picture out before it is
//! encoded. It also costs 29 us a packet.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::interceptor::{
    BandwidthEstimator, CongestionControlBuilder, EstimatorStats, PacketReport, TaggedPacket,
    TwccSenderBuilder,
};
use rtc::peer_connection::configuration::interceptor_registry::{Registry, Slot};
use tokio::sync::watch;

use super::feedback::Covered;
use super::pass_through::PassThrough;
use crate::media::limits::BitrateLimits;
use crate::pipeline::bandwidth::burst::{Bursts, PacketResult};
use crate::pipeline::bandwidth::delay::{Change, DelayBased, PathSample};
use crate::pipeline::bandwidth::loss::LossBased;
use crate::pipeline::bandwidth::padding::Padding;
use crate::pipeline::bandwidth::probe::{OF_MEASURED, Probe};
use crate::pipeline::bandwidth::queue::Queue;
use crate::pipeline::bandwidth::rates::Rates;
use crate::telemetry;

/// On the side of the wire: feedback passes here before the estimator gets it.
const READ_FEEDBACK: Slot = Slot::Custom(500);
/// Of what the path carries, what is video: the rest is RTP's and SRTP's headers, and packets sent
/// again.
const VIDEO: f64 = 0.93;
/// How often an estimate goes into the metrics.
const RECORD_INTERVAL: Duration = Duration::from_secs(1);
/// Over which loss is counted: two hundred packets at 2 Mbit/s. The crate's own half looks at each
/// feedback, which tells of ten: chance alone makes 15 % of 5 % there.
const LOSS_INTERVAL: Duration = Duration::from_secs(1);
/// Packets without a loss after which congestion is over: at a loss of 10 % one of 16 is lost in
/// four of five cases.
const OVER_PACKETS: u32 = 16;
/// How long a burst to measure by takes at the estimated bitrate: what it adds to a queue, if the
/// path carries no more.
const BURST_SECONDS: f64 = 0.03;
/// Between two requests for bursts: a round trip and the pictures that one is for.
const BURST_INTERVAL: Duration = Duration::from_millis(700);
/// Bytes of such a burst. The fewest take two milliseconds of 2 Mbit/s, eight ticks of the clock of
/// feedback; the most twelve milliseconds.
const BURST_BYTES: (f64, f64) = (500.0, 3_000.0);

/// Numbers what we send and publishes what the path carries, in kbit/s of video. For a browser that
/// offered `transport-cc`; feedback and header extension are negotiated by the stack's defaults.
pub(super) fn register(
    registry: Registry,
    limits: BitrateLimits,
    available_kbps: watch::Sender<u32>,
    padding: Arc<Padding>,
) -> Registry {
    let covered = Covered::default();
    let estimator = Estimator::new(limits, covered.clone(), available_kbps, padding);
    let read = move |msg: &mut TaggedPacket| {
        covered.read(msg);
        true
    };
    registry
        .with(READ_FEEDBACK, PassThrough::new(read))
        .with(Slot::CongestionControl, CongestionControlBuilder::new(estimator).build())
        .with(Slot::TwccSender, TwccSenderBuilder::new().build())
}

/// See the module. One for each connection.
struct Estimator {
    delay: DelayBased,
    loss: LossBased,
    /// Packets told of since the instant, and how many of them were lost.
    counted: Option<(Instant, u32, u32)>,
    probe: Probe,
    bursts: Bursts,
    padding: Arc<Padding>,
    /// When bursts were last asked for.
    asked: Option<tokio::time::Instant>,
    queue: Queue,
    /// The moment that departures are counted from.
    began: Option<Instant>,
    /// Bits a second of the path, as [`BitrateLimits`] are of video.
    max: f64,
    rates: Rates,
    recorded: Option<Instant>,
    covered: Covered,
    /// RTP sequence number of the newest packet that was reported.
    newest: Option<u16>,
    available_kbps: watch::Sender<u32>,
}

impl Estimator {
    fn new(
        limits: BitrateLimits,
        covered: Covered,
        available_kbps: watch::Sender<u32>,
        padding: Arc<Padding>,
    ) -> Self {
        let path = |kbps: u32| f64::from(kbps) * 1_000.0 / VIDEO;
        let (start, min, max) = (path(limits.start), path(limits.min), path(limits.max));
        Self {
            delay: DelayBased::new(start, min, max),
            // Nothing is known against the maximum.
            loss: LossBased::new(BitrateLimits { start: limits.max, ..limits }),
            counted: None,
            probe: Probe::default(),
            bursts: Bursts::new(max / OF_MEASURED),
            padding,
            asked: None,
            queue: Queue::default(),
            began: None,
            max,
            rates: Rates::default(),
            recorded: None,
            covered,
            newest: None,
            available_kbps,
        }
    }

    /// Whether a report is of what the path did. Of a packet that no feedback spoke of it is not;
    /// nor of one sent again that did not arrive: what was asked for twice and comes twice is
    /// thrown away by the receiver's replay protection (RFC 3711, section 3.3.2) before anything
    /// counts it.
    fn is_told(&mut self, report: &PacketReport) -> bool {
        // Reports are in the order of sending.
        let sequence = report.rtp_sequence_number;
        let again = self.newest.is_some_and(|newest| newest.wrapping_sub(sequence) < u16::MAX / 2);
        if !again {
            self.newest = Some(sequence);
        }
        report.arrived || !again && self.covered.contains(report.twcc_sequence_number)
    }

    /// What each packet's report says, in the order of sending.
    fn results(&mut self, reports: &[&PacketReport]) -> Vec<PacketResult> {
        let Some(first) = reports.first() else { return Vec::new() };
        let began = *self.began.get_or_insert(first.departure);
        let result = |report: &&PacketReport| PacketResult {
            departure: report.departure.saturating_duration_since(began),
            arrival: report.arrival.filter(|_| report.arrived),
            bytes: report.size,
        };
        reports.iter().map(result).collect()
    }

    /// Whether enough was counted since the last second to know that its losses are over.
    fn loses_nothing(&self, now: tokio::time::Instant) -> bool {
        self.counted.is_some_and(|(since, told, lost)| {
            lost == 0 && told >= OVER_PACKETS && now.into_std() >= since + LOSS_INTERVAL / 2
        })
    }

    /// Raises the estimate when it is time, and has the path measured for that.
    fn raise(&mut self, now: tokio::time::Instant) {
        let losing = self.loss.congested() && !self.loses_nothing(now);
        let wrong = losing || self.delay.has_queue();
        let (target, capacity) = (self.target_bitrate(), self.bursts.capacity());
        if let Some(more) = self.probe.update(now, target, self.max, capacity, wrong) {
            // Whichever half is the lower one is raised.
            self.delay.raise(more);
            self.loss.raise(more * VIDEO / 1_000.0);
        }
        let target = self.target_bitrate();
        let (least, most) = BURST_BYTES;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within bounds"
        )]
        let bytes = (target / 8.0 * BURST_SECONDS).clamp(least, most) as u32;
        let measures = !wrong && capacity.is_none() && self.probe.measures(now, target, self.max);
        if !measures {
            self.padding.ask(0);
        } else if self.asked.is_none_or(|at| now.saturating_duration_since(at) >= BURST_INTERVAL) {
            self.asked = Some(now);
            self.padding.ask(bytes);
        }
    }

    fn count(&mut self, now: Instant, reports: &[&PacketReport]) {
        let (since, told, lost) = self.counted.get_or_insert((now, 0, 0));
        *told += u32::try_from(reports.len()).unwrap_or(u32::MAX);
        *lost += u32::try_from(reports.iter().filter(|report| !report.arrived).count())
            .unwrap_or(u32::MAX);
        if now.saturating_duration_since(*since) >= LOSS_INTERVAL {
            // What is sent is at most what may be: less than that proves nothing against more.
            self.loss.update(f64::INFINITY, f64::from(*lost) / f64::from(*told));
            self.counted = None;
        }
    }

    fn publish(&mut self, now: Instant) {
        let kbps = self.target_bitrate() * VIDEO / 1_000.0;
        if self.recorded.is_none_or(|at| now.saturating_duration_since(at) >= RECORD_INTERVAL) {
            self.recorded = Some(now);
            telemetry::bandwidth(kbps * 125.0);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within the limits, which are u32"
        )]
        let kbps = kbps.round() as u32;
        self.available_kbps
            .send_if_modified(|available_kbps| std::mem::replace(available_kbps, kbps) != kbps);
    }
}

impl BandwidthEstimator for Estimator {
    fn on_reports(&mut self, now: Instant, reports: &[PacketReport]) {
        let reports: Vec<&PacketReport> =
            reports.iter().filter(|report| self.is_told(report)).collect();
        if reports.is_empty() {
            return;
        }
        self.count(now, &reports);
        let packets = self.results(&reports);
        let clock = tokio::time::Instant::from_std(now);
        if let Some(newest) = packets.iter().rfind(|packet| packet.arrival.is_some()) {
            let began = self.began.unwrap_or(now);
            let since_began = now.saturating_duration_since(began);
            let sample = PathSample {
                queuing_delay: self.queue.queuing_delay(since_began, &packets),
                departure: newest.departure,
                rates: self.rates.update(&packets),
            };
            self.bursts.note(packets);
            match self.delay.update(clock, sample) {
                Change::Nothing => {}
                // They are of the path before there was a queue.
                Change::Fell => self.bursts.clear(),
                Change::NewDelay => self.queue.adopt(),
            }
        }
        self.raise(clock);
        self.publish(now);
    }

    fn target_bitrate(&self) -> f64 {
        self.delay.rate().min(self.loss.kbps() * 1_000.0 / VIDEO)
    }

    fn stats(&self) -> EstimatorStats {
        EstimatorStats::default()
    }
}

#[cfg(test)]
#[path = "congestion_tests.rs"]
mod tests;
