//! Asks the browser for packets that did not come (RFC 4585, section 6.2.1).
//!
//! The stack's own generator looks every 100 ms whether or not anything is missing, so that a loss
//! costs 50 ms more than the round trip, and asks again at that pace for ever. This one asks when
//! it sees the gap, again when an answer is overdue by what answers took so far, and has no timer
//! while nothing is missing.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use rtc::interceptor::{Packet, StreamInfo, TaggedPacket};
use rtc::rtcp;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{
    TransportLayerNack, nack_pairs_from_sequence_numbers,
};

use super::interceptors::wants_nacks;
use super::pass_through::PacketFilter;
use crate::pipeline::assembler::MAX_MISSING;
use crate::telemetry;

/// From the gap to the first request: a packet that was only overtaken is not asked for, and one
/// request asks for a burst.
const GRACE: Duration = Duration::from_millis(5);
/// Answers take so long until one has come.
const FIRST_GUESS: Duration = Duration::from_millis(100);
/// Between two requests for a packet: on a local network a timer's resolution, on a bad one half
/// the assembler's patience.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));
/// Requests for one packet, as browsers do.
const MAX_REQUESTS: u8 = 10;

/// How far behind a packet may come (RFC 3550, appendix A.1).
const MAX_MISORDER: i16 = 512;

/// What one stream misses.
#[derive(Debug)]
pub(crate) struct Missing {
    /// Highest extended sequence number seen; starts away from zero so that early reordering cannot
    /// underflow.
    highest: Option<u64>,
    /// By extended sequence number; [`MAX_MISSING`] at most.
    lost: BTreeMap<u64, Lost>,
    /// The earliest of `lost`.
    due: Option<Instant>,
    /// How long an answer takes, smoothed.
    answer_time: Duration,
}

#[derive(Debug)]
struct Lost {
    due: Instant,
    requested: u8,
    first: Option<Instant>,
}

impl Default for Missing {
    fn default() -> Self {
        Self { highest: None, lost: BTreeMap::new(), due: None, answer_time: FIRST_GUESS }
    }
}

impl Missing {
    pub(crate) fn received(&mut self, now: Instant, sequence: u16) {
        let Some(highest) = self.highest else {
            self.highest = Some((1 << 32) | u64::from(sequence));
            return;
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the low 16 bits are the sequence number"
        )]
        let step = sequence.wrapping_sub(highest as u16).cast_signed();
        let number = highest.saturating_add_signed(i64::from(step));
        if step < -MAX_MISORDER {
            // The sender restarted.
            *self = Self { answer_time: self.answer_time, ..Self::default() };
            return self.received(now, sequence);
        }
        if step <= 0 {
            self.arrived(now, number);
            return;
        }
        self.highest = Some(number);
        let gap = number - highest - 1;
        if gap + self.lost.len() as u64 > MAX_MISSING {
            // The assembler has given up too.
            self.lost.clear();
            self.due = None;
            return;
        }
        let due = now + GRACE;
        self.lost.extend(
            (highest + 1..number).map(|number| (number, Lost { due, requested: 0, first: None })),
        );
        if gap > 0 {
            self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
        }
    }

    fn arrived(&mut self, now: Instant, number: u64) {
        let Some(lost) = self.lost.remove(&number) else { return };
        // Which of several requests was answered is not known. Of two it is mostly the second: the
        // time since the first counts for little, but enough to learn of a way that is longer than
        // the pace of requests.
        let weight = match lost.requested {
            1 => 8,
            2 => 32,
            _ => 0,
        };
        if let Some(first) = lost.first.filter(|_| weight > 0) {
            let answer_time = now.saturating_duration_since(first);
            self.answer_time = (self.answer_time * (weight - 1) + answer_time) / weight;
        }
        if self.lost.is_empty() {
            self.due = None;
        }
    }

    /// What to ask for now.
    pub(crate) fn take(&mut self, now: Instant) -> Vec<u16> {
        if self.due.is_none_or(|due| now < due) {
            return Vec::new();
        }
        let (min, max) = RETRY;
        let again = now + (self.answer_time * 9 / 8).clamp(min, max);
        let mut wanted = Vec::new();
        self.lost.retain(|number, lost| {
            if lost.due > now {
                return true;
            }
            lost.requested += 1;
            lost.due = again;
            lost.first.get_or_insert(now);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the low 16 bits are the sequence number"
            )]
            wanted.push(*number as u16);
            lost.requested < MAX_REQUESTS
        });
        self.due = self.lost.values().map(|lost| lost.due).min();
        wanted
    }

    /// For tests and `fuzz`: what must hold after each call at `now`.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn is_bounded(&self, now: Instant) -> bool {
        self.lost.len() as u64 <= MAX_MISSING
            && self.due.is_some() != self.lost.is_empty()
            && self.due.is_none_or(|due| now < due)
    }
}

/// See the module. By SSRC.
#[derive(Default)]
pub(super) struct NackGenerator {
    streams: HashMap<u32, Missing>,
}

impl PacketFilter for NackGenerator {
    fn on_read(&mut self, packet: &mut TaggedPacket) -> bool {
        if let Packet::Rtp(rtp) = &packet.message.packet
            && let Some(missing) = self.streams.get_mut(&rtp.header.ssrc)
        {
            missing.received(packet.now, rtp.header.sequence_number);
        }
        true
    }

