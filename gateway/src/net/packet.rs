//! What a datagram tells without a session: its protocol, and for a check of ICE's whose it is and who signed it.

use hmac::{Hmac, Mac};
use sha1::Sha1;

/// STUN's header (RFC 8489, section 5); its bytes 2 and 3 are the length of what follows.
const HEADER: usize = 20;
const BINDING_REQUEST: [u8; 2] = [0, 1];
const BINDING_SUCCESS: [u8; 2] = [1, 1];
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
/// HMAC-SHA1's.
const MAC: usize = 20;

/// A datagram at first sight.
#[derive(Debug)]
pub(crate) enum Kind<'a> {
    /// None of the protocols that share the port.
    Junk,
    /// A binding request that names a session.
    Check(Check<'a>),
    /// DTLS, (S)RTP, or STUN that names nobody.
    Other,
}

/// ICE's connectivity check: a STUN binding request with a user name.
#[derive(Debug)]
pub(crate) struct Check<'a> {
    /// Our side's part of the user name.
    pub(crate) ufrag: &'a str,
    message: &'a [u8],
}

/// What a STUN message tells whoever only passes it on.
#[derive(Debug)]
pub(super) struct Stun<'a> {
    pub(super) class: Class,
    pub(super) transaction: [u8; 12],
    message: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Request,
    Success,
    /// An error, or nothing that ICE asks.
    Other,
}

impl<'a> Stun<'a> {
    /// `None`: another protocol's.
    pub(super) fn read(datagram: &'a [u8]) -> Option<Self> {
        let [high @ 0..=3, low, _, _, 0x21, 0x12, 0xa4, 0x42, rest @ ..] = datagram else { return None };
        let class = match [*high, *low] {
            BINDING_REQUEST => Class::Request,
            BINDING_SUCCESS => Class::Success,
            _ => Class::Other,
        };
        Some(Self { class, transaction: *rest.first_chunk()?, message: datagram })
    }

    /// Whether whoever sent this knows `password`: the receiver's in a request, in an answer the sender's own.
    pub(super) fn is_signed_with(&self, password: &str) -> bool {
        is_signed_with(self.message, password)
    }
}

/// Whether a STUN message is signed with `password`. One that is not known yet, empty, is nobody's.
fn is_signed_with(message: &[u8], password: &str) -> bool {
    let Some((_, mac, at)) = attributes(message).find(|(kind, ..)| *kind == MESSAGE_INTEGRITY) else { return false };
    let Ok(mut hmac) = Hmac::<Sha1>::new_from_slice(password.as_bytes()) else { return false };
    // Signed is a header whose length ends with the signature (RFC 8489, section 14.5).
    let length = u16::try_from(at - HEADER + 4 + MAC).unwrap_or_default();
    hmac.update(&message[..2]);
    hmac.update(&length.to_be_bytes());
    hmac.update(&message[4..at]);
    !password.is_empty() && hmac.verify_slice(mac).is_ok()
}

/// Each attribute's kind, value, and where it begins; up to the first that is cut off.
fn attributes(message: &[u8]) -> impl Iterator<Item = (u16, &[u8], usize)> {
    let mut at = HEADER;
    std::iter::from_fn(move || {
        let begin = at;
        let [kind_high, kind_low, length_high, length_low] = *message.get(at..)?.first_chunk()?;
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        let value = message.get(at + 4..at + 4 + length)?;
        // Attributes begin at multiples of four.
        at += 4 + length.next_multiple_of(4);
        Some((u16::from_be_bytes([kind_high, kind_low]), value, begin))
    })
}

/// Told apart by the first byte (RFC 7983) and a look at the fixed fields: STUN's magic cookie, a DTLS version, and
/// RTP's least length.
pub(crate) fn classify(datagram: &[u8]) -> Kind<'_> {
    match datagram {
        [0..=3, _, _, _, 0x21, 0x12, 0xa4, 0x42, ..] => Check::parse(datagram).map_or(Kind::Other, Kind::Check),
        [20..=63, 0xfe, 0xff | 0xfd | 0xfc, ..] => Kind::Other,
        [128..=191, ..] if datagram.len() >= 12 => Kind::Other,
        _ => Kind::Junk,
    }
}

impl<'a> Check<'a> {
    fn parse(message: &'a [u8]) -> Option<Self> {
        if !message.starts_with(&BINDING_REQUEST) {
            return None;
        }
        // What comes behind the signature is not signed.
        let signed = attributes(message).take_while(|(kind, ..)| *kind != MESSAGE_INTEGRITY);
        let (_, name, _) = signed.filter(|(kind, ..)| *kind == USERNAME).last()?;
        Some(Self { ufrag: std::str::from_utf8(name).ok()?.split(':').next()?, message })
    }

