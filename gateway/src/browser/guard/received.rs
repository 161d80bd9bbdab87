//! What DATA came, against what may come next: TSNs, streams, messages.
//!
//! Pure. The stack trusts all of these: it holds whatever number is ahead, makes a stream for each
//! identifier, and puts messages together from whatever claims to belong to them, looking through
//! all of it with each new piece.

use std::collections::VecDeque;

use super::Refusal;
use super::chunk::{Content, DCEP, Reset};

/// TSNs beyond what the stack has acknowledged. It does so with every other packet; forty of the
/// smallest pieces fit into one.
const WINDOW: u32 = 4_096;
/// Of these, such as wait for one that is missing. A sender in no hurry has ten packets on their
/// way.
const MAX_AHEAD: usize = 1_024;
/// How old a piece may be that comes again, in TSNs: a quarter of their circle, within which
/// "older" is beyond doubt.
const MAX_AGE: u32 = 1 << 30;
/// Streams at a time. FastRTC's clients open one.
const MAX_STREAMS: usize = 64;
/// Resets of an association's life: a data channel is closed by one.
const MAX_RESETS: u16 = 128;
/// Bytes and pieces of a message. What is longer than 64 KiB the stack throws away when it is
/// complete; a piece is 1 100 bytes and some.
const MAX_MESSAGE: u32 = 256 * 1024;
const MAX_FRAGMENTS: u16 = 512;

#[derive(Clone, Debug)]
pub(super) struct Received {
    /// By the stack: all up to here came, and it needs nothing of it again.
    acknowledged: u32,
    /// All up to here came, and makes sense. Ahead of `acknowledged` by what the stack is about to
    /// acknowledge, or by what it had no room for.
    complete: u32,
    /// What came beyond `acknowledged`, in order: may come again, and is the same then. [`WINDOW`]
    /// at most.
    seen: VecDeque<(u32, Content)>,
    /// [`MAX_STREAMS`] at most.
    streams: Vec<Stream>,
    /// The message of which a part has come.
    open: Option<Open>,
    resets: u16,
    last_reset: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    id: u16,
    /// The sequence number of its next ordered message.
    next: u16,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    first: Content,
    bytes: u32,
    fragments: u16,
}

impl Received {
    /// Before anything came; `tsn` is the first one's, which is small: the stack's arithmetic is
    /// wrong where TSNs wrap, so that they may not.
    pub(super) fn new(tsn: u32) -> Self {
        let before = tsn.saturating_sub(1);
        Self {
            acknowledged: before,
            complete: before,
            seen: VecDeque::new(),
            streams: Vec::new(),
            open: None,
            resets: 0,
            last_reset: None,
        }
    }

    /// After an error the state is of no more use.
    pub(super) fn data(&mut self, tsn: u32, content: Content) -> Result<(), Refusal> {
        if self.acknowledged.wrapping_sub(tsn) < MAX_AGE {
            return Ok(());
        }
        let in_window =
            tsn > self.acknowledged && tsn - self.acknowledged <= WINDOW && tsn < u32::MAX;
        if !in_window {
            return Err(Refusal::Data);
        }
        match self.seen.binary_search_by_key(&tsn, |(tsn, _)| *tsn) {
            Ok(at) if self.seen[at].1 == content => return Ok(()),
            Ok(_) => return Err(Refusal::Data),
            // The stack decides by the first piece that arrives whether a message is DCEP, and that
            // piece need not be its beginning. So DCEP is taken in order only; the peer sends it
            // again.
            Err(_) if content.protocol == DCEP && tsn != self.complete + 1 => {
                return Err(Refusal::Data);
            }
            Err(at) => self.seen.insert(at, (tsn, content)),
        }
        self.add_stream(content.stream)?;
        while let Some((tsn, content)) = self.seen.get(self.in_order()).copied()
            && tsn == self.complete + 1
        {
            self.follow(content)?;
            self.complete = tsn;
        }
        if self.seen.len() - self.in_order() > MAX_AHEAD { Err(Refusal::Data) } else { Ok(()) }
    }

    /// How many of `seen` are part of `complete`.
    fn in_order(&self) -> usize {
        self.complete.saturating_sub(self.acknowledged) as usize
    }

    fn add_stream(&mut self, id: u16) -> Result<(), Refusal> {
        if self.streams.iter().any(|stream| stream.id == id) {
            return Ok(());
        }
        if self.streams.len() >= MAX_STREAMS {
            return Err(Refusal::Data);
        }
        self.streams.push(Stream { id, next: 0 });
        Ok(())
    }

    /// The next piece in the order of TSNs, which is the order of messages: a message's pieces have
    /// consecutive ones, and without messages that are skipped a stream's sequence numbers have no
    /// gaps (RFC 9260, sections 6.5 and 6.9).
    fn follow(&mut self, content: Content) -> Result<(), Refusal> {
        let open = match self.open.take() {
            None if content.begins => Open { first: content, bytes: 0, fragments: 0 },
            Some(open) if !content.begins && belongs(&open.first, &content) => open,
            _ => return Err(Refusal::Data),
        };
        let open = Open {
            bytes: open.bytes + u32::from(content.length),
            fragments: open.fragments + 1,
            first: open.first,
        };
        if open.bytes > MAX_MESSAGE || open.fragments > MAX_FRAGMENTS {
            return Err(Refusal::Data);
        }
        // A stream that is not there was reset since; the stack has thrown the piece away with it.
        if content.begins
            && !content.unordered
            && let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == content.stream)
        {
            if stream.next != content.sequence {
                return Err(Refusal::Data);
            }
            stream.next = stream.next.wrapping_add(1);
        }
        self.open = (!content.ends).then_some(open);
        Ok(())
    }

    /// The stack keeps every early request, and answers all of them with each piece of data. So
    /// only requests that it can act upon at once pass, and few of these.
    pub(super) fn reset(&mut self, reset: &Reset<'_>) -> Result<(), Refusal> {
        let names = |stream: &Stream| reset.streams().any(|id| id == stream.id);
        if self.complete.wrapping_sub(reset.last_tsn) >= MAX_AGE {
            return Err(Refusal::Reset);
        }
        if self.last_reset.replace(reset.number) != Some(reset.number) {
            self.resets += 1;
        } else if self.streams.iter().any(names) {
            // Sent again, and late: its sender has our answer, and uses the stream anew. The stack
            // would reset it once more.
            return Err(Refusal::Reset);
        }
        if self.resets > MAX_RESETS {
            return Err(Refusal::Reset);
        }
        self.streams.retain(|stream| !names(stream));
        Ok(())
    }

    /// The stack says so, in a SACK of its own.
    pub(super) fn acknowledge(&mut self, tsn: u32) {
        let tsn = tsn.min(self.complete);
        if tsn <= self.acknowledged {
            return;
        }
        self.seen.drain(..(tsn - self.acknowledged) as usize);
        self.acknowledged = tsn;
    }
}

/// Whether both are parts of one message. The sequence number of an unordered one means nothing.
fn belongs(first: &Content, piece: &Content) -> bool {
    let key = |content: &Content| {
        let sequence = if content.unordered { 0 } else { content.sequence };
        (content.unordered, content.stream, sequence, content.protocol)
    };
    key(first) == key(piece)
}

#[cfg(test)]
#[path = "received_tests.rs"]
mod tests;
