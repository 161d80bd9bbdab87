//! A client that keeps to no rule: every datagram, record and packet of it is written by hand.
//!
//! It stands on OpenSSL's DTLS alone. What it does by itself is what keeps a session: it answers
//! the gateway's checks while it is asked to wait. Nothing here runs in the background, and it
//! talks to the loopback interface only.
//!
//! | module | what it is |
//! |---|---|
//! | [`offer`] | SDP of its own making |
//! | [`stun`], [`dtls`], [`sctp`] | what goes over the wire |
//! | [`association`] | an SCTP association, and what may be sent within it |
//! | [`tcp`] | connections that are many, slow or silent |
//! | [`attacks`] | what is done with all that: the list of all attacks |
//! | [`arena`] | a gateway to attack, and what became of it |
//! | [`judge`] | honest streams that must not notice |
//! | [`promises`] | what is promised to them |

pub mod arena;
pub mod association;
pub mod attacks;
pub mod crc;
pub mod dtls;
pub mod judge;
pub mod offer;
pub mod promises;
pub mod sctp;
pub mod stun;
pub mod tcp;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::time::Instant;

use self::dtls::{Dtls, Role};
use self::offer::{Answer, Offer};
use self::stun::{Message, Read};
use crate::http::Reply;

/// Between two attempts at what may have got lost: checks, and OpenSSL's own timer is asked as
/// often.
const AGAIN: Duration = Duration::from_millis(50);
/// As a host candidate's.
const PRIORITY: u32 = 0x6eff_ffff;
/// The longest datagram that comes.
const DATAGRAM: usize = 2_048;

/// One session's worth of it.
#[derive(Debug)]
pub struct Attacker {
    /// What was asked for.
    pub offer: Offer,
    /// What was answered.
    pub answer: Answer,
    /// What came so far.
    pub seen: Seen,
    socket: UdpSocket,
    dtls: Option<Dtls>,
    tie_breaker: u64,
}

/// What came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Checks of the gateway's own.
    pub checks: u64,
    /// Answers to ours.
    pub successes: u64,
    /// Refusals of ours.
    pub refusals: u64,
    /// The code of the last.
    pub last_refusal: u16,
    /// Records of DTLS, of the handshake and later.
    pub records: u64,
    /// (S)RTP and RTCP.
    pub media: u64,
}

