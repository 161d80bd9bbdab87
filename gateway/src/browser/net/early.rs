//! DTLS that comes before the stack has a path. Pure: no socket, no clock.
//!
//! A client of DTLS begins as soon as its own side of ICE is done, which may be before the stack's
//! is. What comes until the stack has selected a pair of addresses it drops, and the client sends
//! it again after a second (RFC 6347, section 4.2.4.1). So it waits here until the stack has been
//! given what makes it select.

use bytes::Bytes;

/// Datagrams that wait, and their bytes. A client's first flight is one datagram, or two with a key
/// for after quantum computers; sent three times over, that is six. Full: the new one is dropped
/// (`reason="dtls_early"`), as the stack needs the beginning first.
const DATAGRAMS: usize = 8;
const BYTES: usize = 8 * 1024;

/// Of one session, by whichever path they came.
#[derive(Debug, Default)]
pub(super) struct EarlyDtls {
    waiting: Vec<Bytes>,
    /// The stack has selected a pair. What comes after an ICE restart does not wait: the stack
    /// then loses a moment's media too, and a flight in the midst of a connection is repeated soon.
    selected: bool,
}

impl EarlyDtls {
    /// `datagram`, if it is the stack's turn already. An error is the value of the label `reason`.
    pub(super) fn take(&mut self, datagram: Bytes) -> Result<Option<Bytes>, &'static str> {
        if self.selected {
            return Ok(Some(datagram));
        }
        let bytes: usize = self.waiting.iter().map(Bytes::len).sum();
        if self.waiting.len() == DATAGRAMS || bytes + datagram.len() > BYTES {
            return Err("dtls_early");
        }
        self.waiting.push(datagram);
        Ok(None)
    }

    /// The stack selects a pair: what has waited for that, in the order in which it came.
    pub(super) fn release(&mut self) -> Vec<Bytes> {
        self.selected = true;
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u8, length: usize) -> Bytes {
        vec![number; length].into()
    }

    #[test]
    fn what_comes_early_waits_in_order_and_no_longer_than_needed() {
        let mut early = EarlyDtls::default();
        for number in 20..23 {
            assert_eq!(early.take(record(number, 200)), Ok(None));
        }
        assert_eq!(early.release(), [record(20, 200), record(21, 200), record(22, 200)]);
        assert_eq!(early.take(record(23, 200)), Ok(Some(record(23, 200))));
        assert!(early.release().is_empty(), "once");
    }

    #[test]
    fn few_wait_and_the_first_ones_do() {
        for (length, most) in [(1, DATAGRAMS), (2_048, BYTES / 2_048)] {
            let mut early = EarlyDtls::default();
            for number in 0..100 {
                let expected =
                    if usize::from(number) < most { Ok(None) } else { Err("dtls_early") };
                assert_eq!(early.take(record(number, length)), expected, "{number} of {length}");
            }
            let released = early.release();
            assert_eq!((released.len(), released[0][0]), (most, 0));
        }
    }
}
