//! A session's share of the port: what its stack needs to be told, and where its datagrams wait.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::Instant;

use super::early::EarlyDtls;
use super::filter::{Filter, Taken};
use super::packet::Kind;
use super::policy::CandidatePolicy;
use super::port::MediaPort;
use super::routes::{Credentials, Id, Path};
use super::tcp::{self, AcceptQueue};
use super::udp::Datagram;
use crate::browser::guard::Guard;
use crate::browser::offer;
use crate::config::media::Candidates;

/// Dropping the last clone of its `Arc` ends all that the port knows of the session; the stack's
/// runtime has one.
#[derive(Debug)]
pub(crate) struct SessionPort {
    pub(super) port: Arc<MediaPort>,
    pub(super) inbox: Arc<Inbox>,
    id: Id,
    policy: CandidatePolicy,
}

/// Where a session's datagrams wait.
#[derive(Debug)]
pub(super) struct Inbox {
    /// One for each of the port's sockets; none while the stack has not asked for its socket.
    queues: Vec<Mutex<Option<mpsc::Sender<Datagram>>>>,
    /// As `queues`, for connections.
    welcomes: Vec<Mutex<Option<AcceptQueue>>>,
    /// What passes, by UDP and by TCP.
    pub(super) udp: Mutex<Filter>,
    pub(super) tcp: Mutex<Filter>,
    early: Mutex<EarlyDtls>,
    /// For its connections, at whichever of our sockets.
    pub(super) tcp_places: Arc<Semaphore>,
    checks: AtomicU64,
    /// The first of them has come.
    first: Notify,
    /// Those that the stack has taken.
    taken: AtomicU64,
    /// Looks at what the stack is about to read.
    pub(super) guard: Arc<Guard>,
}

impl Inbox {
    pub(super) fn new(sockets: usize, policy: CandidatePolicy) -> Self {
        let queues = std::iter::repeat_with(Mutex::default).take(sockets).collect();
        let welcomes = std::iter::repeat_with(Mutex::default).take(sockets).collect();
        let udp = Filter::new(sockets, policy.candidates == Candidates::Any);
        // Connections are the browser's: by them it has spoken first.
        let over_tcp = Filter::new(0, false);
        let (checks, taken) = (AtomicU64::new(0), AtomicU64::new(0));
        Self {
            queues,
            welcomes,
            guard: Arc::default(),
            udp: Mutex::new(udp),
            tcp: Mutex::new(over_tcp),
            early: Mutex::default(),
            tcp_places: Arc::new(Semaphore::new(tcp::CONNECTIONS)),
            checks,
            first: Notify::new(),
            taken,
        }
    }

    /// The queue at one of our sockets, in place of what was there.
    pub(super) fn open(&self, socket: usize, queue: mpsc::Sender<Datagram>) {
        if let Some(slot) = self.queues.get(socket) {
            *slot.lock() = Some(queue);
        }
    }

    /// Who takes the connections to one of our sockets, in place of who did.
    pub(super) fn welcome(&self, socket: usize, welcome: AcceptQueue) {
        if let Some(slot) = self.welcomes.get(socket) {
            *slot.lock() = Some(welcome);
        }
    }

    /// Who takes the connections to one of our sockets.
    pub(super) fn welcomed(&self, socket: usize) -> Option<AcceptQueue> {
        self.welcomes.get(socket)?.lock().clone()
    }

