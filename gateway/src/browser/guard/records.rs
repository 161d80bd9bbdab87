//! DTLS records before they are decrypted, and the handshake in them (RFC 6347, section 4.1 and
//! 4.2).
//!
//! The stack keeps handshake fragments without counting them, puts them together by recursion, a
//! call for each, and holds records of a later epoch until it has the keys. Anybody who sends from
//! the client's address can cause that. It also accepts an unprotected ChangeCipherSpec at any
//! time.

use super::Refusal;

pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION_DATA: u8 = 23;
const FINISHED: u8 = 20;

const RECORD_HEADER: usize = 13;
const HANDSHAKE_HEADER: usize = 12;
/// Bytes of a handshake message; a certificate is the largest, of one to two kilobytes.
const MAX_MESSAGE: usize = 16 * 1024;
/// Messages of one side's handshake are six or seven.
const MAX_SEQUENCE: u16 = 15;
/// Fragments of a connection's life. A handshake has eight; browsers send each flight some ten
/// times before they give up.
const MAX_FRAGMENTS: u16 = 256;
/// Others without protection, by the same reckoning: ChangeCipherSpec comes with a flight, an alert
/// ends it all.
const MAX_PLAIN: u16 = 32;
/// Records of the next epoch before the first one is opened: `Finished` with each flight, and what
/// follows close behind.
const MAX_EARLY: u16 = 64;

/// What a connection may still send. Counts never come back: nothing here is sent again and again.
#[derive(Debug)]
pub(super) struct Records {
    fragments: u16,
    plain: u16,
    early: u16,
}

impl Default for Records {
    fn default() -> Self {
        Self { fragments: MAX_FRAGMENTS, plain: MAX_PLAIN, early: MAX_EARLY }
    }
}

impl Records {
    /// A datagram of DTLS, whole or not at all. `opened`: there are keys, and a record was opened
    /// with them.
    pub(super) fn datagram(&mut self, datagram: &[u8], opened: bool) -> Result<(), Refusal> {
        let mut rest = datagram;
        while !rest.is_empty() {
            let (record, behind) = split_record(rest).ok_or(Refusal::Dtls)?;
            rest = behind;
            let Record { content_type, epoch, content } = record;
            match (epoch, content_type) {
                (0, HANDSHAKE) => self.handshake(content)?,
                (0, CHANGE_CIPHER_SPEC) if content == [1] => spend(&mut self.plain)?,
                (0, ALERT) if content.len() == 2 => spend(&mut self.plain)?,
                (1, HANDSHAKE | ALERT | APPLICATION_DATA) if opened => {}
                (1, HANDSHAKE | ALERT | APPLICATION_DATA) => spend(&mut self.early)?,
                // There is no renegotiation, so no third epoch, and what is not protected has no
                // business in the second.
                _ => return Err(Refusal::Dtls),
            }
        }
        Ok(())
    }

    /// The handshake's last message is the only one that is encrypted.
    pub(super) fn encrypted_handshake(&mut self, content: &[u8]) -> Result<(), Refusal> {
        if content.first() != Some(&FINISHED) {
            return Err(Refusal::Dtls);
        }
        self.handshake(content)
    }

    /// Whole messages, or one fragment: the stack takes what is behind a fragment for its rest.
    fn handshake(&mut self, content: &[u8]) -> Result<(), Refusal> {
        let mut rest = content;
        while !rest.is_empty() {
            let (header, body) =
                rest.split_first_chunk::<HANDSHAKE_HEADER>().ok_or(Refusal::Dtls)?;
            let &[_, l0, l1, l2, s0, s1, o0, o1, o2, f0, f1, f2] = header;
            let [length, offset, fragment] = [[0, l0, l1, l2], [0, o0, o1, o2], [0, f0, f1, f2]]
                .map(|bytes| u32::from_be_bytes(bytes) as usize);
            let whole = fragment == length;
            let fits =
                offset + fragment <= length && (fragment > 0 || whole) && fragment <= body.len();
            let sound = length <= MAX_MESSAGE && u16::from_be_bytes([s0, s1]) <= MAX_SEQUENCE;
            if !fits || !sound || !(whole || fragment == body.len()) {
                return Err(Refusal::Dtls);
            }
            spend(&mut self.fragments)?;
            rest = &body[fragment..];
        }
        Ok(())
    }
}

fn spend(budget: &mut u16) -> Result<(), Refusal> {
    *budget = budget.checked_sub(1).ok_or(Refusal::Dtls)?;
    Ok(())
}

struct Record<'a> {
    content_type: u8,
    epoch: u16,
    content: &'a [u8],
}

/// The first record and what is behind it; `None`: it is cut off, empty, or of another version.
fn split_record(datagram: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let (header, rest) = datagram.split_first_chunk::<RECORD_HEADER>()?;
    let &[content_type, 0xfe, 0xff | 0xfd, e0, e1, _, _, _, _, _, _, l0, l1] = header else {
        return None;
    };
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let (content, behind) = rest.split_at_checked(length).filter(|_| length > 0)?;
    Some((Record { content_type, epoch: u16::from_be_bytes([e0, e1]), content }, behind))
}

#[cfg(test)]
#[path = "records_tests.rs"]
pub(super) mod tests;
