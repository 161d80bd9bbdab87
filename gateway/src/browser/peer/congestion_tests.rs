#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers of a simulation, which are small"
)]

use std::collections::VecDeque;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rtc::rtcp::transport_feedbacks::cc_feedback_report::Ecn;

use super::*;
use crate::pipeline::bandwidth::padding::PADDING_BYTES;
use crate::pipeline::bandwidth::{Due, Throttle};

const LIMITS: BitrateLimits = BitrateLimits { start: 1_500, min: 100, max: 2_000 };
/// Of one packet, in bytes.
const PACKET: usize = 1_200;

/// A path: what it carries in kbit/s, what it loses and by how much arrivals vary.
#[derive(Clone, Copy, Debug)]
struct Path {
    kbps: f64,
    /// What waits before it at most, in seconds of it.
    queue: f64,
    loss: f64,
    /// What of the feedback is lost on its way.
    feedback_loss: f64,
    jitter_ms: f64,
    /// Of its length, without a queue.
    delay_ms: f64,
}

const OPEN: Path = Path {
    kbps: 50_000.0,
    queue: 0.5,
    loss: 0.0,
    feedback_loss: 0.0,
    jitter_ms: 2.0,
    delay_ms: 20.0,
};

/// What stands still, and takes everything for it with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stall {
    /// We do: nothing is sent, no feedback is read.
    Server,
    /// The browser does: what was sent arrives when it goes on, and so does its feedback.
    Client,
    /// Feedback alone, on its way.
    Feedback,
}

/// A sender that does what it is told, 30 frames a second, feedback of every two.
struct Run {
    estimator: Estimator,
    available_kbps: watch::Receiver<u32>,
    covered: Covered,
    padding: Arc<Padding>,
    throttle: Throttle,
    random: SmallRng,
    start: Instant,
    frame: u64,
    reports: VecDeque<PacketReport>,
    /// Of lost feedbacks: the history reports those packets with the next.
    untold: Vec<PacketReport>,
    number: u8,
    /// When the path's queue is empty again, and the last arrival, in seconds.
    free: f64,
    last: f64,
    id: u64,
    /// What stands still, and until when.
    stall: Option<(Stall, f64)>,
    /// For how long we stood still so far.
    stood: f64,
    /// When the last picture was encoded.
    encoded: f64,
    /// Bytes of padding so far.
    padded: usize,
}

impl Run {
    fn new(seed: u64) -> Self {
        let (out, available_kbps) = watch::channel(LIMITS.start);
        let (covered, padding) = (Covered::default(), Arc::new(Padding::default()));
        Self {
            estimator: Estimator::new(LIMITS, covered.clone(), out, Arc::clone(&padding)),
            available_kbps,
            covered,
            padding,
            throttle: Throttle::new(LIMITS, 30.0),
            random: SmallRng::seed_from_u64(seed),
            start: tokio::time::Instant::now().into_std(),
            frame: 0,
            reports: VecDeque::new(),
            untold: Vec::new(),
            number: 0,
            free: 0.0,
            last: 0.0,
            id: 0,
            stall: None,
            stood: 0.0,
            encoded: 0.0,
            padded: 0,
        }
    }

    fn kbps(&self) -> u32 {
        *self.available_kbps.borrow()
    }

    fn at(&self) -> f64 {
        self.frame as f64 / 30.0
    }

    /// This moment by our clock, which stands still while we do.
    fn ours(&self, at: f64) -> Instant {
        self.start + Duration::from_secs_f64((at - self.stood).max(0.0))
    }