    fn timeout(&self) -> Option<Instant> {
        self.streams.values().filter_map(|missing| missing.due).min()
    }

    fn on_timeout(&mut self, now: Instant) -> Vec<Box<dyn rtcp::Packet>> {
        let mut requests: Vec<Box<dyn rtcp::Packet>> = Vec::new();
        for (&media_ssrc, missing) in &mut self.streams {
            let wanted = missing.take(now);
            if !wanted.is_empty() {
                telemetry::packets_requested(wanted.len() as u64);
                let nacks = nack_pairs_from_sequence_numbers(&wanted);
                requests.push(Box::new(TransportLayerNack { sender_ssrc: 0, media_ssrc, nacks }));
            }
        }
        requests
    }

    fn bind_remote(&mut self, stream: &StreamInfo) {
        if wants_nacks(stream) {
            self.streams.insert(stream.ssrc, Missing::default());
        }
    }

    fn unbind_remote(&mut self, stream: &StreamInfo) {
        self.streams.remove(&stream.ssrc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn start() -> (Missing, Instant) {
        let (mut missing, now) = (Missing::default(), tokio::time::Instant::now().into_std());
        missing.received(now, u16::MAX - 1);
        (missing, now)
    }

    #[test]
    fn nothing_missing_is_no_timer() {
        let (mut missing, now) = start();
        for sequence in [u16::MAX, 0, 1, 1, 0] {
            missing.received(now, sequence);
            assert_eq!((missing.due, missing.take(now + 1_000 * MS)), (None, Vec::<u16>::new()));
        }
    }

    #[test]
    fn what_was_overtaken_is_not_asked_for() {
        let (mut missing, now) = start();
        missing.received(now, 1);
        assert_eq!(missing.due, Some(now + GRACE));
        missing.received(now + MS, 0);
        missing.received(now + MS, u16::MAX);
        assert_eq!((missing.due, missing.take(now + GRACE)), (None, Vec::<u16>::new()));
    }

    #[test]
    fn a_gap_is_asked_for_until_it_is_filled() {
        let (mut missing, now) = start();
        missing.received(now, 2);
        assert_eq!(missing.take(now + GRACE - MS), Vec::<u16>::new());
        assert_eq!(missing.take(now + GRACE), [u16::MAX, 0, 1]);
        missing.received(now + 50 * MS, 0);
        assert_eq!(missing.take(now + 50 * MS), Vec::<u16>::new(), "their answer is not overdue");
        let again = missing.due.unwrap();
        assert!((now + 80 * MS..now + 120 * MS).contains(&again));
        assert_eq!(missing.take(again), [u16::MAX, 1]);
        missing.received(again, u16::MAX);
        missing.received(again, 1);
        assert_eq!(missing.due, None);
    }

    #[test]
    fn the_pace_follows_the_answers_and_ends() {
        let (mut missing, mut now) = start();
        let mut sequence = 10_u16;
        for _ in 0..50 {
            missing.received(now, sequence);
            let asked = missing.due.unwrap();
            let wanted = missing.take(asked);
            now = asked + 30 * MS;
            wanted.into_iter().for_each(|number| missing.received(now, number));
            assert_eq!(missing.due, None);
            sequence += 2;
        }
        assert!((30 * MS..33 * MS).contains(&missing.answer_time), "{:?}", missing.answer_time);
        missing.received(now, sequence);
        let mut times = Vec::new();
        while let Some(due) = missing.due {
            assert_eq!(missing.take(due), [sequence - 1]);
            times.push(due);
        }
        assert_eq!(times.len(), usize::from(MAX_REQUESTS));
        assert!(times.windows(2).all(|pair| (30 * MS..40 * MS).contains(&(pair[1] - pair[0]))));
    }

    #[test]
    fn lost_requests_hardly_slow_the_pace_and_a_long_way_is_learnt() {
        let (mut missing, mut now) = start();
        let answer = 180 * MS;
        for round in 0..400_u16 {
            let sequence = 10 + 2 * round;
            missing.received(now, sequence);
            // Each tenth first request is lost.
            let mut first = missing.due.unwrap();
            missing.take(first);
            if round % 10 == 9 {
                first = missing.due.unwrap();
            }
            now = first + answer;
            while let Some(due) = missing.due.filter(|due| *due < now) {
                missing.take(due);
            }
            missing.received(now, sequence - 1);
        }
        let learnt = missing.answer_time;
        assert!((answer..answer + 15 * MS).contains(&learnt), "{learnt:?}");
    }

    #[test]
    fn what_is_beyond_repair_is_not_asked_for() {
        for jump in [u16::try_from(MAX_MISSING).unwrap() + 2, 30_000, 50_000] {
            let (mut missing, now) = start();
            missing.received(now, u16::MAX.wrapping_add(jump));
            assert_eq!((missing.due, missing.lost.len()), (None, 0));
            missing.received(now, u16::MAX.wrapping_add(jump + 2));
            assert_eq!(
                missing.take(now + GRACE),
                [u16::MAX.wrapping_add(jump + 1)],
                "where it goes on"
            );
        }
        // Every second one is lost, and nobody answers.
        let (mut missing, now) = start();
        for sequence in (0..60_000).step_by(2) {
            missing.received(now, sequence);
            assert!(missing.lost.len() as u64 <= MAX_MISSING);
        }
    }
}