    /// A datagram of this session's for its stack; an error is the value of the label `reason`.
    pub(super) fn take(
        &self,
        path: Path,
        kind: &Kind<'_>,
        datagram: &[u8],
    ) -> Result<(), &'static str> {
        let signed = matches!(kind, Kind::Check(_));
        if signed {
            self.checked();
        }
        self.guard.admit(datagram)?;
        let taken = self.udp.lock().takes(Instant::now(), path, kind, datagram)?;
        let remote = taken.from;
        self.hand_over(taken, |payload| {
            // Early DTLS is released with the check, and is not signed.
            let signed = signed && matches!(payload[..], [0..=3, ..]);
            self.push(path.socket, Datagram { remote, payload, signed })
        })
    }

    /// Gives the stack what was `taken`, by `push`, and what has waited for that.
    pub(super) fn hand_over(
        &self,
        taken: Taken,
        mut push: impl FnMut(Bytes) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        let payload = match taken.payload[..] {
            [20..=63, ..] => self.early.lock().hold(taken.payload)?,
            _ => Some(taken.payload),
        };
        for payload in payload.into_iter().chain(taken.nomination) {
            push(payload)?;
        }
        if taken.selects {
            // Locked meanwhile: what comes just now by another socket comes after these. The stack
            // does not look at which path DTLS came by.
            let mut early = self.early.lock();
            for record in early.release() {
                push(record)?;
            }
        }
        Ok(())
    }

    pub(super) fn push(&self, socket: usize, datagram: Datagram) -> Result<(), &'static str> {
        let Some(slot) = self.queues.get(socket) else { return Ok(()) };
        match slot.lock().as_ref().map(|queue| queue.try_send(datagram)) {
            Some(Err(mpsc::error::TrySendError::Full(_))) => Err("mux_full"),
            // Closed: the session is over, and its entry gone in a moment.
            _ => Ok(()),
        }
    }

    pub(super) fn checked(&self) {
        if self.checks.fetch_add(1, Ordering::Relaxed) == 0 {
            self.first.notify_one();
        }
    }

    /// The stack has taken a signed check.
    pub(super) fn took_check(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }
}

impl SessionPort {
    pub(super) fn open(port: &Arc<MediaPort>) -> Self {
        let policy = port.told().policy;
        let inbox = Arc::new(Inbox::new(port.sockets.len(), policy));
        let id = port.routes.lock().add(Arc::clone(&inbox));
        Self { port: Arc::clone(port), inbox, id, policy }
    }

    /// Takes the credentials from a description of ours, before anybody is told of it: the first,
    /// and those of an ICE restart. Those from before stay valid until the next. The stack draws
    /// them: 16 letters and 32.
    pub(crate) fn learn(&self, local_description: &str) {
        let value = |name: &str| local_description.lines().find_map(|line| line.strip_prefix(name));
        if let (Some(ufrag), Some(password)) = (value("a=ice-ufrag:"), value("a=ice-pwd:")) {
            let credentials = Credentials {
                ufrag: ufrag.trim().to_owned(),
                password: password.trim().to_owned(),
            };
            for filter in [&self.inbox.udp, &self.inbox.tcp] {
                filter.lock().set_local_credentials(&credentials);
            }
            self.port.routes.lock().learn(self.id, credentials);
        }
    }

    /// Takes the browser's password from its offer, as soon as that is taken.
    pub(crate) fn set_remote_password(&self, remote_description: &str) {
        for filter in [&self.inbox.udp, &self.inbox.tcp] {
            filter.lock().set_remote_password(offer::ice_password(remote_description));
        }
    }

    /// What the stack shall believe to bind: our addresses, for it to draw a port at each. It opens
    /// them for a moment.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let any_port = |ip: IpAddr| std::net::SocketAddr::new(ip, 0).to_string();
        self.port.sockets.iter().map(|socket| any_port(socket.local.ip())).collect()
    }

    /// As [`Self::addresses`], for TCP; none without `--ice-tcp`.
    pub(crate) fn tcp_addresses(&self) -> Vec<String> {
        if self.port.tcp { self.addresses() } else { Vec::new() }
    }

    /// Where a browser finds us now: lines of SDP.
    pub(crate) fn candidates(&self) -> String {
        self.port.told().candidates.clone()
    }

    /// Which of the browser's candidates the stack may be given.
    pub(crate) fn policy(&self) -> CandidatePolicy {
        self.policy
    }

    /// What looks at this session's packets.
    pub(crate) fn guard(&self) -> &Arc<Guard> {
        &self.inbox.guard
    }

    /// Checks by this session's browser that reached us, on any path.
    pub(crate) fn checks(&self) -> u64 {
        self.inbox.checks.load(Ordering::Relaxed)
    }

    /// Resolves, once, when the first of them has come.
    pub(crate) async fn first_check(&self) {
        self.inbox.first.notified().await;
    }

    /// Those that the stack has taken.
    pub(crate) fn heard(&self) -> u64 {
        self.inbox.taken.load(Ordering::Relaxed)
    }
}

impl Drop for SessionPort {
    fn drop(&mut self) {
        self.port.routes.lock().remove(self.id);
    }
}