    /// A thirtieth of a second with a picture of so many bytes, without one for zero.
    fn send(&mut self, bytes: f64, path: Path) {
        let at = self.at();
        if self.stall.is_some_and(|(_, until)| until <= at) {
            self.stall = None;
        }
        let stall = self.stall.map(|(stall, _)| stall);
        if stall == Some(Stall::Server) {
            self.frame += 1;
            self.stood += 1.0 / 30.0;
            return;
        }
        // The driver takes packets one after the other, and may be interrupted.
        let apart = if self.random.random_bool(0.02) { 0.002 } else { 0.000_1 };
        let packets = (bytes / PACKET as f64).ceil() as usize;
        let padding = self.padding.packets(packets, bytes as usize);
        // On the wire: IP, UDP, RTP, the number for feedback and the tag.
        self.padded += padding * (PADDING_BYTES + 64);
        for n in 0..packets + padding {
            let left = bytes as usize - (PACKET * n).min(bytes as usize);
            let size = if n < packets { left.min(PACKET) } else { PADDING_BYTES };
            self.packet(at + apart * n as f64, size, path);
        }
        if self.frame % 2 == 1 && stall.is_none() {
            self.feedback(at, path);
        }
        self.frame += 1;
    }

    fn packet(&mut self, at: f64, size: usize, path: Path) {
        let Path { kbps, queue, loss, jitter_ms, delay_ms, .. } = path;
        self.id += 1;
        let lost = self.random.random_bool(loss) || self.free - at > queue;
        if !lost {
            self.free = self.free.max(at) + size as f64 * 8.0 / (kbps * 1_000.0);
        }
        let jitter = self.random.random_range(0.0..=jitter_ms) / 1_000.0;
        let arrival = self.free + delay_ms / 1_000.0 + jitter;
        let arrival = match self.stall {
            Some((Stall::Client, until)) => arrival.max(until),
            _ => arrival,
        };
        self.last = self.last.max(arrival);
        self.reports.push_back(PacketReport {
            ssrc: 1,
            id: self.id,
            rtp_sequence_number: self.id as u16,
            is_twcc: true,
            twcc_sequence_number: self.id as u16,
            size,
            arrived: !lost,
            departure: self.ours(at),
            arrival: (!lost).then(|| Duration::from_secs_f64(self.last)),
            ecn: Ecn::default(),
        });
    }

    fn feedback(&mut self, at: f64, path: Path) {
        // Up to the last that has arrived, and the report's own way back.
        let heard = at - path.delay_ms / 1_000.0;
        let known = self
            .reports
            .iter()
            .rposition(|report| report.arrival.is_some_and(|at| at.as_secs_f64() <= heard));
        let batch: Vec<_> = self.reports.drain(..known.map_or(0, |last| last + 1)).collect();
        self.number = self.number.wrapping_add(1);
        if self.random.random_bool(path.feedback_loss) {
            let untold = batch.into_iter().map(|report| PacketReport {
                arrived: false,
                arrival: None,
                ..report
            });
            self.untold.extend(untold);
            return;
        }
        // As str0m does: from the first that has arrived.
        if let (Some(first), Some(last)) =
            (batch.iter().find(|report| report.arrived), batch.last())
        {
            self.covered.note(self.number, first.id as u16, (last.id - first.id + 1) as u16);
        }
        self.untold.extend(batch);
        let now = self.ours(at);
        self.estimator.on_reports(now, &std::mem::take(&mut self.untold));
    }

    /// A thirtieth of a second of the stream as `egress` makes it of 720p; what it showed.
    fn stream(&mut self, path: Path) -> Option<(u32, u32)> {
        let (at, now) = (self.at(), tokio::time::Instant::from_std(self.start));
        let now = now + Duration::from_secs_f64(at);
        let due = Due { at: now, new: true, size: (1280, 720) };
        let stopped = self.stall.is_some_and(|(stall, until)| stall == Stall::Server && at < until);
        let target =
            if stopped { None } else { self.throttle.admit(now, self.kbps(), 0, due).ok() };
        let Some(target) = target else {
            self.send(0.0, path);
            return None;
        };
        // An encoder keeps its bitrate by the pictures' times.
        let took = (at - std::mem::replace(&mut self.encoded, at)).clamp(0.033, 0.2);
        let bytes = f64::from(target.kbps) * 125.0 * took * self.random.random_range(0.7..1.3);
        self.throttle.sent(bytes as usize);
        self.send(bytes, path);
        Some((target.width, target.height))
    }

