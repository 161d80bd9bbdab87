//! What stands between a stranger's bytes and the stack's parsers of DTLS, SCTP and SRTP.
//!
//! Those panic, loop and allocate by numbers that the peer chose: `docs/decisions/0017-guard.md`
//! lists where. This looks at each datagram before the stack gets it ([`Guard::admit`]), and at
//! each DTLS record between its decryption and SCTP ([`provider()`]). What it refuses goes no
//! further and is counted in `reframe_packets_dropped_total`.
//!
//! > Of what passes, nothing loops, allocates or slices by a number that was not checked here.
//!
//! Refused is only what no honest client sends: SCTP is reliable, so a client whose DATA is refused
//! sends it again until its association fails.

mod association;
mod chunk;
mod feedback;
mod provider;
mod received;
mod records;
mod rewrite;
mod sctp;
mod sources;

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::time::Instant;

pub(crate) use self::association::Association;
#[cfg(any(test, feature = "internals"))]
pub(crate) use self::chunk::is_dcep;
pub(crate) use self::feedback::bound_feedback;
pub(crate) use self::provider::{SUITES, provider};
use self::records::Records;
#[cfg(any(test, feature = "internals"))]
pub(crate) use self::sctp::seal;
use self::sources::Sources;
use crate::telemetry;

/// Bytes of a datagram. WebRTC's stacks keep to 1 200 and some, and none sends more than an
/// Ethernet frame's 1 500; a datagram of 64 KiB is work for forty.
const MAX_DATAGRAM: usize = 2_048;

/// Why something goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A datagram larger than [`MAX_DATAGRAM`].
    Oversize,
    /// DTLS that lies about its lengths, or more of it than a handshake takes.
    Dtls,
    /// (S)RTP of more senders than one client has.
    Sources,
    /// SRTCP that says that it is not encrypted.
    Plain,
    /// SCTP that lies about its lengths or counts.
    Malformed,
    /// SCTP that belongs to no association, or to a second one.
    Association,
    /// SCTP that skips messages, which we never agreed to.
    ForwardTsn,
    /// DATA that is out of its window, contradicts what came before, or exceeds a bound.
    Data,
    /// A stream reset that is early, or one too many.
    Reset,
    /// More DATA than 4 000 pieces a second.
    Rate,
    /// Feedback on more packets than we sent in a while.
    Feedback,
}

impl Refusal {
    /// The value of the metric's label `reason`.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Oversize => "oversize",
            Self::Dtls => "dtls",
            Self::Sources => "sources",
            Self::Plain => "srtcp_plain",
            Self::Malformed => "sctp_malformed",
            Self::Association => "sctp_association",
            Self::ForwardTsn => "sctp_forward_tsn",
            Self::Data => "sctp_data",
            Self::Reset => "sctp_reset",
            Self::Rate => "sctp_rate",
            Self::Feedback => "feedback",
        }
    }
}

/// What is known of one connection. One for each, whichever side's DTLS is the client, and also
/// when DTLS begins anew.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    sources: Sources,
    records: Mutex<Records>,
    association: Mutex<Association>,
    /// Whether a record was opened with the session's keys.
    opened: AtomicBool,
    /// Whether SRTP's keys are for AES in counter mode.
    counter_mode: AtomicBool,
}

impl Guard {
    /// A datagram from one of the session's paths. To be asked before the stack gets it; for a
    /// packet of a known source it is a comparison.
    ///
    /// # Errors
    /// It must not get it; the text is the value of the label `reason`.
    pub(crate) fn admit(&self, datagram: &[u8]) -> Result<(), &'static str> {
        let admitted = match datagram {
            _ if datagram.len() > MAX_DATAGRAM => Err(Refusal::Oversize),
            [20..=63, ..] => {
                self.records.lock().datagram(datagram, self.opened.load(Ordering::Relaxed))
            }
            [128..=191, ..] => {
                self.sources.admit(datagram, self.counter_mode.load(Ordering::Relaxed))
            }
            _ => Ok(()),
        };
        admitted.map_err(Refusal::label)
    }

    /// What a record of DTLS holds, once it is decrypted, and before the stack reads it. May change
    /// it.
    fn opened(&self, content_type: u8, plaintext: &mut [u8]) -> Result<(), Refusal> {
        self.opened.store(true, Ordering::Relaxed);
        let passed = match content_type {
            records::APPLICATION_DATA => {
                self.association.lock().incoming(Instant::now(), plaintext)
            }
            records::HANDSHAKE => self.records.lock().encrypted_handshake(plaintext),
            records::ALERT if plaintext.len() == 2 => Ok(()),
            _ => Err(Refusal::Dtls),
        };
        passed.inspect_err(|refusal| telemetry::packets_dropped(refusal.label(), 1))
    }

    /// Whether packets that are all padding can be sent: [`provider()`] finishes them, which it can
    /// where SRTP is AEAD.
    pub(crate) fn pads(&self) -> bool {
        !self.counter_mode.load(Ordering::Relaxed)
    }

    /// What the stack is about to encrypt into a record.
    fn sealing(&self, content_type: u8, plaintext: &mut [u8]) {
        if content_type == records::APPLICATION_DATA {
            self.association.lock().outgoing(plaintext);
        }
    }
}
