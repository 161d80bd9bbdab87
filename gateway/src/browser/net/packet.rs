//! What a datagram tells without a session: its protocol, and for a check of ICE's whose it is and
//! who signed it.

use bytes::Bytes;
use hmac::{Hmac, Mac};
use sha1::Sha1;

/// STUN's header (RFC 8489, section 5); its bytes 2 and 3 are the length of what follows.
const HEADER: usize = 20;
const BINDING_REQUEST: [u8; 2] = [0, 1];
const BINDING_SUCCESS: [u8; 2] = [1, 1];
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
/// RFC 8445, section 7.1.2.
const USE_CANDIDATE: u16 = 0x0025;
/// HMAC-SHA1's.
const MAC: usize = 20;

/// A datagram at first sight.
#[derive(Debug)]
pub(crate) enum Kind<'a> {
    /// None of the protocols that share the port.
    Junk,
    /// A binding request that names a session.
    Check(Check<'a>),
    /// STUN that names nobody: an answer to a check of ours, or nothing that we need.
    Stun(Stun<'a>),
    /// DTLS or (S)RTP.
    Other,
}

/// ICE's connectivity check: a STUN binding request with a user name.
#[derive(Debug)]
pub(crate) struct Check<'a> {
    /// Our side's part of the user name.
    pub(crate) ufrag: &'a str,
    pub(crate) stun: Stun<'a>,
}

/// What a STUN message tells a program that only passes it on.
#[derive(Debug)]
pub(crate) struct Stun<'a> {
    pub(super) class: Class,
    pub(super) transaction: [u8; 12],
    message: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Request,
    Success,
    /// An error, an indication, or another method's: nothing that ICE asks.
    Other,
}

impl<'a> Stun<'a> {
    /// `None`: another protocol's.
    pub(super) fn read(datagram: &'a [u8]) -> Option<Self> {
        let [high @ 0..=3, low, _, _, 0x21, 0x12, 0xa4, 0x42, rest @ ..] = datagram else {
            return None;
        };
        let class = match [*high, *low] {
            BINDING_REQUEST => Class::Request,
            BINDING_SUCCESS => Class::Success,
            _ => Class::Other,
        };
        Some(Self { class, transaction: *rest.first_chunk()?, message: datagram })
    }

    /// Whether the sender knows `password`: the receiver's in a request, in an answer the sender's
    /// own. An empty password is not known yet and matches nobody.
    pub(super) fn is_signed_with(&self, password: &str) -> bool {
        let Some((mac, at)) = self.signature() else { return false };
        let Some(hmac) = keyed(&self.message[..at], password) else { return false };
        !password.is_empty() && hmac.verify_slice(mac).is_ok()
    }

    /// The message up to its signature and no further: all else is to be ignored (RFC 8489, section
    /// 14.5), which the stack does not do. Empty where there is no signature.
    pub(crate) fn signed_part(&self) -> Bytes {
        let mut message = Vec::new();
        if let Some((mac, at)) = self.signature() {
            message.extend_from_slice(&self.message[..at]);
            add(&mut message, MESSAGE_INTEGRITY, mac);
        }
        message.into()
    }

    /// Whether this selects the pair of addresses that it goes by.
    pub(super) fn nominates(&self) -> bool {
        self.signed().any(|(kind, ..)| kind == USE_CANDIDATE)
    }

    /// The same check, but that it nominates nothing; signed with `password`.
    pub(crate) fn without_nomination(&self, password: &str) -> Bytes {
        let mut message = self.message[..HEADER].to_vec();
        for (kind, value, _) in self.signed().filter(|(kind, ..)| *kind != USE_CANDIDATE) {
            add(&mut message, kind, value);
        }
        sign(&mut message, password);
        message.into()
    }

    /// The signature, and where it begins.
    fn signature(&self) -> Option<(&'a [u8], usize)> {
        let (_, mac, at) =
            attributes(self.message).find(|(kind, ..)| *kind == MESSAGE_INTEGRITY)?;
        Some((mac, at))
    }