    fn for_seconds(&mut self, seconds: u64, path: Path) {
        for _ in 0..seconds * 30 {
            self.stream(path);
        }
    }
}

/// The estimates in kbit/s, ten a second. `activity` is the part of the bitrate that the pictures
/// take.
fn run(seed: u64, seconds: u64, activity: f64, path: impl Fn(f64) -> Path) -> Vec<u32> {
    let (mut run, mut told) = (Run::new(seed), Vec::new());
    for frame in 0..seconds * 30 {
        let path = path(run.at());
        let bytes =
            f64::from(run.kbps()) * 125.0 / 30.0 * activity * run.random.random_range(0.6..1.4);
        run.send(bytes, path);
        if frame % 3 == 2 {
            told.push(run.kbps());
        }
    }
    told
}

fn mean(told: &[u32]) -> f64 {
    told.iter().map(|kbps| f64::from(*kbps)).sum::<f64>() / told.len() as f64
}

#[test]
fn an_open_path_is_used_in_full_within_four_seconds_and_stays_so() {
    for seed in 0..20 {
        let told = run(seed, 60, 1.0, |_| OPEN);
        assert!(told[40..].iter().all(|kbps| *kbps >= 1_700), "seed {seed}: {:?}", &told[..80]);
        assert!(mean(&told[40..]) > 1_900.0, "seed {seed}: {}", mean(&told[40..]));
    }
}

/// A machine with more to do than it can stops for moments: late is all that was under way, and
/// nothing is lost.
#[test]
fn moments_of_standstill_do_not_ruin_it() {
    for seed in 0..20 {
        let still = |at: f64| (at % 5.0) < 0.3;
        let told = run(seed, 60, 1.0, |at| Path {
            jitter_ms: if still(at) { 150.0 } else { 10.0 },
            ..OPEN
        });
        assert!(mean(&told[40..]) > 1_000.0, "seed {seed}: {}", mean(&told[40..]));
    }
}

#[test]
fn random_loss_of_five_percent_does_not_lower_it() {
    for seed in 0..20 {
        let told = run(seed, 60, 1.0, |_| Path { loss: 0.05, feedback_loss: 0.05, ..OPEN });
        assert!(mean(&told[40..]) > 1_900.0, "seed {seed}: {}", mean(&told[40..]));
    }
}

#[test]
fn a_narrow_path_is_found_within_seconds_and_left_within_seconds() {
    for seed in 0..20 {
        let narrow = |at: f64| (10.0..40.0).contains(&at);
        let told =
            run(seed, 80, 1.0, |at| if narrow(at) { Path { kbps: 300.0, ..OPEN } } else { OPEN });
        let (during, after) = (mean(&told[130..400]), mean(&told[600..]));
        assert!((150.0..340.0).contains(&during), "seed {seed}: {during} kbit/s of 300");
        assert!(after > 1_800.0, "seed {seed}: {after} afterwards");
    }
}

#[test]
fn much_loss_lowers_it_and_it_comes_back() {
    for seed in 0..20 {
        let bad = |at: f64| (10.0..30.0).contains(&at);
        let told = run(seed, 60, 1.0, |at| Path { loss: if bad(at) { 0.25 } else { 0.0 }, ..OPEN });
        let (during, after) = (mean(&told[200..300]), mean(&told[450..]));
        assert!(during < 800.0, "seed {seed}: {during} kbit/s at a loss of 25 %");
        assert!(after > 1_800.0, "seed {seed}: {after} afterwards");
    }
}

#[test]
fn what_is_sent_again_in_vain_is_no_loss() {
    let covered = Covered::default();
    covered.note(0, 0, 4);
    let mut estimator = Estimator::new(LIMITS, covered, watch::channel(0).0, Arc::default());
    let mut told = |twcc_sequence_number, rtp_sequence_number, arrived| {
        let departure = tokio::time::Instant::now().into_std();
        estimator.is_told(&PacketReport {
            ssrc: 1,
            id: u64::from(twcc_sequence_number),
            rtp_sequence_number,
            is_twcc: true,
            twcc_sequence_number,
            size: PACKET,
            arrived,
            departure,
            arrival: arrived.then_some(Duration::ZERO),
            ecn: Ecn::default(),
        })
    };
    assert!(told(0, 65_535, true) && told(1, 0, false));
    assert!(!told(2, 65_535, false) && told(3, 0, true), "sent again");
    assert!(!told(9, 1, false), "no feedback spoke of it");
}

