//! What a peer saw, readable while it runs.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use reframe_gateway::codec::Picture;
use serde_json::Value;

use crate::netem::Counts;
use crate::pattern;

/// Frames and messages that are remembered one by one, per list: an hour at 30 fps. Later ones are
/// not recorded.
pub const RECORDS: usize = 108_000;

/// A peer's notes.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// When the server's answer had come.
    pub answered: Option<Instant>,
    /// When ICE had a path.
    pub reached: Option<Instant>,
    /// When ICE and DTLS were through.
    pub connected: Option<Instant>,
    /// ICE has lost the server.
    pub disconnected: bool,
    /// The data channel `text` is open.
    pub channel_open: bool,
    /// The server closed the data channel or the connection.
    pub closed_by_server: bool,
    /// Why the peer's thread stopped, if by itself.
    pub failed: Option<String>,
    /// Frames sent, in order.
    pub sent: Vec<Sent>,
    /// Frames received, in order, with what was read from their pixels.
    pub received: Vec<Received>,
    /// Data channel messages received, in order; a JSON string when a message was not JSON.
    pub messages: Vec<Value>,
    /// The newest `stats` message, which comes once a second and is not among `messages`.
    pub server_stats: Option<Value>,
    /// What the server told in REMBs, kbit/s, in order: one a second, where it has nothing better.
    pub rembs: Vec<u64>,
    /// PLI and FIR received.
    pub keyframe_requests: u64,
    /// Of those, FIR.
    pub firs: u64,
    /// Frames received that could not be decoded: damaged, or after a gap and before the next
    /// keyframe.
    pub undecodable: u64,
    /// Frames received after a loss that no retransmission mended: at least one before them is
    /// missing.
    pub gaps: u64,
    /// PLI sent.
    pub plis: u64,
    /// What the emulated network did, up and down.
    pub network: [Counts; 2],
    /// Packets sent again because the server asked.
    pub resent: u64,
    /// The last picture received.
    pub picture: Option<Picture>,
    /// When each number was last sent.
    sent_at: Arc<HashMap<u32, Instant>>,
}

/// A frame sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// The number in its pixels.
    pub number: u32,
    /// When its last packet was handed to the socket.
    pub at: Instant,
}

/// A frame received.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// What the pixels say; `None` when it was not decoded or shows no code.
    pub code: Option<pattern::Code>,
    /// The RTP timestamp, extended to 64 bits, 90 kHz.
    pub rtp_time: u64,
    /// When its first packet was read from the socket.
    pub arrived: Instant,
    /// When its last packet was read and the frame complete.
    pub complete: Instant,
    /// From the last packet of the frame sent under this number to `complete`: for a frame shown
    /// for the first time what the server added; for a re-emission, how old the picture is.
    pub age: Option<Duration>,
    /// When its original was captured, as the server says.
    pub captured: Option<SystemTime>,
    /// Decodable without an earlier one.
    pub keyframe: bool,
    /// Pixels; 0 when it was not decoded.
    pub width: u32,
    /// Pixels; 0 when it was not decoded.
    pub height: u32,
}

impl Stats {
    /// The first message whose `type` is `kind`.
    #[must_use]
    pub fn message(&self, kind: &str) -> Option<&Value> {
        self.messages.iter().find(|message| message["type"] == kind)
    }

    /// Every value that the output `name` was given on the data channel, in order.
    #[must_use]
    pub fn outputs(&self, name: &str) -> Vec<&Value> {
        self.messages.iter().filter_map(|message| output(message, name)).collect()
    }

    /// The newest value of the output `name`.
    #[must_use]
    pub fn newest_output(&self, name: &str) -> Option<&Value> {
        self.messages.iter().rev().find_map(|message| output(message, name))
    }

    /// The numbers received, in order, each once however often it was shown in a row.
    #[must_use]
    pub fn numbers(&self) -> Vec<u32> {
        let mut numbers: Vec<_> =
            self.received.iter().filter_map(|frame| Some(frame.code?.number)).collect();
        numbers.dedup();
        numbers
    }