    /// The attributes before the signature.
    fn signed(&self) -> impl Iterator<Item = (u16, &'a [u8], usize)> + use<'a> {
        attributes(self.message).take_while(|(kind, ..)| *kind != MESSAGE_INTEGRITY)
    }
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

/// What the signature behind `message`, a header and attributes, is made of: with a length in the
/// header that ends with the signature (RFC 8489, section 14.5).
fn keyed(message: &[u8], password: &str) -> Option<Hmac<Sha1>> {
    let mut hmac = Hmac::<Sha1>::new_from_slice(password.as_bytes()).ok()?;
    hmac.update(&message[..2]);
    hmac.update(&length(message.len() + 4 + MAC));
    hmac.update(&message[4..]);
    Some(hmac)
}

fn sign(message: &mut Vec<u8>, password: &str) {
    if let Some(hmac) = keyed(message, password) {
        add(message, MESSAGE_INTEGRITY, &hmac.finalize().into_bytes());
    }
}

/// Adds an attribute; the header's length becomes that of the whole.
fn add(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(kind.to_be_bytes());
    message.extend(u16::try_from(value.len()).unwrap_or_default().to_be_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
    let length = length(message.len());
    message[2..4].copy_from_slice(&length);
}

/// The length in the header of a message of this many bytes. No message is longer than a datagram
/// can be.
fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes - HEADER).unwrap_or_default().to_be_bytes()
}

/// Told apart by the first byte (RFC 7983) and a look at the fixed fields: STUN's magic cookie, a
/// DTLS version, and RTP's least length.
pub(crate) fn classify(datagram: &[u8]) -> Kind<'_> {
    match datagram {
        [0..=3, ..] => match Stun::read(datagram) {
            Some(stun) => Check::of(stun).unwrap_or_else(Kind::Stun),
            None => Kind::Junk,
        },
        [20..=63, 0xfe, 0xff | 0xfd | 0xfc, ..] => Kind::Other,
        [128..=191, ..] if datagram.len() >= 12 => Kind::Other,
        _ => Kind::Junk,
    }
}

impl<'a> Check<'a> {
    /// An error if it is not a check.
    fn of(stun: Stun<'a>) -> Result<Kind<'a>, Stun<'a>> {
        if stun.class != Class::Request {
            return Err(stun);
        }
        // Of several the first counts (RFC 8489, section 14), as for the stack. What is behind the
        // signature is not signed.
        let name = stun.signed().find(|(kind, ..)| *kind == USERNAME);
        let ufrag = name.and_then(|(_, name, _)| std::str::from_utf8(name).ok()?.split(':').next());
        match ufrag {
            Some(ufrag) => Ok(Kind::Check(Self { ufrag, stun })),
            None => Err(stun),
        }
    }

