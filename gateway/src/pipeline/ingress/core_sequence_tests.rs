//! A seeded sequence of some thousand events: a network that loses, delays and doubles, a decoder
//! that fails, a thread that is late; and what must hold whatever happens.

use std::collections::BTreeSet;

use metrics_exporter_prometheus::PrometheusBuilder;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::tests::packet;
use super::*;

const ROUNDS: u32 = 4_000;

/// What happened: a run in which nothing happened proves nothing.
#[derive(Debug, Default)]
struct Counts {
    frames_sent: u32,
    packets_taken: usize,
    packets_decoded: usize,
    packets_dropped: usize,
    packets_refused: u32,
    decoded: u32,
    failures: u32,
    requests: u32,
    batches_lost: u32,
}

struct Simulation {
    random: SmallRng,
    core: Core,
    now: Instant,
    sequence: u16,
    /// When the keyframe leaves the browser that it was asked for.
    keyframe_at: Option<Instant>,
    /// Packets on their way, and when they arrive.
    network: Vec<(Instant, Packet)>,
    /// The frame that the decoder can go on from.
    reference: Option<u32>,
    /// The numbers of all frames that were handed out.
    handed_out: BTreeSet<u32>,
    requested: Option<Instant>,
    counts: Counts,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        Self {
            random: SmallRng::seed_from_u64(seed),
            core: Core::new(now, Codec::Vp8),
            now,
            // It wraps early.
            sequence: 65_000,
            keyframe_at: None,
            network: Vec::new(),
            reference: None,
            handed_out: BTreeSet::new(),
            requested: None,
            counts: Counts::default(),
        }
    }

    fn millis(&mut self, max: u64) -> Duration {
        Duration::from_millis(self.random.random_range(0..=max))
    }

    fn send_frame(&mut self) {
        let asked = self.keyframe_at.take_if(|at| self.now >= *at).is_some();
        let keyframe = self.counts.frames_sent == 0 || asked || self.random.random_bool(0.02);
        let packets = self.random.random_range(1..=3);
        let bad = self.counts.frames_sent % 200 > 150;
        for index in 0..packets {
            let (number, sequence) = (self.counts.frames_sent, self.sequence);
            let packet = packet(number, sequence, (index, packets), keyframe);
            if bad && self.random.random_bool(0.03) {
                continue;
            }
            let delay = if bad { self.millis(60) } else { Duration::ZERO };
            if self.random.random_bool(0.01) {
                self.network.push((self.now + delay * 2, packet.clone()));
            }
            self.network.push((self.now + delay, packet));
        }
        self.sequence = self.sequence.wrapping_add(packets);
        self.counts.frames_sent += 1;
    }

    /// Returns when the oldest packet of the batch arrived.
    fn take_batch(&mut self) -> Option<Instant> {
        let now = self.now;
        let arrived: Vec<_> = self.network.extract_if(.., |(at, _)| *at <= now).collect();
        let oldest = arrived.iter().map(|(at, _)| *at).min();
        let lost = self.random.random_bool(0.005);
        self.core.begin_batch(lost, oldest);
        if lost {
            // What was in the queue is gone.
            self.counts.batches_lost += 1;
            self.reference = None;
            return oldest;
        }
        for (_, packet) in arrived {
            if self.core.push(now, packet) {
                self.counts.packets_taken += 1;
            } else {
                self.counts.packets_refused += 1;
            }
        }
        oldest
    }

    fn decode_batch(&mut self, mut oldest: Option<Instant>) {
        loop {
            match self.core.decide(self.now) {
                Decision::Drop { packets, .. } => {
                    let arrived = oldest.take().expect("a batch is dropped once");
                    assert!(self.now >= arrived + BACKLOG_AGE);
                    self.counts.packets_dropped += packets;
                    self.reference = self.reference.filter(|_| packets == 0);
                }
                Decision::Decode(unit) => {
                    assert!(oldest.is_none_or(|arrived| self.now < arrived + BACKLOG_AGE));
                    self.decode(unit);
                    let took = self.millis(6);
                    self.now += took;
                }
                Decision::Wait => return,
            }
        }
    }

    fn decode(&mut self, unit: AccessUnit) {
        let packets: Vec<&[u8]> = unit.data.chunks(6).collect();
        let number = u32::from_be_bytes(packets[0][1..5].try_into().unwrap());
        for (index, packet) in packets.iter().enumerate() {
            assert_eq!(packet[1..5], number.to_be_bytes(), "a packet of another frame");
            assert_eq!(usize::from(packet[5]), index, "a packet is missing, or comes twice");
        }
        let before = self.handed_out.last().copied();
        assert!(before.is_none_or(|before| number > before), "{number} comes after {before:?}");
        self.handed_out.insert(number);
        let keyframe = packets[0][0] & 1 == 0;
        let goes_on = number.checked_sub(1).is_some_and(|before| self.reference == Some(before));
        assert!(keyframe || goes_on, "{number} refers to a frame that was not decoded");
        self.counts.packets_decoded += packets.len();
        if self.random.random_bool(0.005) {
            self.core.decode_failed();
            self.counts.failures += 1;
            self.reference = None;
        } else {
            self.reference = Some(number);
        }
        self.counts.decoded += 1;
        unit.ticket.consumed();
    }

    fn request_keyframe(&mut self) {
        if self.core.request_keyframe(self.now) {
            let before = self.requested.replace(self.now);
            assert!(before.is_none_or(|at| self.now >= at + KEYFRAME_REQUEST_INTERVAL));
            self.keyframe_at = Some(self.now + self.millis(100));
            self.counts.requests += 1;
        }
        if self.core.assembler.needs_keyframe() {
            let asked = self.requested.is_some_and(|at| self.now < at + KEYFRAME_REQUEST_INTERVAL);
            assert!(asked, "a loss after which no keyframe was asked for");
        }
        assert!(self.core.assembler.is_bounded());
    }

    fn run(mut self) -> Counts {
        for _ in 0..ROUNDS {
            self.send_frame();
            let late = self.random.random_bool(0.03);
            let more = self.millis(if late { 150 } else { 6 });
            self.now += Duration::from_millis(30) + more;
            let oldest = self.take_batch();
            self.decode_batch(oldest);
            self.request_keyframe();
        }
        // On a good network everything recovers.
        self.network.clear();
        self.core.begin_batch(true, None);
        self.reference = None;
        let frames = self.counts.decoded;
        for number in 0..10 {
            let first = self.counts.frames_sent + number;
            let packet = packet(first, self.sequence, (0, 1), number == 0);
            self.sequence = self.sequence.wrapping_add(1);
            self.core.begin_batch(false, Some(self.now));
            self.counts.packets_taken += usize::from(self.core.push(self.now, packet));
            self.decode_one_without_fault();
        }
        assert_eq!(self.counts.decoded, frames + 10);
        self.counts.frames_sent += 10;
        self.counts
    }

    fn decode_one_without_fault(&mut self) {
        let Decision::Decode(unit) = self.core.decide(self.now) else { panic!("no frame") };
        self.counts.packets_decoded += 1;
        self.counts.decoded += 1;
        unit.ticket.consumed();
        assert!(matches!(self.core.decide(self.now), Decision::Wait));
    }
}