    /// When the frame with this number was sent, the last time if the number was used again.
    #[must_use]
    pub fn sent_at(&self, number: u32) -> Option<Instant> {
        self.sent_at.get(&number).copied()
    }

    /// The longest time without a picture, re-emissions among them, that ended at or after `from`.
    #[must_use]
    pub fn longest_gap(&self, from: Instant) -> Duration {
        longest(self.received.iter().map(|frame| frame.complete), from)
    }

    /// The longest time without a picture that shows another number than the one before, that ended
    /// at or after `from`.
    #[must_use]
    pub fn longest_freeze(&self, from: Instant) -> Duration {
        let mut shown: Vec<_> = self
            .received
            .iter()
            .filter_map(|frame| Some((frame.complete, frame.code?.number)))
            .collect();
        shown.dedup_by_key(|(_, number)| *number);
        longest(shown.into_iter().map(|(at, _)| at), from)
    }

    /// Frames per second received, from the first to the last of `frames`; 0 for fewer than two.
    #[must_use]
    pub fn fps(frames: &[Received]) -> f64 {
        let [first, .., last] = frames else { return 0.0 };
        (frames.len() - 1) as f64 / last.complete.duration_since(first.complete).as_secs_f64()
    }

    /// One line for the text of a failed wait.
    #[must_use]
    pub fn summary(&self) -> String {
        format!(
            "connected {}, channel open {}, disconnected {}, closed by server {}, failed {:?}, sent {}, received {}, \
             undecodable {}, keyframe requests {}, messages {:?}",
            self.connected.is_some(),
            self.channel_open,
            self.disconnected,
            self.closed_by_server,
            self.failed,
            self.sent.len(),
            self.received.len(),
            self.undecodable,
            self.keyframe_requests,
            self.messages,
        )
    }

    pub(super) fn record_sent(&mut self, number: u32, at: Instant) {
        push(&mut self.sent, Sent { number, at });
        Arc::make_mut(&mut self.sent_at).insert(number, at);
    }

    /// `age` is filled in here.
    pub(super) fn record_received(&mut self, mut frame: Received) {
        let sent = frame.code.and_then(|code| self.sent_at.get(&code.number));
        frame.age = sent.map(|sent| frame.complete.saturating_duration_since(*sent));
        push(&mut self.received, frame);
    }

    pub(super) fn record_message(&mut self, message: Value) {
        if message["type"] == "stats" {
            self.server_stats = Some(message);
        } else {
            push(&mut self.messages, message);
        }
    }
}

/// When the frame of this number says that it was captured: by a clock that no machine has.
#[must_use]
pub fn captured(number: u32) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + u64::from(number))
}

fn longest(times: impl Iterator<Item = Instant>, from: Instant) -> Duration {
    let times: Vec<_> = times.collect();
    times
        .windows(2)
        .filter(|pair| pair[1] >= from)
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap_or_default()
}

fn output<'a>(message: &'a Value, name: &str) -> Option<&'a Value> {
    message.get("data").filter(|_| message["type"] == "outputs")?.get(name)
}

fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() < RECORDS {
        list.push(item);
    }
}

/// Between a peer's thread, which writes, and the test, which waits.
#[derive(Debug, Default)]
pub(super) struct Shared {
    stats: Mutex<Stats>,
    changed: Condvar,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().expect("nothing panics while it holds the notes")
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Wakes nobody: there is one of these for each datagram.
    pub(super) fn note_wire(&self, network: [Counts; 2], resent: u64) {
        let mut stats = self.lock();
        (stats.network, stats.resent) = (network, resent);
    }

    pub(super) fn wait_until<T>(
        &self,
        timeout: Duration,
        mut condition: impl FnMut(&Stats) -> Option<T>,
    ) -> Option<T> {
        let mut found = None;
        let mut look = |stats: &mut Stats| {
            found = condition(stats);
            found.is_none()
        };
        drop(self.changed.wait_timeout_while(self.lock(), timeout, &mut look));
        found
    }
}
