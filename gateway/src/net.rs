//! The sockets beneath the WebRTC stack: tokio's, with a counter for datagrams that are none of its protocols.
//!
//! The stack drops those itself and, without the filter in `telemetry`, logs a line for each; anybody can send them.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Notify;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime, Transmit,
};

use crate::telemetry;

/// The stack's own runtime, but for its UDP sockets and for waits that can be cut short.
#[derive(Debug)]
pub(crate) struct CountingRuntime(pub(crate) Arc<dyn Runtime>, pub(crate) Arc<Nudge>);

/// Makes a connection's driver look at its protocols at once instead of at its next timer.
///
/// The stack starts DTLS when ICE has a path, but what it then has to send lies there until its next timer, which is
/// ICE's: up to 200 ms. Its own sleep is the only way in.
#[derive(Debug, Default)]
pub(crate) struct Nudge(Notify);

impl Nudge {
    /// Ends the driver's current wait, or its next.
    pub(crate) fn now(&self) {
        self.0.notify_one();
    }
}

#[derive(Debug)]
struct CountingSocket(Arc<dyn AsyncUdpSocket>);

impl Runtime for CountingRuntime {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Box<dyn JoinHandle> {
        self.0.spawn(future)
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(CountingSocket(self.0.wrap_udp_socket(socket)?)))
    }

    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        self.0.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(
        &'a self,
        remote: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Arc<dyn AsyncTcpStream>>> + Send + 'a>> {
        self.0.connect_tcp(remote)
    }

    fn resolve_host<'a>(
        &'a self,
        host: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>> {
        self.0.resolve_host(host)
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        let (timer, nudge) = (self.0.sleep(duration), Arc::clone(&self.1));
        Box::pin(async move {
            tokio::select! {
                () = timer => {}
                () = nudge.0.notified() => {}
            }
        })
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        self.0.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        self.0.block_on(future);
    }
}

impl AsyncUdpSocket for CountingSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        self.0.poll_send(cx, transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = self.0.poll_recv(cx, bufs, meta);
        if let Poll::Ready(Ok(count)) = received {
            for (buffer, meta) in bufs.iter().zip(meta.iter()).take(count) {
                // One buffer may hold several datagrams of one sender (GRO).
                let datagrams = buffer[..meta.len.min(buffer.len())].chunks(meta.stride.max(1));
                let junk = datagrams.filter(|datagram| !is_known(datagram)).count();
                if junk > 0 {
                    telemetry::packets_dropped("junk", junk as u64);
                }
            }
        }
        received
    }

    fn max_gso_segments(&self) -> usize {
        self.0.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.0.max_gro_segments()
    }
}

/// Whether a datagram may be STUN, DTLS or (S)RTP, told apart by the first byte (RFC 7983) and a look at the fixed
/// fields: STUN's magic cookie, a DTLS version, and RTP's least length.
fn is_known(datagram: &[u8]) -> bool {
    match datagram {
        [0..=3, _, _, _, 0x21, 0x12, 0xa4, 0x42, ..] => true,
        [20..=63, 0xfe, 0xff | 0xfd | 0xfc, ..] => true,
        [128..=191, ..] => datagram.len() >= 12,
        _ => false,
    }
}

/// This machine's addresses that others may reach, in the order of its interfaces: those that `--media 0.0.0.0` stands
/// for, of both families. Empty when the system does not tell.
pub(crate) fn addresses() -> Vec<IpAddr> {
    let mut found = Vec::new();
    for interface in rtc::shared::ifaces::ifaces().unwrap_or_default() {
        let address = interface.addr.map(|address| address.ip());
        // A link-local address of IPv6 means nothing without its interface.
        let local = |ip: &IpAddr| match ip {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        found.extend(
            address.filter(|ip| !ip.is_loopback() && !ip.is_unspecified() && !local(ip) && !found.contains(ip)),
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::is_known;

    #[test]
    fn protocols_are_known_and_junk_is_not() {
        assert!(is_known(&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 9, 9]));
        assert!(is_known(&[22, 0xfe, 0xfd, 0]));
        assert!(is_known(&[0x80; 12]));
        for junk in [&[][..], &[0x80; 11], &[0, 1, 0, 0, 1, 2, 3, 4], &[22, 3, 3], &[64; 40], b"hello"] {
            assert!(!is_known(junk), "{junk:?}");
        }
    }
}
