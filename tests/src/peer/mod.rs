//! A browser without a browser: one WebRTC peer that signals, sends, receives and takes notes.
//!
//! It stands on `str0m`, so nothing it finds can be a mistake that it shares with the gateway's
//! WebRTC stack. Each peer has a UDP socket and a thread of its own (`drive`); what happened is
//! read through [`Stats`] at any time.

mod camera;
mod drive;
mod offer;
mod options;
mod screen;
mod stats;
mod wire;

#[cfg(test)]
mod echo;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use drive::Driver;
use offer::Offer;
pub use offer::{Refusal, offer_sdp};
pub use options::{Candidates, Media, Options, Place};
use serde_json::{Value, json};
use stats::Shared;
pub use stats::{RECORDS, Received, Sent, Stats, captured};
pub use str0m::rtp::VideoOrientation;
use tokio::sync::mpsc;

use crate::http::Reply;
use crate::netem::Network;

/// Orders on their way to the peer's thread; a caller that is further ahead gets a panic, not a
/// wait.
const COMMANDS: usize = 1_024;

/// A connected, or connecting, peer. Dropping it is [`Peer::vanish`] with the socket closed too.
#[derive(Debug)]
pub struct Peer {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    server: Vec<SocketAddr>,
    token: Option<String>,
    view: Option<String>,
    resource: Option<String>,
    thread: Option<JoinHandle<()>>,
    /// Keeps the port open after the thread is gone: a closed one would answer the server with ICMP
    /// errors, which a machine that is off does not.
    _socket: UdpSocket,
}

/// For the thread that owns the peer.
enum Command {
    /// On the data channel.
    Text(String),
    /// As the payload of one video frame.
    Frame(Vec<u8>),
    /// As it is, from our socket to the server's.
    Datagram(Vec<u8>),
    Network(Box<Network>),
    /// As a REMB.
    Remb(u32),
    Stall(Duration),
    StopCamera,
    Close,
    Vanish,
}

impl Peer {
    /// Offers to the gateway at `page` (`http://127.0.0.1:PORT`), applies its answer and starts.
    ///
    /// # Errors
    /// The reply, when it was not an answer.
    ///
    /// # Panics
    /// When the gateway cannot be reached, refuses a candidate, or its answer is not acceptable
    /// SDP.
    pub fn connect(page: &str, options: Options) -> Result<Self, Reply> {
        Self::try_connect(page, options).map_err(|refusal| match refusal {
            Refusal::Reply(reply) => reply,
            other => panic!("{other}"),
        })
    }

    /// [`Peer::connect`] to a server that may be away, or not ours.
    ///
    /// # Errors
    /// Why there is no session.
    ///
    /// # Panics
    /// When the gateway refuses a trickled candidate.
    pub fn try_connect(page: &str, options: Options) -> Result<Self, Refusal> {
        let offer = Offer::make(
            options.media,
            options.candidates == Candidates::InOffer,
            options.place.local,
        );
        let socket = offer.socket();
        let session = offer.exchange(page, &options)?;
        let (server, token) = (session.server.clone(), session.token.clone());
        let (view, resource) = (session.view.clone(), session.resource.clone());
        let shared = Arc::new(Shared::default());
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let notes = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name(format!("peer-{}", options.webrtc_id))
            .spawn(move || Driver::new(session, options, inbox, notes).run())
            .expect("a thread for the peer");
        let thread = Some(thread);
        Ok(Self { commands, shared, server, token, view, resource, thread, _socket: socket })
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.lock().clone()
    }

    /// Waits until `condition` gives a value; it is looked at after every change.
    ///
    /// # Panics
    /// When `timeout` passes first; the text names `what` and sums up what did happen.
    #[track_caller]
    pub fn wait_until<T>(
        &self,
        what: &str,
        timeout: Duration,
        condition: impl FnMut(&Stats) -> Option<T>,
    ) -> T {
        match self.shared.wait_until(timeout, condition) {
            Some(value) => value,
            None => panic!("not within {timeout:?}: {what}; {}", self.stats().summary()),
        }
    }

    /// Waits until the media connection stands and the data channel is open.
    ///
    /// # Panics
    /// When `timeout` passes first.
    #[track_caller]
    pub fn wait_connected(&self, timeout: Duration) {
        self.wait_until("connected", timeout, |stats| {
            (stats.connected.is_some() && stats.channel_open).then_some(())
        });
    }

