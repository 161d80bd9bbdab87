//! RTP packets in any order in, whole frames in order out: the first half of hop 2, pure.
//!
//! The `rtc` crate's `SampleBuilder` is not used: it costs 11.5 MiB a stream and, fed hostile
//! sequence numbers, 190 ms of CPU a packet. Here a packet costs one map operation, whatever its
//! number, and memory is bounded by [`WINDOW_PACKETS`]. A frame is released by its marker bit at
//! once, not when the next one begins.
//!
//! > Frames come out in order. A frame that follows a lost one comes out only from the next
//! > keyframe on, because what it refers to was never decoded.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use crate::codec::Codec;
use crate::codec::payload::{append, starts_frame, starts_keyframe};
use crate::media::packet::{HeaderExtensions, Packet};
use crate::telemetry::ledger::{Reason, Ticket};

/// The most packets held, out of order or of unfinished frames: 1.5 s of 2 Mbit/s video. Beyond it
/// the gap is given up.
pub(crate) const WINDOW_PACKETS: usize = 512;
/// How long to wait for a missing packet: four requests over a path with a round trip of 100 ms
/// (`peer/nack.rs`), which at 5 % loss each way all fail once in 11 000. A longer wait would be a
/// visible freeze that a keyframe ends sooner.
pub(crate) const PATIENCE: Duration = Duration::from_millis(450);
/// With more packets missing at once, none is waited for or requested: a keyframe ends such a
/// blackout sooner than half a second of old video would.
pub(crate) const MAX_MISSING: u64 = 128;
/// Packets kept while there is no keyframe to start from: one whose first packet is asked for again
/// must be here when it comes. Half a second of 2 Mbit/s video.
const SEEK_PACKETS: usize = 128;
/// A larger step in sequence numbers means that the sender restarted (RFC 3550, appendix A.1).
const MAX_DROPOUT: i16 = 3_000;
/// How far behind a packet may come (RFC 3550, appendix A.1).
const MAX_MISORDER: i16 = -512;

/// One whole frame.
#[derive(Debug)]
pub(crate) struct AccessUnit {
    pub(crate) data: Bytes,
    /// RTP timestamp, 90 kHz.
    pub(crate) timestamp: u32,
    /// Of all its packets.
    pub(crate) marks: HeaderExtensions,
    pub(crate) ticket: Ticket,
}

/// What [`Assembler::keep_newest_keyframe`] left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) packets_dropped: usize,
    /// Frames after the kept one are gone: when it is out, call [`Assembler::give_up`].
    pub(crate) broken_off: bool,
}

/// See the module.
pub(crate) struct Assembler {
    codec: Codec,
    /// Packets that are not part of a released frame, by extended sequence number.
    held: BTreeMap<u64, Packet>,
    /// The tickets of the frames that `held` is part of, by RTP timestamp.
    tickets: BTreeMap<u32, Ticket>,
    /// The stream that is followed.
    ssrc: u32,
    /// The stream before, of which packets may still be under way.
    previous: Option<u32>,
    /// Highest extended sequence number seen; starts away from zero so that early reordering cannot
    /// underflow.
    highest: Option<u64>,
    /// The number that a restarted sender would use next (RFC 3550's `bad_seq`).
    restart: Option<u16>,
    /// First packet of the next frame. `None`: the next keyframe's first packet, wherever that is.
    next: Option<u64>,
    /// Without `next`: packets before this one are no longer wanted.
    floor: u64,
    /// The frame that was given up last.
    lost: Option<u32>,
    /// All packets from `next` up to this number, exclusive, are held and of one frame.
    whole_to: u64,
    /// Since when the packet that is needed next has been missing while later ones are here.
    gap_since: Option<Instant>,
}

impl Assembler {
    pub(crate) fn new(codec: Codec) -> Self {
        Self {
            codec,
            held: BTreeMap::new(),
            tickets: BTreeMap::new(),
            ssrc: 0,
            previous: None,
            highest: None,
            restart: None,
            next: None,
            floor: 0,
            lost: None,
            whole_to: 0,
            gap_since: None,
        }
    }

    /// Takes one packet; false if it was dropped (too late, duplicate, or from a hostile jump).
    pub(crate) fn push(&mut self, now: Instant, packet: Packet) -> bool {
        let Some(number) = self.extend(packet.ssrc, packet.sequence) else { return false };
        let late = number < self.next.unwrap_or(self.floor);
        // Otherwise its frame would be counted twice.
        let lost =
            self.lost == Some(packet.timestamp) && !starts_frame(self.codec, &packet.payload);
        if late || lost || self.held.contains_key(&number) {
            return false;
        }
        if !packet.payload.is_empty() {
            self.tickets.entry(packet.timestamp).or_insert_with(|| Ticket::open(now));
        }
        let start = self.next.is_none() && starts_keyframe(self.codec, &packet.payload);
        self.held.insert(number, packet);
        if start {
            self.start_at(number);
        } else if self.next.is_none() {
            self.forget_oldest();
        } else if self.held.len() > WINDOW_PACKETS {
            self.abandon();
        }
        true
    }

