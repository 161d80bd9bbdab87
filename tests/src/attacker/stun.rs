//! STUN messages of every kind, sound and not (RFC 8489), and what is read of those that come.

use std::net::SocketAddr;

use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;

use super::crc::{IEEE, crc32};

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const HEADER: usize = 20;
const REQUEST: u16 = 0x0001;
const SUCCESS: u16 = 0x0101;
const ERROR: u16 = 0x0111;

/// Theirs, a colon, ours.
pub const USERNAME: u16 = 0x0006;
/// The signature.
pub const MESSAGE_INTEGRITY: u16 = 0x0008;
/// Why there is no answer.
pub const ERROR_CODE: u16 = 0x0009;
/// Where the sender is seen.
pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
/// Of the candidate that this makes.
pub const PRIORITY: u16 = 0x0024;
/// The controlling side takes this path.
pub const USE_CANDIDATE: u16 = 0x0025;
/// A checksum.
pub const FINGERPRINT: u16 = 0x8028;
/// The sender does not choose the path.
pub const ICE_CONTROLLED: u16 = 0x8029;
/// The sender chooses the path.
pub const ICE_CONTROLLING: u16 = 0x802a;

/// A message that is being written.
#[derive(Clone, Debug)]
pub struct Message(Vec<u8>);

impl Message {
    /// A binding request.
    #[must_use]
    pub fn request(transaction: [u8; 12]) -> Self {
        Self::new(REQUEST, transaction)
    }

    /// The answer that its sender waits for.
    #[must_use]
    pub fn success(transaction: [u8; 12]) -> Self {
        Self::new(SUCCESS, transaction)
    }

    fn new(kind: u16, transaction: [u8; 12]) -> Self {
        Self([&kind.to_be_bytes()[..], &[0, 0], &COOKIE, &transaction].concat())
    }

    /// One attribute more.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend(kind.to_be_bytes());
        self.0.extend(length(value.len()));
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self.announce(0)
    }

    /// Where its sender is seen, of IPv4.
    #[must_use]
    pub fn with_mapped_address(self, address: SocketAddr) -> Self {
        let SocketAddr::V4(address) = address else { return self };
        let port = address.port() ^ u16::from_be_bytes([COOKIE[0], COOKIE[1]]);
        let ip: Vec<u8> =
            address.ip().octets().iter().zip(COOKIE).map(|(byte, mask)| byte ^ mask).collect();
        self.with(XOR_MAPPED_ADDRESS, &[&[0, 1][..], &port.to_be_bytes(), &ip].concat())
    }

    /// Signed with `password`.
    ///
    /// # Panics
    /// With an empty password.
    #[must_use]
    pub fn signed(self, password: &str) -> Self {
        let covered = self.announce(24);
        let key = PKey::hmac(password.as_bytes()).expect("a key of some bytes");
        let mut signer = Signer::new(MessageDigest::sha1(), &key).expect("OpenSSL has SHA-1");
        let mac = signer.sign_oneshot_to_vec(&covered.0).expect("HMAC takes any text");
        covered.with(MESSAGE_INTEGRITY, &mac)
    }

    /// With a fingerprint behind all, as ICE wants it.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let covered = self.announce(8);
        let print = crc32(IEEE, &covered.0) ^ 0x5354_554e;
        covered.with(FINGERPRINT, &print.to_be_bytes()).0
    }

    /// As it is.
    #[must_use]
    pub fn bare(self) -> Vec<u8> {
        self.0
    }

    /// Says in the header how long it will be with so many bytes more.
    fn announce(mut self, more: usize) -> Self {
        let all = length(self.0.len() - HEADER + more);
        self.0[2..4].copy_from_slice(&all);
        self
    }
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).expect("less than 64 KiB").to_be_bytes()
}

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// Somebody asks.
    Request([u8; 12]),
    /// We are answered.
    Success([u8; 12]),
    /// We are refused, with this code.
    Refused([u8; 12], u16),
}

/// `None`: no STUN, or of another kind.
#[must_use]
pub fn read(datagram: &[u8]) -> Option<Read> {
    let [high, low, _, _, 0x21, 0x12, 0xa4, 0x42, rest @ ..] = datagram else { return None };
    let (transaction, attributes) = rest.split_first_chunk::<12>()?;
    match u16::from_be_bytes([*high, *low]) {
        REQUEST => Some(Read::Request(*transaction)),
        SUCCESS => Some(Read::Success(*transaction)),
        ERROR => Some(Read::Refused(*transaction, error_code(attributes).unwrap_or_default())),
        _ => None,
    }
}

/// Its third byte are hundreds, its fourth the rest (RFC 8489, section 14.8).
fn error_code(mut attributes: &[u8]) -> Option<u16> {
    loop {
        let (head, rest) = attributes.split_first_chunk::<4>()?;
        let (kind, length) =
            (u16::from_be_bytes([head[0], head[1]]), u16::from_be_bytes([head[2], head[3]]));
        if kind == ERROR_CODE {
            let value = rest.first_chunk::<4>()?;
            return Some(u16::from(value[2] & 7) * 100 + u16::from(value[3]));
        }
        attributes = rest.get(usize::from(length).next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The request of RFC 5769, section 2.1.
    #[test]
    fn signs_as_the_test_vector_does() {
        let transaction = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
        let tie_breaker = [0x93, 0x2f, 0xf9, 0xb1, 0x51, 0x26, 0x3b, 0x36];
        let mut message = Message::request(transaction)
            .with(0x8022, b"STUN test client")
            .with(PRIORITY, &[0x6e, 0, 1, 0xff])
            .with(ICE_CONTROLLED, &tie_breaker)
            .with(USERNAME, b"evtj:h6vY");
        // The vector pads with blanks.
        let end = message.0.len();
        message.0[end - 3..].fill(b' ');
        let message = message.signed("VOkJxbRl1RmTxUk/WvJxBt").finish();
        let mac = [
            0x9a, 0xea, 0xa7, 0x0c, 0xbf, 0xd8, 0xcb, 0x56, 0x78, 0x1e, 0xf2, 0xb5, 0xb2, 0xd3,
            0xf2, 0x49, 0xc1, 0xb5, 0x71, 0xa2,
        ];
        assert_eq!(message[message.len() - 28..message.len() - 8], mac);
        assert_eq!(message[message.len() - 4..], [0xe5, 0x7a, 0x3b, 0xcf]);
        assert_eq!(read(&message), Some(Read::Request(transaction)));
    }

    #[test]
    fn reads_what_it_is_refused_with() {
        let mut refused = Message::new(ERROR, [7; 12]).with(ERROR_CODE, &[0, 0, 4, 87]).bare();
        assert_eq!(read(&refused), Some(Read::Refused([7; 12], 487)));
        refused.truncate(24);
        assert_eq!(read(&refused), Some(Read::Refused([7; 12], 0)));
        assert_eq!(read(&refused[..10]), None);
    }
}
