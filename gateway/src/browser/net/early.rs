//! DTLS that comes before the stack has a path. Pure: no socket, no clock.
//!
//! A client of DTLS begins as soon as its own side of ICE is done, which may be before the stack's
//! is. What comes until the stack has selected a pair of addresses it drops, and the client sends
//! it again after a second (RFC 6347, section 4.2.4.1). So the client's first flight waits here
//! until the stack has been given what makes it select.

use bytes::Bytes;

/// Datagrams that wait, and their bytes. A client's first flight is one datagram, or two with a
/// post-quantum key share; sent three times over, that is six. Full: the new one is dropped
/// (`reason="dtls_early"`), as the stack needs the beginning first.
const DATAGRAMS: usize = 8;
const BYTES: usize = 8 * 1024;

/// Type, version, epoch, number and length of a record (RFC 6347, section 4.1).
const RECORD_HEADER: usize = 13;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;

/// Of one session, by whichever path they came.
#[derive(Debug, Default)]
pub(super) struct EarlyDtls {
    waiting: Vec<Bytes>,
    /// The stack has selected a pair. What comes after an ICE restart does not wait: the stack
    /// then loses a moment's media too, and a flight in the midst of a connection is repeated soon.
    selected: bool,
}

impl EarlyDtls {
    /// Holds `datagram` where it comes too early; otherwise returns it, for the stack. Nothing but
    /// a ClientHello can rightly come early: an alert or a ChangeCipherSpec that somebody forged
    /// must not wait to be put into the handshake. An error is the value of the label `reason`.
    pub(super) fn hold(&mut self, datagram: Bytes) -> Result<Option<Bytes>, &'static str> {
        if self.selected || !is_client_hello(&datagram) {
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

/// Whether all its records are a ClientHello, or parts of one: none is encrypted (epoch 0).
fn is_client_hello(mut datagram: &[u8]) -> bool {
    while !datagram.is_empty() {
        let Some((header, behind)) = datagram.split_first_chunk::<RECORD_HEADER>() else {
            return false;
        };
        let &[HANDSHAKE, _, _, 0, 0, .., high, low] = header else { return false };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some((message, next)) = behind.split_at_checked(length) else { return false };
        if message.first() != Some(&CLIENT_HELLO) {
            return false;
        }
        datagram = next;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(content_type: u8, epoch: u8, message: &[u8]) -> Vec<u8> {
        let length = u16::try_from(message.len()).unwrap().to_be_bytes();
        [&[content_type, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 0][..], &length, message].concat()
    }

    /// So many bytes, which end with `number`.
    fn hello(number: u8, length: usize) -> Bytes {
        let mut message = vec![CLIENT_HELLO; length - RECORD_HEADER];
        *message.last_mut().unwrap() = number;
        record(HANDSHAKE, 0, &message).into()
    }

    #[test]
    fn what_comes_early_waits_in_order_and_no_longer_than_needed() {
        let mut early = EarlyDtls::default();
        for number in 0..3 {
            assert_eq!(early.hold(hello(number, 200)), Ok(None));
        }
        assert_eq!(early.release(), [hello(0, 200), hello(1, 200), hello(2, 200)]);
        assert_eq!(early.hold(hello(3, 200)), Ok(Some(hello(3, 200))));
        assert!(early.release().is_empty(), "once");
    }

    #[test]
    fn few_wait_and_the_first_ones_do() {
        for (length, most) in [(15, DATAGRAMS), (2_048, BYTES / 2_048)] {
            let mut early = EarlyDtls::default();
            for number in 0..100 {
                let expected =
                    if usize::from(number) < most { Ok(None) } else { Err("dtls_early") };
                assert_eq!(early.hold(hello(number, length)), expected, "{number} of {length}");
            }
            let released = early.release();
            assert_eq!((released.len(), released[0].clone()), (most, hello(0, length)));
        }
    }

    #[test]
    fn nothing_waits_but_a_client_hello() {
        let (hello, mut early) = (hello(0, 30), EarlyDtls::default());
        let alert = record(21, 0, &[2, 40]);
        for datagram in [
            alert.clone(),
            record(20, 0, &[1]),
            record(HANDSHAKE, 1, &[CLIENT_HELLO, 9]),
            record(HANDSHAKE, 0, &[2, 9]),
            record(23, 1, &[CLIENT_HELLO]),
            record(HANDSHAKE, 0, &[]),
            [&hello[..], &alert].concat(),
            hello[..20].to_vec(),
            vec![HANDSHAKE; 5],
        ] {
            let datagram = Bytes::from(datagram);
            assert_eq!(early.hold(datagram.clone()), Ok(Some(datagram)));
        }
        assert_eq!(early.hold([&hello[..], &hello].concat().into()), Ok(None), "in two parts");
        assert_eq!(early.release().len(), 1);
    }
}