    /// Waits until `count` frames have been received.
    ///
    /// # Panics
    /// When `timeout` passes first.
    #[track_caller]
    pub fn wait_received(&self, count: usize, timeout: Duration) {
        let what = format!("{count} frames received");
        self.wait_until(&what, timeout, |stats| (stats.received.len() >= count).then_some(()));
    }

    /// Waits for a data channel message whose `type` is `kind`.
    ///
    /// # Panics
    /// When `timeout` passes first.
    #[track_caller]
    pub fn wait_message(&self, kind: &str, timeout: Duration) -> Value {
        let what = format!("a message of type {kind:?}");
        self.wait_until(&what, timeout, |stats| stats.message(kind).cloned())
    }

    /// Waits until the newest value of the output `name` is one that `accept` takes.
    ///
    /// # Panics
    /// When `timeout` passes first.
    #[track_caller]
    pub fn wait_output(
        &self,
        name: &str,
        timeout: Duration,
        accept: impl Fn(&Value) -> bool,
    ) -> Value {
        let what = format!("an acceptable value of the output {name:?}");
        self.wait_until(&what, timeout, |stats| {
            stats.newest_output(name).filter(|value| accept(value)).cloned()
        })
    }

    /// Sets inputs by a `set_input` message on the data channel; held back until that is open.
    pub fn set_inputs(&self, values: &Value) {
        self.send_text(json!({ "type": "set_input", "data": values }).to_string());
    }

    /// Sends `text` on the data channel; held back until that is open.
    pub fn send_text(&self, text: impl Into<String>) {
        self.command(Command::Text(text.into()));
    }

    /// Sends `payload` as if it were an encoded frame: properly packetised and encrypted rubbish.
    pub fn send_frame(&self, payload: Vec<u8>) {
        self.command(Command::Frame(payload));
    }

    /// Sends `datagram` as it is, from this peer's own socket.
    pub fn send_datagram(&self, datagram: Vec<u8>) {
        self.command(Command::Datagram(datagram));
    }

    /// From now on datagrams meet these conditions; the seed stays as it was.
    pub fn set_network(&self, network: Network) {
        self.command(Command::Network(Box::new(network)));
    }

    /// Tells the server in a REMB (kbit/s) what we could receive.
    pub fn send_remb(&self, kbps: u32) {
        self.command(Command::Remb(kbps));
    }

    /// Does nothing at all for a time, as a browser whose process is stopped: what comes meanwhile
    /// waits in its socket.
    pub fn stall(&self, time: Duration) {
        self.command(Command::Stall(time));
    }

    /// Sends no further pictures of its own; all else goes on.
    pub fn stop_camera(&self) {
        self.command(Command::StopCamera);
    }

    /// Where the server's answer said it could be reached.
    #[must_use]
    pub fn server(&self) -> &[SocketAddr] {
        &self.server
    }

    /// The session's token in the server's answer; empty where there was none.
    #[must_use]
    pub fn session_token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    /// The path below the page's address at which others can watch this session.
    ///
    /// # Panics
    /// When the answer had none.
    #[must_use]
    pub fn whep(&self) -> String {
        format!("/whep/{}", self.view.as_deref().expect("a view in the answer"))
    }

    /// The path of the resource that WHIP or WHEP has made.
    ///
    /// # Panics
    /// When the answer had none.
    #[must_use]
    pub fn resource(&self) -> &str {
        self.resource.as_deref().expect("a location in the answer")
    }

    /// Leaves in order: stops sending, closes the data channel and returns once the server has
    /// closed the connection, or after a second.
    pub fn close(&mut self) {
        self.end(Command::Close);
    }

    /// Stops without a word; the port stays open but silent until the peer is dropped.
    pub fn vanish(&mut self) {
        self.end(Command::Vanish);
    }

    fn command(&self, command: Command) {
        match self.commands.try_send(command) {
            // Gone: nobody is left to be told.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                panic!("more than {COMMANDS} orders before the peer took one")
            }
        }
    }

    fn end(&mut self, command: Command) {
        let Some(thread) = self.thread.take() else { return };
        self.command(command);
        if thread.join().is_err() && !std::thread::panicking() {
            panic!("the peer's thread panicked");
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.vanish();
    }
}