    /// Whether the sender knows `password`, our side's.
    pub(crate) fn is_signed_with(&self, password: &str) -> bool {
        self.stun.is_signed_with(password)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A check as a browser sends it: some attribute, the user name, the signature, and a
    /// fingerprint behind it.
    pub(in crate::browser::net) fn check(username: &str, password: &str) -> Vec<u8> {
        fingerprinted(request(username), password)
    }

    /// The same, which nominates.
    pub(in crate::browser::net) fn nomination(username: &str, password: &str) -> Vec<u8> {
        let mut message = request(username);
        add(&mut message, USE_CANDIDATE, &[]);
        fingerprinted(message, password)
    }

    fn request(username: &str) -> Vec<u8> {
        let mut message = header(BINDING_REQUEST);
        add(&mut message, 0x0024, &[1, 2, 3, 4]);
        add(&mut message, USERNAME, username.as_bytes());
        message
    }

    /// With the one transaction that all messages here have.
    pub(in crate::browser::net) fn header(kind: [u8; 2]) -> Vec<u8> {
        let mut message = kind.to_vec();
        message.extend([0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        message
    }

    fn fingerprinted(mut message: Vec<u8>, password: &str) -> Vec<u8> {
        sign(&mut message, password);
        add(&mut message, 0x8028, &[0; 4]);
        message
    }

    /// A check, as the answer to it.
    pub(in crate::browser::net) fn answer(password: &str) -> Vec<u8> {
        fingerprinted(header(BINDING_SUCCESS), password)
    }

    /// What the stack is given of it.
    pub(in crate::browser::net) fn signed(message: &[u8]) -> Bytes {
        Stun::read(message).unwrap().signed_part()
    }

    #[test]
    fn protocols_are_known_and_junk_is_not() {
        for known in [&[22, 0xfe, 0xfd, 0][..], &[0x80; 12]] {
            assert!(matches!(classify(known), Kind::Other), "{known:?}");
        }
        for kind in [BINDING_REQUEST, BINDING_SUCCESS, [1, 0x11], [0, 0x11], [0, 3], [3, 0xff]] {
            assert!(matches!(classify(&header(kind)), Kind::Stun(_)), "{kind:?} names nobody");
        }
        let cut = &header(BINDING_REQUEST)[..HEADER - 1];
        for junk in
            [&[][..], &[0x80; 11], &[0, 1, 0, 0, 1, 2, 3, 4], cut, &[22, 3, 3], &[64; 40], b"hello"]
        {
            assert!(matches!(classify(junk), Kind::Junk), "{junk:?}");
        }
    }

    #[test]
    fn a_check_names_a_session_and_who_knows_its_password() {
        let message = check("ours:theirs", "secret");
        let Kind::Check(parsed) = classify(&message) else { panic!("not seen as a check") };
        assert_eq!(parsed.ufrag, "ours");
        assert!(
            parsed.is_signed_with("secret")
                && !parsed.is_signed_with("another")
                && !parsed.is_signed_with("")
        );
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
        assert_eq!(
            (read.class, read.transaction),
            (Class::Success, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
        );
        assert!(
            read.is_signed_with("theirs")
                && !read.is_signed_with("ours")
                && !read.is_signed_with("")
        );
        assert!(!Stun::read(&message[..HEADER]).unwrap().is_signed_with("theirs"));
        assert!(Stun::read(&message[..HEADER - 1]).is_none() && Stun::read(&[0x80; 40]).is_none());
    }

    /// The stack looks at all attributes, wherever they stand.
    #[test]
    fn what_is_behind_the_signature_is_cut_off() {
        for (message, password) in
            [(check("ours:theirs", "secret"), "secret"), (answer("theirs"), "theirs")]
        {
            let signed = signed(&message);
            let mut longer = message.clone();
            add(&mut longer, USE_CANDIDATE, &[]);
            add(&mut longer, USERNAME, b"other:theirs");
            for message in [message, longer] {
                let read = Stun::read(&message).unwrap();
                assert!(read.is_signed_with(password) && !read.nominates());
                assert_eq!(read.signed_part(), signed);
            }
            assert!(Stun::read(&signed).unwrap().is_signed_with(password), "what is left is whole");
            let mut stack = rtc::stun::message::Message::new();
            stack.unmarshal_binary(&signed).unwrap();
            assert!(!stack.contains(rtc::stun::attributes::ATTR_USE_CANDIDATE));
            assert!(!stack.contains(rtc::stun::attributes::ATTR_FINGERPRINT));
        }
        assert!(signed(&header(BINDING_REQUEST)).is_empty());
    }

    #[test]
    fn a_check_may_be_read_without_its_nomination() {
        let message = nomination("ours:theirs", "secret");
        let read = Stun::read(&message).unwrap();
        assert!(read.nominates() && read.is_signed_with("secret"));
        assert_eq!(read.without_nomination("secret"), signed(&check("ours:theirs", "secret")));
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
                    check.stun.signed_part();
                    check.stun.without_nomination("secret");
                }
            }
        }
    }
}
