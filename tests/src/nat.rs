//! What may stand between a browser and a server: a NAT that changes its mind, or one that lets
//! only TCP through.
//!
//! A peer sends its datagrams to [`Nat::inside`]; they reach the server from another socket, as
//! such or as frames on a TCP connection (RFC 4571). Each has a thread of its own, which ends with
//! it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{Notify, mpsc, oneshot};

/// Datagrams on their way through; further ones are lost, as by any router.
const QUEUE: usize = 1_024;
/// The longest datagram.
const DATAGRAM: usize = 2_048;

/// How it leaves for the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// As it came.
    Udp,
    /// As a frame.
    Tcp,
}

/// A NAT for one peer.
#[derive(Debug)]
pub struct Nat {
    /// Where the peer finds the server.
    pub inside: SocketAddr,
    rebind: Arc<Notify>,
    _stop: oneshot::Sender<()>,
}

/// The way to the server and back; both ends when it is dropped.
struct Way {
    to: mpsc::Sender<Vec<u8>>,
    from: mpsc::Receiver<Vec<u8>>,
}

impl Nat {
    /// Before `server`.
    ///
    /// # Panics
    /// When the loopback interface has no free port.
    #[must_use]
    pub fn before(server: SocketAddr, outside: Outside) -> Self {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        socket.set_nonblocking(true).expect("a socket that does not block");
        let inside = socket.local_addr().expect("a bound socket has an address");
        let (rebind, (stop, stopped)) = (Arc::new(Notify::new()), oneshot::channel());
        let again = Arc::clone(&rebind);
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let socket = UdpSocket::from_std(socket).expect("a socket");
                tokio::select! {
                    () = forward(&socket, server, outside, &again) => {}
                    // The sender is dropped, never used.
                    _ = stopped => {}
                }
            });
        };
        std::thread::Builder::new().name("nat".to_owned()).spawn(run).expect("a thread");
        Self { inside, rebind, _stop: stop }
    }

    /// From now on the server sees the peer at another address, and what it sends to the old one
    /// gets lost.
    pub fn rebind(&self) {
        self.rebind.notify_one();
    }
}

async fn forward(inside: &UdpSocket, server: SocketAddr, outside: Outside, rebind: &Notify) {
    let mut way = Way::open(server, outside).await;
    let (mut peer, mut room) = (None, [0; DATAGRAM]);
    loop {
        tokio::select! {
            Ok((length, from)) = inside.recv_from(&mut room) => {
                peer = Some(from);
                // Full: lost.
                drop(way.to.try_send(room[..length].to_vec()));
            }
            Some(datagram) = way.from.recv() => {
                if let Some(peer) = peer {
                    drop(inside.send_to(&datagram, peer).await);
                }
            }
            () = rebind.notified() => way = Way::open(server, outside).await,
        }
    }
}

impl Way {
    async fn open(server: SocketAddr, outside: Outside) -> Self {
        let (to, outgoing) = mpsc::channel(QUEUE);
        let (incoming, from) = mpsc::channel(QUEUE);
        match outside {
            Outside::Udp => {
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
                socket.connect(server).await.expect("a way to the server");
                tokio::spawn(udp(socket, outgoing, incoming));
            }
            Outside::Tcp => {
                let stream = TcpStream::connect(server).await.expect("the server takes TCP");
                let (read, write) = stream.into_split();
                tokio::spawn(read_frames(read, incoming));
                tokio::spawn(write_frames(write, outgoing));
            }
        }
        Self { to, from }
    }
}

async fn udp(
    socket: UdpSocket,
    mut outgoing: mpsc::Receiver<Vec<u8>>,
    incoming: mpsc::Sender<Vec<u8>>,
) {
    let mut room = [0; DATAGRAM];
    loop {
        tokio::select! {
            datagram = outgoing.recv() => match datagram {
                Some(datagram) => drop(socket.send(&datagram).await),
                None => return,
            },
            // An error is an ICMP message: the server is gone.
            received = socket.recv(&mut room) => if let Ok(length) = received {
                drop(incoming.try_send(room[..length].to_vec()));
            },
        }
    }
}

async fn read_frames(mut read: impl AsyncReadExt + Unpin, incoming: mpsc::Sender<Vec<u8>>) {
    while let Ok(length) = read.read_u16().await {
        let mut frame = vec![0; length.into()];
        if read.read_exact(&mut frame).await.is_err() || incoming.is_closed() {
            return;
        }
        drop(incoming.try_send(frame));
    }
}

async fn write_frames(
    mut write: impl AsyncWriteExt + Unpin,
    mut outgoing: mpsc::Receiver<Vec<u8>>,
) {
    while let Some(datagram) = outgoing.recv().await {
        let length = u16::try_from(datagram.len()).expect("a datagram has less than 64 KiB");
        let frame = [&length.to_be_bytes(), datagram.as_slice()].concat();
        if write.write_all(&frame).await.is_err() {
            return;
        }
    }
}
