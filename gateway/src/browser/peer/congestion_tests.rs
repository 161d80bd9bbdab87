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

const LIMITS: BitrateLimits = BitrateLimits { start: 1_500, min: 100, max: 2_000 };
/// Of one packet, in bytes.
const PACKET: usize = 1_200;

/// A path: what it carries in kbit/s, what it loses and by how much arrivals vary.
#[derive(Clone, Copy)]
struct Path {
    kbps: f64,
    /// What waits before it at most, in seconds of it.
    queue: f64,
    loss: f64,
    /// What of the feedback is lost on its way.
    feedback_loss: f64,
    jitter_ms: f64,
}

const OPEN: Path =
    Path { kbps: 50_000.0, queue: 0.5, loss: 0.0, feedback_loss: 0.0, jitter_ms: 2.0 };

/// A sender that does what it is told, 30 frames a second, feedback of every two; the estimates in
/// kbit/s, ten a second. `activity` is the part of the bitrate that the pictures take.
fn run(seed: u64, seconds: u64, activity: f64, path: impl Fn(f64) -> Path) -> Vec<u32> {
    let (out, available_kbps) = watch::channel(LIMITS.start);
    let covered = Covered::default();
    let mut estimator = Estimator::new(LIMITS, covered.clone(), out);
    let mut random = SmallRng::seed_from_u64(seed);
    let start = tokio::time::Instant::now().into_std();
    let (mut reports, mut told) = (VecDeque::new(), Vec::new());
    // Of lost feedbacks: the history reports those packets with the next.
    let (mut untold, mut number): (Vec<PacketReport>, u8) = (Vec::new(), 0);
    // When the path's queue is empty again, and the last arrival, in seconds.
    let (mut free, mut last, mut id) = (0.0_f64, 0.0_f64, 0_u64);
    for frame in 0..seconds * 30 {
        let at = frame as f64 / 30.0;
        let Path { kbps, queue, loss, feedback_loss, jitter_ms } = path(at);
        let bytes = f64::from(*available_kbps.borrow()) * 125.0 / 30.0
            * activity
            * random.random_range(0.6..1.4);
        for _ in 0..(bytes / PACKET as f64).ceil() as usize {
            id += 1;
            let lost = random.random_bool(loss) || free - at > queue;
            if !lost {
                free = free.max(at) + PACKET as f64 * 8.0 / (kbps * 1_000.0);
            }
            last = last.max(free + 0.02 + random.random_range(0.0..=jitter_ms) / 1_000.0);
            reports.push_back(PacketReport {
                ssrc: 1,
                id,
                rtp_sequence_number: id as u16,
                is_twcc: true,
                twcc_sequence_number: id as u16,
                size: PACKET,
                arrived: !lost,
                departure: start + Duration::from_secs_f64(at),
                arrival: (!lost).then(|| Duration::from_secs_f64(last)),
                ecn: Ecn::default(),
            });
        }
        if frame % 2 == 1 {
            // Up to the last that has arrived, and the report's own way back.
            let heard = at - 0.02;
            let known = reports
                .iter()
                .rposition(|report| report.arrival.is_some_and(|at| at.as_secs_f64() <= heard));
            let batch: Vec<_> = reports.drain(..known.map_or(0, |last| last + 1)).collect();
            number = number.wrapping_add(1);
            if random.random_bool(feedback_loss) {
                untold.extend(batch.into_iter().map(|report| PacketReport {
                    arrived: false,
                    arrival: None,
                    ..report
                }));
            } else {
                // As str0m does: from the first that has arrived.
                if let (Some(first), Some(last)) =
                    (batch.iter().find(|report| report.arrived), batch.last())
                {
                    covered.note(number, first.id as u16, (last.id - first.id + 1) as u16);
                }
                untold.extend(batch);
                estimator
                    .on_reports(start + Duration::from_secs_f64(at), &std::mem::take(&mut untold));
            }
        }
        if frame % 3 == 2 {
            told.push(*available_kbps.borrow());
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
    let mut estimator = Estimator::new(LIMITS, covered, watch::channel(0).0);
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
