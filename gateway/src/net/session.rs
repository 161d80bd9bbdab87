//! A session's share of the port: what its stack needs to be told, and where its datagrams wait.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::port::MediaPort;
use super::roaming::Roaming;
use super::routes::{Credentials, Id, Path};
use super::tcp::Welcome;
use super::udp::Datagram;
use crate::peer::Guard;
use crate::telemetry;

/// Dropping the last clone of its `Arc` ends all that the port knows of the session; the stack's runtime has one.
#[derive(Debug)]
pub(crate) struct SessionPort {
    pub(super) port: Arc<MediaPort>,
    pub(super) inbox: Arc<Inbox>,
    id: Id,
}

/// Where a session's datagrams wait.
#[derive(Debug)]
pub(super) struct Inbox {
    /// One for each of the port's sockets; none while the stack has not asked for its socket.
    queues: Vec<Mutex<Option<mpsc::Sender<Datagram>>>>,
    /// As `queues`, for connections.
    welcomes: Vec<Mutex<Option<Welcome>>>,
    /// As `queues`: where the browser is.
    pub(super) roaming: Vec<Mutex<Roaming>>,
    checks: AtomicU64,
    /// Looks at what the stack is about to read.
    guard: Arc<Guard>,
}

impl Inbox {
    pub(super) fn new(sockets: usize) -> Self {
        let queues = std::iter::repeat_with(Mutex::default).take(sockets).collect();
        let welcomes = std::iter::repeat_with(Mutex::default).take(sockets).collect();
        let roaming = std::iter::repeat_with(Mutex::default).take(sockets).collect();
        Self { queues, welcomes, roaming, checks: AtomicU64::new(0), guard: Arc::default() }
    }

    /// The queue at one of our sockets, in place of what was there.
    pub(super) fn open(&self, socket: usize, queue: mpsc::Sender<Datagram>) {
        if let Some(slot) = self.queues.get(socket) {
            *super::lock(slot) = Some(queue);
        }
    }

    /// Who takes the connections to one of our sockets, in place of who did.
    pub(super) fn welcome(&self, socket: usize, welcome: Welcome) {
        if let Some(slot) = self.welcomes.get(socket) {
            *super::lock(slot) = Some(welcome);
        }
    }

    /// Who takes the connections to one of our sockets.
    pub(super) fn welcomed(&self, socket: usize) -> Option<Welcome> {
        super::lock(self.welcomes.get(socket)?).clone()
    }

    pub(super) fn push(&self, path: Path, datagram: &[u8]) {
        if let Err(reason) = self.guard.admit(datagram) {
            telemetry::packets_dropped(reason, 1);
            return;
        }
        let Some(slot) = self.queues.get(path.socket) else { return };
        let datagram = Datagram { remote: path.remote, payload: Bytes::copy_from_slice(datagram) };
        // Closed: the session is over, and its entry gone in a moment.
        if let Some(Err(mpsc::error::TrySendError::Full(_))) =
            super::lock(slot).as_ref().map(|queue| queue.try_send(datagram))
        {
            telemetry::packets_dropped("mux_full", 1);
        }
    }

    pub(super) fn checked(&self) {
        self.checks.fetch_add(1, Ordering::Relaxed);
    }
}

impl SessionPort {
    pub(super) fn open(port: &Arc<MediaPort>) -> Self {
        let inbox = Arc::new(Inbox::new(port.sockets.len()));
        let id = super::lock(&port.routes).add(Arc::clone(&inbox));
        Self { port: Arc::clone(port), inbox, id }
    }

    /// Takes the credentials from a description of ours, before anybody is told of it: the first, and those of an ICE
    /// restart. Those from before stay valid until the next. The stack draws them: 16 letters and 32.
    pub(crate) fn learn(&self, local_description: &str) {
        let value = |name: &str| local_description.lines().find_map(|line| line.strip_prefix(name));
        if let (Some(ufrag), Some(password)) = (value("a=ice-ufrag:"), value("a=ice-pwd:")) {
            let credentials = Credentials { ufrag: ufrag.trim().to_owned(), password: password.trim().to_owned() };
            super::lock(&self.port.routes).learn(self.id, credentials);
        }
    }

    /// Takes the browser's password from its offer, as soon as that is taken.
    pub(crate) fn learn_theirs(&self, remote_description: &str) {
        let password = remote_description.lines().find_map(|line| line.strip_prefix("a=ice-pwd:")).unwrap_or_default();
        self.inbox.roaming.iter().for_each(|roaming| super::lock(roaming).learn(password.trim()));
    }

    /// What the stack shall believe to bind: our addresses, for it to draw a port at each. It opens them for a moment.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let any_port = |ip: IpAddr| std::net::SocketAddr::new(ip, 0).to_string();
        self.port.sockets.iter().map(|socket| any_port(socket.local.ip())).collect()
    }

    /// As [`Self::addresses`], for TCP; none without `--ice-tcp`.
    pub(crate) fn tcp_addresses(&self) -> Vec<String> {
        if self.port.tcp { self.addresses() } else { Vec::new() }
    }

    /// Where the browser finds us: lines of SDP.
    pub(crate) fn candidates(&self) -> &str {
        &self.port.candidates
    }

    /// What looks at this session's packets.
    pub(crate) fn guard(&self) -> &Arc<Guard> {
        &self.inbox.guard
    }

    /// Checks by this session's browser that reached us, on any path.
    pub(crate) fn checks(&self) -> u64 {
        self.inbox.checks.load(Ordering::Relaxed)
    }
}

impl Drop for SessionPort {
    fn drop(&mut self) {
        super::lock(&self.port.routes).remove(self.id);
    }
}