    /// The next whole frame, if there is one. Call until `None`.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<AccessUnit> {
        loop {
            let unit = self.next.and_then(|first| self.release(first, now));
            let missing = if unit.is_some() { 0 } else { self.missing() };
            if missing == 0 {
                self.gap_since = None;
                return unit;
            }
            let since = *self.gap_since.get_or_insert(now);
            if missing <= MAX_MISSING && now < since + PATIENCE {
                return None;
            }
            self.abandon();
        }
    }

    /// True while frames are lost because there is no keyframe: ask the sender for one.
    pub(crate) fn needs_keyframe(&self) -> bool {
        self.next.is_none() && self.highest.is_some()
    }

    /// When [`Self::pop`] must be called again even if no packet comes: a gap's patience ends then.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.gap_since.map(|since| since + PATIENCE)
    }

    /// Whether the bounds on held packets and tickets are kept.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn is_bounded(&self) -> bool {
        let max_packets = if self.next.is_some() { WINDOW_PACKETS } else { SEEK_PACKETS };
        self.held.len() <= max_packets && self.tickets.len() <= max_packets + 1
    }

    /// The decoder lost its state, or packets were dropped before they got here: start over at the
    /// next keyframe.
    pub(crate) fn give_up(&mut self) {
        self.floor = self.floor.max(self.next.take().unwrap_or_default());
        self.gap_since = None;
        match self
            .held
            .iter()
            .find(|(_, packet)| starts_keyframe(self.codec, &packet.payload))
            .map(|(number, _)| *number)
        {
            Some(start) => self.start_at(start),
            None => self.forget_oldest(),
        }
    }

    /// The held packets have waited too long: drops all but the newest keyframe, counted frame by
    /// frame. If that was dropped too, a thread that is always late would never show anything. An
    /// unfinished one stays only if its rest may still come and nothing after it is lost.
    pub(crate) fn keep_newest_keyframe(&mut self) -> Kept {
        let waited = self.held.len();
        let Some((end, last)) =
            self.held.last_key_value().map(|(end, packet)| (*end, packet.timestamp))
        else {
            return Kept { packets_dropped: 0, broken_off: false };
        };
        let starts = |(_, packet): &(&u64, &Packet)| starts_keyframe(self.codec, &packet.payload);
        let newest = self.held.iter().rfind(starts).map(|(_, packet)| packet.timestamp);
        // In H.264 both its parameter sets and its first slice start it.
        let first =
            self.held.iter().filter(starts).find(|(_, packet)| Some(packet.timestamp) == newest);
        let first = first
            .map(|(number, _)| *number)
            .filter(|first| newest == Some(last) || self.is_whole(*first));
        let kept = newest.filter(|_| first.is_some());
        self.held = first.map_or_else(BTreeMap::new, |first| self.held.split_off(&first));
        self.held.retain(|_, packet| Some(packet.timestamp) == kept);
        self.drop_tickets(|timestamp| Some(timestamp) != kept, Reason::Overflow);
        let broken_off = kept != Some(last);
        if broken_off {
            // More of it may come.
            self.lost = Some(last);
            self.floor = self.floor.max(end + 1);
        }
        (self.next, self.gap_since) = (first, None);
        self.whole_to = first.unwrap_or_default();
        Kept { packets_dropped: waited - self.held.len(), broken_off }
    }

    /// Whether the frame that starts there is held up to its end.
    fn is_whole(&self, first: u64) -> bool {
        let timestamp = self.held.get(&first).map(|packet| packet.timestamp);
        let frame = (first..).map_while(|number| self.held.get(&number));
        frame.take_while(|packet| Some(packet.timestamp) == timestamp).any(|packet| packet.marker)
    }

    /// The frame at `next` cannot be completed: count it and start over after it.
    fn abandon(&mut self) {
        if let Some(next) = self.next {
            self.floor = next + 1;
            // A later frame's start is not part of what is lost.
            let first = self.held.first_key_value();
            let lost = first.filter(|(number, packet)| {
                **number == next || !starts_frame(self.codec, &packet.payload)
            });
            if let Some(lost) = lost.map(|(_, packet)| packet.timestamp) {
                self.drop_tickets(|timestamp| timestamp == lost, Reason::Incomplete);
                self.lost = Some(lost);
                while let Some(rest) =
                    self.held.first_entry().filter(|rest| rest.get().timestamp == lost)
                {
                    self.floor = *rest.key() + 1;
                    rest.remove();
                }
            }
        }
        self.give_up();
    }

    /// Extends a 16-bit number to 64 bits, or refuses it.
    fn extend(&mut self, ssrc: u32, sequence: u16) -> Option<u64> {
        let Some(highest) = self.highest else {
            self.ssrc = ssrc;
            let number = (1 << 32) | u64::from(sequence);
            self.highest = Some(number);
            return Some(number);
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the low 16 bits are the sequence number"
        )]
        let step = sequence.wrapping_sub(highest as u16).cast_signed();
        let same = self.ssrc == ssrc;
        if same && (MAX_MISORDER..=MAX_DROPOUT).contains(&step) {
            self.restart = None;
            let number = highest.checked_add_signed(i64::from(step))?;
            self.highest = Some(highest.max(number));
            return Some(number);
        }
        // Another SSRC, which the stack has tied to our video, or two consecutive numbers that are
        // far away or from the stream before: the sender restarted, and nothing held can be
        // completed.
        let known = same || self.previous == Some(ssrc);
        if known && self.restart.replace(sequence.wrapping_add(1)) != Some(sequence) {
            return None;
        }
        if !same {
            self.previous = Some(std::mem::replace(&mut self.ssrc, ssrc));
        }
        self.restart = None;
        self.held.clear();
        self.drop_tickets(|_| true, Reason::Incomplete);
        self.next = None;
        self.lost = None;
        let number = ((highest >> 16) + 2) << 16 | u64::from(sequence);
        self.highest = Some(number);
        Some(number)
    }

    /// The keyframe at `number` is next; everything before it is given up.
    fn start_at(&mut self, number: u64) {
        let kept = self.held.split_off(&number);
        self.held = kept;
        let kept: BTreeSet<u32> = self.held.values().map(|packet| packet.timestamp).collect();
        self.drop_tickets(|timestamp| !kept.contains(&timestamp), Reason::NoKeyframe);
        self.next = Some(number);
        self.whole_to = number;
    }

    /// Without a known start, keeps the newest [`SEEK_PACKETS`].
    fn forget_oldest(&mut self) {
        while self.held.len() > SEEK_PACKETS
            && let Some((number, lost)) = self.held.pop_first()
        {
            self.floor = number + 1;
            let goes_on = self
                .held
                .first_key_value()
                .is_some_and(|(_, packet)| packet.timestamp == lost.timestamp);
            if !goes_on && let Some(ticket) = self.tickets.remove(&lost.timestamp) {
                ticket.dropped(Reason::NoKeyframe);
            }
        }
    }

    /// Releases the frame that starts at `first` if it is whole.
    fn release(&mut self, mut first: u64, now: Instant) -> Option<AccessUnit> {
        while self.held.get(&first).is_some_and(|packet| packet.payload.is_empty()) {
            self.held.remove(&first);
            first += 1;
            self.next = Some(first);
        }
        let timestamp = self.held.get(&first)?.timestamp;
        let mut last = first.max(self.whole_to);
        loop {
            let Some(packet) = self.held.get(&last) else {
                self.whole_to = last;
                return None;
            };
            if packet.timestamp != timestamp {
                // The frame ended without a marker, or a packet is wrong: neither can be decoded.
                self.abandon();
                return None;
            }
            if packet.marker {
                break;
            }
            last += 1;
        }
        let mut data = BytesMut::new();
        let mut marks = HeaderExtensions::default();
        for number in first..=last {
            let packet = self.held.remove(&number)?;
            marks = marks.and(packet.marks);
            append(self.codec, &packet.payload, &mut data);
        }
        self.next = Some(last + 1);
        let mut ticket = self.tickets.remove(&timestamp).unwrap_or_else(|| Ticket::open(now));
        ticket.complete(now);
        Some(AccessUnit { data: data.freeze(), timestamp, marks, ticket })
    }

    /// How many packets are missing between the next frame's first and the newest; 0 if the frame
    /// is merely unfinished, or if no start is known, because patience begins with the keyframe.
    fn missing(&self) -> u64 {
        let (Some(next), Some((newest, _))) = (self.next, self.held.last_key_value()) else {
            return 0;
        };
        newest + 1 - next - self.held.len() as u64
    }

    fn drop_tickets(&mut self, lost: impl Fn(u32) -> bool, reason: Reason) {
        for (_, ticket) in self.tickets.extract_if(.., |timestamp, _| lost(*timestamp)) {
            ticket.dropped(reason);
        }
    }
}

#[cfg(test)]
#[path = "assembler_tests.rs"]
mod tests;
