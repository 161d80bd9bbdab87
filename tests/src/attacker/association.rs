//! An SCTP association with the gateway, made by hand in either role.

use std::time::Duration;

use tokio::time::Instant;

use super::sctp::{self, COOKIE_ACK, COOKIE_ECHO, HEARTBEAT, INIT, INIT_ACK, SACK};
use super::{AGAIN, Attacker};

/// What both ends call it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Association {
    /// What packets to the gateway carry.
    pub tag: u32,
    /// Of the next DATA of ours.
    pub tsn: u32,
    /// Of the gateway's first DATA.
    pub their_tsn: u32,
}

/// How long the gateway has to begin one of its own before we do, and again.
const THEIR_TURN: Duration = Duration::from_millis(500);

/// Our first: far from where the number wraps.
pub const FIRST_TSN: u32 = 1_000;

impl Attacker {
    /// Makes the association that the gateway begins, or begins it; our DATA will start with `tsn`.
    ///
    /// # Errors
    /// There is none within `patience`, or DTLS is over.
    pub fn associate(&mut self, tsn: u32, patience: Duration) -> Result<Association, String> {
        let deadline = Instant::now() + patience;
        let (tag, mut made, mut asked) = (rand::random::<u32>() | 1, None, Instant::now());
        while Instant::now() < deadline {
            if asked.elapsed() > THEIR_TURN && made.is_none() {
                asked = Instant::now();
                self.say(&sctp::packet(
                    0,
                    &[sctp::chunk(INIT, 0, &sctp::beginning(tag, tsn, None))],
                ))?;
            }
            let Some(packet) = self.hear(AGAIN)? else { continue };
            let Some((_, kind, value)) = sctp::read(&packet) else { continue };
            match kind {
                INIT | INIT_ACK => {
                    let Some((theirs, their_tsn, cookie)) = sctp::read_beginning(value) else {
                        continue;
                    };
                    made = Some(Association { tag: theirs, tsn, their_tsn });
                    let reply = if kind == INIT {
                        sctp::chunk(
                            INIT_ACK,
                            0,
                            &sctp::beginning(tag, tsn, Some(b"a cookie of ours")),
                        )
                    } else {
                        sctp::chunk(COOKIE_ECHO, 0, &cookie)
                    };
                    self.say(&sctp::packet(theirs, &[reply]))?;
                }
                COOKIE_ECHO => {
                    let Some(association) = made else { continue };
                    self.say(&sctp::packet(association.tag, &[sctp::chunk(COOKIE_ACK, 0, &[])]))?;
                    return Ok(association);
                }
                COOKIE_ACK => {
                    if let Some(association) = made {
                        return Ok(association);
                    }
                }
                _ => {}
            }
        }
        Err(format!("no association within {patience:?}: {:?}", self.seen))
    }

    /// Chunks within it, one packet.
    ///
    /// # Errors
    /// DTLS is over.
    pub fn chunks(&mut self, association: Association, chunks: &[Vec<u8>]) -> Result<(), String> {
        self.say(&sctp::packet(association.tag, chunks))
    }

    /// Whether the association still answers: to a heartbeat, within `patience`.
    ///
    /// # Errors
    /// DTLS is over.
    pub fn answers(
        &mut self,
        association: Association,
        patience: Duration,
    ) -> Result<bool, String> {
        const ACK: u8 = HEARTBEAT + 1;
        let deadline = Instant::now() + patience;
        let text = sctp::parameter(1, b"still there?");
        self.chunks(association, &[sctp::chunk(HEARTBEAT, 0, &text)])?;
        while Instant::now() < deadline {
            if let Some(packet) = self.hear(AGAIN)?
                && let Some((_, ACK, _)) = sctp::read(&packet)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// SACK with gaps that are as many as it says, or not.
#[must_use]
pub fn sack(tsn: u32, said: u16, gaps: &[[u16; 2]]) -> Vec<u8> {
    let blocks: Vec<u8> = gaps.iter().flatten().flat_map(|edge| edge.to_be_bytes()).collect();
    let head = [&tsn.to_be_bytes()[..], &0x10_0000_u32.to_be_bytes(), &said.to_be_bytes(), &[0, 0]]
        .concat();
    sctp::chunk(SACK, 0, &[head, blocks].concat())
}