impl Attacker {
    /// Makes this offer to the gateway at `page` and sends nothing yet.
    ///
    /// # Errors
    /// The reply, if it is not an answer.
    ///
    /// # Panics
    /// When the loopback interface has no free port.
    pub fn offer(page: &str, offer: Offer) -> Result<Self, Reply> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
            .expect("a free port on the loopback interface");
        let answer = offer.post(page)?;
        assert!(answer.media.ip().is_loopback(), "attacks stay on this machine: {}", answer.media);
        let (seen, tie_breaker) = (Seen::default(), rand::random());
        Ok(Self { offer, answer, seen, socket, dtls: None, tie_breaker })
    }

    /// As far as DTLS and no further.
    ///
    /// # Errors
    /// How far it came.
    pub fn connect(
        page: &str,
        offer: Offer,
        ciphers: &str,
        patience: Duration,
    ) -> Result<Self, String> {
        let mut attacker = Self::offer(page, offer).map_err(|reply| format!("offer: {reply:?}"))?;
        let role = attacker.answer.role;
        // Their hello comes as soon as there is a path; one that nobody hears is repeated after a
        // second.
        attacker.dtls = (role == Role::Server).then(|| Dtls::new(role, ciphers));
        attacker.reach(patience)?;
        attacker.encrypt(ciphers, patience)?;
        Ok(attacker)
    }

    /// A signed check, as the controlling side's with a nomination.
    #[must_use]
    pub fn check(&self) -> Vec<u8> {
        self.request().with(stun::USE_CANDIDATE, &[]).signed(&self.answer.password).finish()
    }

    /// The beginning of a check: who asks whom.
    #[must_use]
    pub fn request(&self) -> Message {
        let names = format!("{}:{}", self.answer.ufrag, self.offer.ufrag);
        Message::request(rand::random())
            .with(stun::USERNAME, names.as_bytes())
            .with(stun::PRIORITY, &PRIORITY.to_be_bytes())
            .with(stun::ICE_CONTROLLING, &self.tie_breaker.to_be_bytes())
    }

    /// Sends this as it is.
    pub fn send(&self, datagram: &[u8]) {
        // A full or failing socket loses it, as a network would.
        drop(self.socket.send_to(datagram, self.answer.media));
    }

    /// Checks until it is answered.
    ///
    /// # Errors
    /// It is not, for so long.
    pub fn reach(&mut self, patience: Duration) -> Result<(), String> {
        let before = self.seen.successes;
        self.until("no answer to a check", patience, |attacker| {
            attacker.send(&attacker.check());
            Ok((attacker.seen.successes > before).then_some(()))
        })
    }

    /// A handshake with `ciphers`, in the role that the answer leaves us.
    ///
    /// # Errors
    /// It failed, or has no end for so long.
    fn encrypt(&mut self, ciphers: &str, patience: Duration) -> Result<(), String> {
        self.dtls.get_or_insert_with(|| Dtls::new(self.answer.role, ciphers));
        self.until("no end of the handshake", patience, |attacker| {
            let through = attacker.step(None)?;
            Ok(through.then_some(()))
        })
    }

    /// Says this in one record.
    ///
    /// # Errors
    /// There is no connection, or no more.
    pub fn say(&mut self, record: &[u8]) -> Result<(), String> {
        let dtls = self.dtls.as_mut().ok_or("no DTLS")?;
        dtls.write(record)?;
        self.flush();
        Ok(())
    }

    /// The datagrams that [`Self::say`] would send, unsent.
    ///
    /// # Errors
    /// There is no connection, or no more.
    pub fn sealed(&mut self, record: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let dtls = self.dtls.as_mut().ok_or("no DTLS")?;
        dtls.write(record)?;
        Ok(dtls.outgoing())
    }

    /// What the gateway says in its next record, if it says something within `patience`.
    ///
    /// # Errors
    /// It ended the connection.
    pub fn hear(&mut self, patience: Duration) -> Result<Option<Vec<u8>>, String> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(record) = self.dtls.as_mut().ok_or("no DTLS")?.read()? {
                return Ok(Some(record));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.take(left.min(AGAIN))?;
        }
    }

    /// Answers checks for so long, and asks as often as browsers do; what is said in DTLS is heard
    /// and forgotten.
    pub fn stay(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        let mut asked = Instant::now();
        while Instant::now() < deadline {
            if asked.elapsed() >= Duration::from_secs(2) {
                asked = Instant::now();
                self.send(&self.check());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if self.take(left.min(AGAIN)).is_err() {
                self.dtls = None;
            }
            while self.dtls.as_mut().is_some_and(|dtls| matches!(dtls.read(), Ok(Some(_)))) {}
        }
    }

    /// Answers checks for so long and asks nothing.
    pub fn listen(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            drop(self.take(left.min(AGAIN)));
        }
    }

    /// Where it is.
    ///
    /// # Panics
    /// Never: the socket is bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("a bound socket has an address")
    }

    /// Looks at `attempt` again and again, and takes what comes meanwhile.
    fn until<T>(
        &mut self,
        what: &str,
        patience: Duration,
        mut attempt: impl FnMut(&mut Self) -> Result<Option<T>, String>,
    ) -> Result<T, String> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(found) = attempt(self)? {
                return Ok(found);
            }
            if Instant::now() >= deadline {
                return Err(format!("{what} within {patience:?}: {:?}", self.seen));
            }
            self.take(AGAIN)?;
            // All that is there already.
            while self.take(Duration::ZERO)? {}
        }
    }

    /// Waits for a datagram and deals with it; false when none came.
    fn take(&mut self, patience: Duration) -> Result<bool, String> {
        // Zero would be for ever.
        let patience = patience.max(Duration::from_micros(1));
        self.socket.set_read_timeout(Some(patience)).expect("a timeout that is not zero");
        let mut room = [0; DATAGRAM];
        let length = match self.socket.recv_from(&mut room) {
            Ok((length, _)) => length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(false);
            }
            // An ICMP message: what we sent before found nobody.
            Err(_) => return Ok(true),
        };
        let datagram = &room[..length];
        match datagram.first() {
            Some(0..=3) => self.note(datagram),
            Some(20..=63) => {
                self.seen.records += 1;
                self.step(Some(datagram))?;
            }
            _ => self.seen.media += 1,
        }
        Ok(true)
    }

    fn note(&mut self, datagram: &[u8]) {
        match stun::read(datagram) {
            Some(Read::Request(transaction)) => {
                self.seen.checks += 1;
                let answer = Message::success(transaction).with_mapped_address(self.answer.media);
                self.send(&answer.signed(&self.offer.password).finish());
            }
            Some(Read::Success(_)) => self.seen.successes += 1,
            Some(Read::Refused(_, code)) => {
                self.seen.refusals += 1;
                self.seen.last_refusal = code;
            }
            None => {}
        }
    }

    fn step(&mut self, datagram: Option<&[u8]>) -> Result<bool, String> {
        // A hello before we have a say: it is repeated.
        let Some(dtls) = self.dtls.as_mut() else { return Ok(false) };
        let through = dtls.step(datagram);
        self.flush();
        through
    }

    fn flush(&mut self) {
        for datagram in self.dtls.as_mut().map(Dtls::outgoing).unwrap_or_default() {
            self.send(&datagram);
        }
    }
}