/// The sum of a counter over all its labels.
fn sum(metrics: &str, name: &str) -> u64 {
    let values = metrics.lines().filter(|line| line.starts_with(name));
    values.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn each_frame_is_decided_once_and_a_keyframe_is_asked_for_after_each_loss() {
    for seed in 0..4 {
        let recorder = PrometheusBuilder::new().build_recorder();
        let counts = metrics::with_local_recorder(&recorder, || Simulation::new(seed).run());
        let metrics = recorder.handle().render();
        let received = sum(&metrics, "reframe_frames_received_total");
        let decoded = sum(&metrics, "reframe_frames_consumed_total");
        let dropped = sum(&metrics, "reframe_frames_dropped_total");
        assert_eq!(decoded, u64::from(counts.decoded), "seed {seed}");
        assert_eq!(received, decoded + dropped, "seed {seed}");
        assert!(received <= u64::from(counts.frames_sent), "seed {seed}: a frame is counted twice");
        let decided = counts.packets_decoded + counts.packets_dropped;
        assert!(decided <= counts.packets_taken, "seed {seed}: {counts:?}");
        let all = [counts.packets_refused, counts.failures, counts.requests, counts.batches_lost];
        assert!(all.iter().all(|count| *count > 5), "seed {seed}: {counts:?}");
        assert!(counts.packets_dropped > 50 && counts.decoded > 2_000, "seed {seed}: {counts:?}");
    }
}
