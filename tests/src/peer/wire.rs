//! A peer's socket behind its network, and the retransmissions that str0m leaves to RTX, which the
//! gateway has not.
//!
//! Browsers without RTX send a packet again as it was (RFC 4585). Encrypted again it would be the
//! same bytes, so the datagram itself is kept.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use str0m::rtp::rtcp::Rtcp;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use crate::netem::{Counts, Datagram, Link, Network};

/// Packets that can be sent again: two seconds of 2 Mbit/s, as browsers keep about that. The oldest
/// goes first.
const SENT: usize = 512;

/// Larger than any datagram that arrives: we never offer more than str0m's MTU.
const DATAGRAM: usize = 2_000;

pub(super) struct Wire {
    socket: UdpSocket,
    buffer: [u8; DATAGRAM],
    up: Link,
    down: Link,
    /// Where the last datagram went: the selected pair.
    remote: Option<SocketAddr>,
    /// By SSRC and sequence number.
    sent: VecDeque<(u32, u16, Datagram)>,
    resent: u64,
}

impl Wire {
    pub(super) async fn new(socket: std::net::UdpSocket, network: Network) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from_std(socket)?;
        // Until tokio has looked at it, it takes nothing: the first checks would be lost, and ICE a
        // quarter of a second.
        socket.writable().await?;
        Ok(Self {
            socket,
            buffer: [0; DATAGRAM],
            up: Link::new(network.up, network.seed),
            down: Link::new(network.down, network.seed.wrapping_add(1)),
            remote: None,
            sent: VecDeque::new(),
            resent: 0,
        })
    }

    pub(super) fn change(&mut self, network: Network) {
        self.up.change(network.up);
        self.down.change(network.down);
    }

    pub(super) fn send(&mut self, now: Instant, bytes: Vec<u8>, remote: SocketAddr) {
        self.remote = Some(remote);
        let datagram = Datagram { bytes, remote };
        if let Some((ssrc, number)) = rtp(&datagram.bytes) {
            if self.sent.len() == SENT {
                self.sent.pop_front();
            }
            self.sent.push_back((ssrc, number, datagram.clone()));
        }
        self.up.send(now, datagram);
        self.flush(now);
    }

    /// To where str0m last sent something.
    pub(super) fn send_raw(&mut self, now: Instant, bytes: Vec<u8>) {
        if let Some(remote) = self.remote {
            self.up.send(now, Datagram { bytes, remote });
            self.flush(now);
        }
    }

    /// Sends again what a NACK asks for.
    pub(super) fn answer(&mut self, now: Instant, feedback: &Rtcp) {
        let Rtcp::Nack(nack) = feedback else { return };
        for entry in &nack.reports {
            let following = (0..16_u16).filter(|bit| entry.blp >> bit & 1 == 1).map(|bit| bit + 1);
            for offset in std::iter::once(0).chain(following) {
                let wanted = (*nack.ssrc, entry.pid.wrapping_add(offset));
                let found =
                    self.sent.iter().rev().find(|(ssrc, number, _)| (*ssrc, *number) == wanted);
                if let Some((.., datagram)) = found {
                    self.up.send(now, datagram.clone());
                    self.resent += 1;
                }
            }
        }
        self.flush(now);
    }

    /// Waits for a datagram and puts it on its way to us.
    pub(super) async fn receive(&mut self) {
        // An ICMP error from a server that is gone: ICE will find out.
        let Ok((length, remote)) = self.socket.recv_from(&mut self.buffer).await else { return };
        self.down.send(Instant::now(), Datagram { bytes: self.buffer[..length].to_vec(), remote });
    }

    /// Lets go what is due for the server; gives what is due for us.
    pub(super) fn take(&mut self, now: Instant) -> Option<Datagram> {
        self.flush(now);
        self.down.take(now)
    }

    /// When to call [`Self::take`] again.
    pub(super) fn due(&self) -> Option<Instant> {
        [self.up.due(), self.down.due()].into_iter().flatten().min()
    }

    /// Up and down.
    pub(super) fn counts(&self) -> [Counts; 2] {
        [self.up.counts(), self.down.counts()]
    }

    /// Packets sent again.
    pub(super) const fn resent(&self) -> u64 {
        self.resent
    }

    fn flush(&mut self, now: Instant) {
        while let Some(datagram) = self.up.take(now) {
            // A full or failing socket loses the datagram, as a network would.
            drop(self.socket.try_send_to(&datagram.bytes, datagram.remote));
        }
    }
}

/// SSRC and sequence number, if it is RTP and not RTCP (RFC 5761, section 4).
fn rtp(datagram: &[u8]) -> Option<(u32, u16)> {
    let header = datagram.first_chunk::<12>()?;
    let is_rtp = matches!(header[0], 128..=191) && !matches!(header[1] & 0x7f, 64..=95);
    let ssrc = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    is_rtp.then_some((ssrc, u16::from_be_bytes([header[2], header[3]])))
}