    /// Whether whoever sent this knows `password`, our side's.
    pub(crate) fn is_signed_with(&self, password: &str) -> bool {
        is_signed_with(self.message, password)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A check as a browser sends it: some attribute, the user name, the signature, and a fingerprint behind it.
    pub(in crate::net) fn check(username: &str, password: &str) -> Vec<u8> {
        let mut message = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        add(&mut message, 0x0024, &[1, 2, 3, 4]);
        add(&mut message, USERNAME, username.as_bytes());
        sign(&mut message, password);
        message
    }

    fn add(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
        message.extend(kind.to_be_bytes());
        message.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        message.extend(value);
        message.resize(message.len().next_multiple_of(4), 0);
    }

    fn sign(message: &mut Vec<u8>, password: &str) {
        let length = u16::try_from(message.len() - HEADER + 4 + MAC).unwrap();
        message[2..4].copy_from_slice(&length.to_be_bytes());
        let mut hmac = Hmac::<Sha1>::new_from_slice(password.as_bytes()).unwrap();
        hmac.update(message);
        let mac = hmac.finalize().into_bytes();
        add(message, MESSAGE_INTEGRITY, &mac);
        add(message, 0x8028, &[0; 4]);
        let length = u16::try_from(message.len() - HEADER).unwrap();
        message[2..4].copy_from_slice(&length.to_be_bytes());
    }

    /// A check, as the answer to it.
    pub(in crate::net) fn answer(password: &str) -> Vec<u8> {
        let mut message = vec![1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        sign(&mut message, password);
        message
    }

    #[test]
    fn protocols_are_known_and_junk_is_not() {
        for known in [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 9, 9][..], &[22, 0xfe, 0xfd, 0], &[0x80; 12]] {
            assert!(matches!(classify(known), Kind::Other), "{known:?}");
        }
        for junk in [&[][..], &[0x80; 11], &[0, 1, 0, 0, 1, 2, 3, 4], &[22, 3, 3], &[64; 40], b"hello"] {
            assert!(matches!(classify(junk), Kind::Junk), "{junk:?}");
        }
    }

    #[test]
    fn a_check_names_a_session_and_who_knows_its_password() {
        let message = check("ours:theirs", "secret");
        let Kind::Check(parsed) = classify(&message) else { panic!("not seen as a check") };
        assert_eq!(parsed.ufrag, "ours");
        assert!(parsed.is_signed_with("secret") && !parsed.is_signed_with("another") && !parsed.is_signed_with(""));
        let mut changed = message.clone();
        changed[25] ^= 1;
        let Kind::Check(parsed) = classify(&changed) else { panic!("not seen as a check") };
        assert!(!parsed.is_signed_with("secret"));
    }

    /// RFC 5769, section 2.1: another's idea of the same.
    #[test]
    fn the_sample_request_of_the_rfc_is_signed() {
        let request = b"\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
            \x80\x22\x00\x10STUN test client\x00\x24\x00\x04\x6e\x00\x01\xff\
            \x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\x00\x06\x00\x09evtj:h6vY\x20\x20\x20\
            \x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\
            \x80\x28\x00\x04\xe5\x7a\x3b\xcf";
        let Kind::Check(parsed) = classify(request) else { panic!("not seen as a check") };
        assert_eq!(parsed.ufrag, "evtj");
        assert!(parsed.is_signed_with("VOkJxbRl1RmTxUk/WvJxBt"));
    }

    #[test]
    fn an_answer_is_signed_by_who_gives_it() {
        let message = answer("theirs");
        let read = Stun::read(&message).unwrap();
        assert_eq!((read.class, read.transaction), (Class::Success, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]));
        assert!(read.is_signed_with("theirs") && !read.is_signed_with("ours") && !read.is_signed_with(""));
        assert!(!Stun::read(&message[..HEADER]).unwrap().is_signed_with("theirs"));
        assert!(Stun::read(&message[..HEADER - 1]).is_none() && Stun::read(&[0x80; 40]).is_none());
    }

    #[test]
    fn a_cut_or_lying_message_costs_nothing() {
        let message = check("ours:theirs", "secret");
        for end in 0..message.len() {
            if let Kind::Check(check) = classify(&message[..end]) {
                assert!(end >= message.len() - 8 || !check.is_signed_with("secret"), "{end}");
            }
        }
        for at in 0..message.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = message.clone();
                changed[at] = value;
                if let Kind::Check(check) = classify(&changed) {
                    check.is_signed_with("secret");
                }
            }
        }
    }
}