#[test]
fn feedback_that_is_lost_lowers_nothing() {
    for seed in 0..20 {
        let told = run(seed, 60, 1.0, |_| Path { feedback_loss: 0.3, ..OPEN });
        assert!(mean(&told[40..]) > 1_900.0, "seed {seed}: {}", mean(&told[40..]));
    }
}

/// Nothing waits there, so nothing but loss tells of it.
#[test]
fn a_narrow_path_without_a_queue_is_found_too() {
    for seed in 0..20 {
        let told = run(seed, 80, 1.0, |_| Path { kbps: 300.0, queue: 0.05, ..OPEN });
        // One packet of 1200 bytes takes 32 ms of such a path: in the gaps between bursts it is
        // idle.
        assert!(
            (100.0..400.0).contains(&mean(&told[200..])),
            "seed {seed}: {} kbit/s",
            mean(&told[200..])
        );
    }
}

#[test]
fn a_still_picture_on_an_uneven_path_keeps_its_bitrate() {
    for seed in 0..20 {
        let told = run(seed, 60, 0.1, |_| Path { jitter_ms: 25.0, ..OPEN });
        assert!(mean(&told[40..]) > 1_200.0, "seed {seed}: {}", mean(&told[40..]));
    }
}

/// A path of some kind, for a while.
fn some_path(random: &mut SmallRng) -> Path {
    Path {
        kbps: [120.0, 300.0, 700.0, 1_500.0, 2_600.0, 50_000.0][random.random_range(0..6)],
        queue: random.random_range(0.05..1.0),
        loss: [0.0, 0.0, 0.02, 0.1, 0.4][random.random_range(0..5)],
        feedback_loss: [0.0, 0.0, 0.1, 0.5][random.random_range(0..4)],
        jitter_ms: random.random_range(0.0..40.0),
        delay_ms: [5.0, 20.0, 60.0, 150.0][random.random_range(0..4)],
    }
}

/// The seconds until 720p30 is shown in full again, and stays so for five seconds.
fn back(run: &mut Run, path: Path) -> f64 {
    let shown: Vec<_> = (0..30 * 45).map(|_| run.stream(path)).collect();
    let full = |second: &[Option<(u32, u32)>]| {
        second.iter().filter(|size| **size == Some((1280, 720))).count() >= 29
    };
    let lasting = |at: &usize| shown[*at..*at + 150].chunks(30).all(full);
    let at = (0..30 * 40).find(lasting);
    at.map_or(f64::INFINITY, |frames| frames as f64 / 30.0)
}

const MAXIMUM: [Path; 2] = [OPEN, Path { kbps: 2_600.0, ..OPEN }];

/// Whatever has happened on the way to this state. A path whose bursts passed and whose stream then
/// did not, or that lost much of it, is asked less and less often, and has to be: some 40 of these
/// courses end there.
#[test]
fn a_path_that_carries_the_maximum_is_used_in_full_within_four_seconds_from_any_state() {
    let (mut slowest, mut slow, mut distrusted): (f64, _, _) = (0.0, Vec::new(), 0);
    for seed in 0..1_000 {
        let mut run = Run::new(seed);
        let mut random = SmallRng::seed_from_u64(seed);
        for _ in 0..random.random_range(1..8) {
            let path = some_path(&mut random);
            let until = run.at() + random.random_range(0.5..20.0);
            while run.at() < until {
                if random.random_bool(0.005) {
                    let stall = [Stall::Server, Stall::Client, Stall::Feedback];
                    let stall = stall[random.random_range(0..3)];
                    run.stall = Some((stall, run.at() + random.random_range(0.1..5.0)));
                }
                run.stream(path);
            }
        }
        run.stall = None;
        // What is still on its way belongs to the time before.
        while run.free.max(run.last) > run.at() {
            run.stream(OPEN);
        }
        let maximum = MAXIMUM[seed as usize % 2];
        let distrust = run.estimator.probe.distrust().as_secs_f64();
        distrusted += u32::from(distrust > 0.0);
        let (before, took) = (run.kbps(), back(&mut run, maximum));
        if took > 4.0 + distrust {
            slow.push((seed, took, before, distrust));
        }
        slowest = slowest.max(took);
    }
    assert!(slow.is_empty(), "seed, seconds, kbit/s before, distrust: {slow:?}");
    assert!(slowest > 2.0, "{slowest} s: there was nothing to come back from");
    assert!(distrusted < 60, "{distrusted} of 1000");
}

