//! The port from start to stop: binds it, receives, and finds whose each datagram is.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::info;

use super::packet::{Kind, classify};
use super::public::{Audience, Finder, Told};
use super::routes::{Path, Routes, Stray};
use super::session::{Inbox, SessionPort};
use super::tcp::{self, AcceptQueue};
use super::udp::SharedSocket;
use crate::config::media::Media;
use crate::telemetry;

/// How often a free port is looked for that is free at every address.
const ATTEMPTS: usize = 32;

/// The media port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// An address is in use, or not ours.
    #[error("cannot use {0} for media (--media, --media-port)")]
    Bind(SocketAddr, #[source] io::Error),
    /// No port is free at all addresses.
    #[error("no port is free at every address of --media; name one by --media-port")]
    NoFreePort,
}

/// The sockets, and whose is what comes in there.
#[derive(Debug)]
pub(crate) struct MediaPort {
    /// One for each address.
    pub(super) sockets: Vec<Arc<SharedSocket>>,
    pub(super) routes: Mutex<Routes<Arc<Inbox>>>,
    pub(super) tcp: bool,
    /// For sessions that begin now.
    told: RwLock<Arc<Told>>,
    /// The port is closed with it.
    _receiving: DropGuard,
}

impl MediaPort {
    /// Opens the port and receives from then on. Must run on the media runtime.
    ///
    /// # Errors
    /// The system has not got such an address, or the port is taken.
    pub(crate) async fn open(
        media: Media,
        audience: Audience,
        tcp_connections: usize,
    ) -> Result<Arc<Self>, MediaError> {
        let (mut sockets, mut listeners) = (Vec::new(), Vec::new());
        for (address, socket, listener) in bind(&media)? {
            let socket =
                SharedSocket::new(socket).map_err(|error| MediaError::Bind(address, error))?;
            sockets.push(Arc::new(socket));
            listeners.extend(listener);
        }
        let local: Vec<SocketAddr> = sockets.iter().map(|socket| socket.local).collect();
        info!(?local, tcp = media.tcp, "media port");
        let mut finder = Finder::new(&media, audience, &local);
        finder.look().await;
        let stop = CancellationToken::new();
        let port = Arc::new(Self {
            told: RwLock::new(Arc::new(finder.told())),
            sockets,
            tcp: media.tcp,
            routes: Mutex::default(),
            _receiving: stop.clone().drop_guard(),
        });
        if finder.may_change() {
            let told = Arc::downgrade(&port);
            let tell = move |new: Told| {
                told.upgrade().map(|port| *port.told.write() = Arc::new(new)).is_some()
            };
            tokio::spawn(stop.clone().run_until_cancelled_owned(finder.keep(tell)));
        }
        let places = Arc::new(Semaphore::new(tcp_connections));
        for (index, listener) in listeners.into_iter().enumerate() {
            let (port, places) = (Arc::downgrade(&port), Arc::clone(&places));
            let whose = move |frame: &[u8]| port.upgrade()?.whose(index, frame);
            tokio::spawn(
                stop.clone().run_until_cancelled_owned(tcp::accept(listener, places, whose)),
            );
        }
        for (index, socket) in port.sockets.iter().enumerate() {
            let (socket, port) = (Arc::clone(socket), Arc::downgrade(&port));
            let receive = async move {
                let deliver = |path: Path, datagram: &[u8]| {
                    // Gone: the gateway is stopping.
                    if let Some(port) = port.upgrade() {
                        port.deliver(path, datagram);
                    }
                };
                socket.receive(index, deliver).await;
            };
            tokio::spawn(stop.clone().run_until_cancelled_owned(receive));
        }
        Ok(port)
    }

    /// A new session's share.
    pub(crate) fn join(self: &Arc<Self>) -> Arc<SessionPort> {
        Arc::new(SessionPort::open(self))
    }

    /// What browsers are told now.
    pub(super) fn told(&self) -> Arc<Told> {
        Arc::clone(&self.told.read())
    }

    /// Who takes a connection that begins with `frame`.
    fn whose(&self, socket: usize, frame: &[u8]) -> Option<AcceptQueue> {
        let Kind::Check(check) = classify(frame) else { return None };
        self.routes.lock().signed(&check).ok()?.welcomed(socket)
    }

    fn deliver(&self, path: Path, datagram: &[u8]) {
        let kind = classify(datagram);
        let whose = match &kind {
            Kind::Junk => Err("junk"),
            Kind::Check(check) => {
                self.routes.lock().check(path, check).cloned().map_err(Stray::label)
            }
            Kind::Stun(_) | Kind::Other => {
                self.routes.lock().at(path).cloned().map_err(Stray::label)
            }
        };
        if let Err(reason) = whose.and_then(|inbox| inbox.take(path, &kind, datagram)) {
            telemetry::packets_dropped(reason, 1);
        }
    }
}

/// A socket for each address, and a listener if wanted, all with the same port.
fn bind(media: &Media) -> Result<Vec<(SocketAddr, UdpSocket, Option<TcpListener>)>, MediaError> {
    let attempts = if media.port == 0 { ATTEMPTS } else { 1 };
    for _ in 0..attempts {
        let (mut bound, mut port) = (Vec::new(), media.port);
        for ip in &media.addresses {
            let address = SocketAddr::new(*ip, port);
            match bind_at(address, media.tcp) {
                Ok(sockets) => {
                    port = sockets.0.port();
                    bound.push(sockets);
                }
                // Only where we chose it ourselves: try another.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && media.port == 0 => break,
                Err(error) => return Err(MediaError::Bind(address, error)),
            }
        }
        if bound.len() == media.addresses.len() {
            return Ok(bound);
        }
    }
    Err(MediaError::NoFreePort)
}

fn bind_at(
    address: SocketAddr,
    tcp: bool,
) -> io::Result<(SocketAddr, UdpSocket, Option<TcpListener>)> {
    let socket = UdpSocket::bind(address)?;
    let address = socket.local_addr()?;
    let listener = if tcp { Some(tcp::bind(address)?) } else { None };
    Ok((address, socket, listener))
}

#[cfg(test)]
#[path = "port_tests.rs"]
pub(super) mod tests;