#[test]
fn after_a_standstill_all_of_it_is_back_within_four_seconds() {
    for (seed, stall) in (0..60)
        .flat_map(|seed| [Stall::Server, Stall::Client, Stall::Feedback].map(|stall| (seed, stall)))
    {
        for seconds in [0.3, 1.0, 3.0, 10.0] {
            let mut run = Run::new(seed);
            run.for_seconds(10, OPEN);
            run.stall = Some((stall, run.at() + seconds));
            while run.stall.is_some() {
                run.stream(OPEN);
            }
            let took = back(&mut run, OPEN);
            assert!(took <= 4.0, "seed {seed}: {took} s after {stall:?} for {seconds} s");
        }
    }
}

/// What measuring costs a path that has no more to give.
#[test]
fn padding_is_a_small_part_of_a_narrow_path() {
    let mut shares = Vec::new();
    for kbps in [150.0, 300.0, 500.0, 1_000.0, 1_500.0] {
        let mut run = Run::new(1);
        run.for_seconds(60, Path { kbps, ..OPEN });
        let share = run.padded as f64 * 8.0 / 60.0 / (kbps * 1_000.0);
        shares.push((kbps, share));
    }
    assert!(shares[0].1 < 0.12 && shares[1..].iter().all(|(_, share)| *share < 0.04), "{shares:?}");
}

/// Of a path of `kbps`: the 95th percentile of its queuing delay in seconds, the part of the
/// packets that it loses, and the part of its bitrate that is used.
fn narrow(seed: u64, kbps: f64) -> (f64, f64, f64) {
    let path = Path { kbps, jitter_ms: 5.0, ..OPEN };
    let mut run = Run::new(seed);
    run.for_seconds(10, path);
    let (mut queuing_delays, before) = (Vec::new(), run.id);
    let (mut lost, mut bits) = (0_u32, 0.0);
    for _ in 0..110 * 30 {
        let (first, queue) = (run.id, (run.free - run.at()).max(0.0));
        run.stream(path);
        queuing_delays.push(queue);
        let new = run.reports.iter().filter(|report| report.id > first);
        for report in new {
            lost += u32::from(!report.arrived);
            bits += if report.arrived { report.size as f64 * 8.0 } else { 0.0 };
        }
    }
    queuing_delays.sort_by(f64::total_cmp);
    let late = queuing_delays[queuing_delays.len() * 95 / 100];
    (late, f64::from(lost) / (run.id - before) as f64, bits / 110.0 / (kbps * 1_000.0))
}

#[test]
fn a_narrow_path_is_used_and_has_no_standing_queue() {
    for kbps in [500.0, 1_000.0, 1_500.0] {
        let mut runs: Vec<_> = (0..9).map(|seed| narrow(seed, kbps)).collect();
        let mut median = |of: fn(&(f64, f64, f64)) -> f64| {
            runs.sort_by(|a, b| of(a).total_cmp(&of(b)));
            of(&runs[4])
        };
        let (late, lost, used) = (median(|r| r.0), median(|r| r.1), median(|r| r.2));
        let figures = format!("{kbps}: {late:.3} s, {lost:.4} lost, {used:.2} used");
        assert!(late < 0.15 && lost < 0.005 && used > 0.85, "{figures}");
    }
}
