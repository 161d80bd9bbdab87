//! The peer's own thread: moves datagrams, keeps the camera's time, writes everything down.
//!
//! > Every mutation of an `Rtc` is followed by a complete drain of its outputs before the next one
//! > (`settle`).
//!
//! One round: 1. settle; 2. wait for an order, a datagram, the next picture or str0m's own
//! deadline; 3. do that one thing.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use str0m::bwe::{Bitrate, BweKind};
use str0m::channel::ChannelId;
use str0m::media::{KeyframeRequestKind, MediaData, MediaTime, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RawPacket;
use str0m::rtp::{AbsCaptureTime, VideoOrientation};
use str0m::{Event, IceConnectionState, Input, Output, Rtc, RtcError};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::camera::Camera;
use super::offer::Session;
use super::screen::{Screen, Shown};
use super::stats::{Shared, captured};
use super::wire::Wire;
use super::{Command, Options};
use crate::netem::{Datagram, Network};
use crate::wait::for_time;

/// For the server to close the connection once it has seen the end of the data channel.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// More than any test has waiting, and few enough that one that runs wild is noticed.
const TEXTS: usize = 4_096;

pub(super) struct Driver {
    rtc: Rtc,
    socket: Option<std::net::UdpSocket>,
    local: SocketAddr,
    network: Network,
    video: Option<Mid>,
    /// str0m asks for lost packets only when told to: by itself only where there is RTX.
    asks_for_lost: bool,
    channel: ChannelId,
    camera: Option<Camera>,
    screen: Screen,
    orientation: Option<VideoOrientation>,
    /// Texts for a channel that is not open yet, or whose buffer is full; with [`TEXTS`] of them
    /// orders wait too.
    texts: VecDeque<String>,
    commands: mpsc::Receiver<Command>,
    /// Set by an order to close: when to stop waiting for the server.
    closing: Option<Instant>,
    done: bool,
    notes: Arc<Shared>,
}

/// What ended a wait.
enum Wake {
    Command(Option<Command>),
    Datagram,
    Deadline,
}

impl Driver {
    pub(super) fn new(
        session: Session,
        options: Options,
        commands: mpsc::Receiver<Command>,
        notes: Arc<Shared>,
    ) -> Self {
        let local = session.socket.local_addr().expect("a bound socket has an address");
        Self {
            rtc: session.rtc,
            socket: Some(session.socket),
            local,
            network: options.network,
            video: session.video,
            asks_for_lost: false,
            channel: session.channel,
            camera: options.video.map(Camera::new),
            screen: Screen::new(options.media.codec, options.decode),
            orientation: options.orientation,
            texts: VecDeque::new(),
            commands,
            closing: None,
            done: false,
            notes,
        }
    }

    /// Runs until told to stop, or until the connection is over. A runtime of its own: tokio's
    /// clock is finer than a socket's read timeout (4 ms on many kernels), and pictures must leave
    /// on time.
    pub(super) fn run(mut self) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        if let Err(error) = runtime.block_on(self.drive()) {
            self.notes.update(|stats| stats.failed = Some(error.to_string()));
        }
    }

    async fn drive(&mut self) -> Result<(), RtcError> {
        let now = Instant::now().into_std();
        self.notes.update(|stats| stats.answered = Some(now));
        let socket = self.socket.take().expect("taken once");
        let mut wire = Wire::new(socket, self.network).await?;
        while !self.done {
            let mut deadline = self.settle(&mut wire)?;
            if !self.texts.is_empty() {
                self.send_texts();
                deadline = self.settle(&mut wire)?;
            }
            if self.done || !self.rtc.is_alive() {
                break;
            }
            let arrived = wire.take(Instant::now());
            self.notes.note_wire(wire.counts(), wire.resent());
            if let Some(datagram) = arrived {
                self.receive(&datagram)?;
                continue;
            }
            let picture = self.camera.as_ref().and_then(Camera::due);
            let wake_at = [picture, self.closing, wire.due()]
                .into_iter()
                .flatten()
                .fold(deadline, Instant::min);
            let wake = tokio::select! {
                biased;
                command = self.commands.recv(), if self.texts.len() < TEXTS => Wake::Command(command),
                () = sleep_until(wake_at) => Wake::Deadline,
                () = wire.receive() => Wake::Datagram,
            };
            match wake {
                Wake::Command(command) => self.obey(command, &mut wire),
                // Taken in the next round, or when it has arrived.
                Wake::Datagram => {}
                Wake::Deadline => {
                    let now = Instant::now();
                    self.done = self.closing.is_some_and(|until| now >= until);
                    if picture.is_some_and(|due| now >= due) {
                        self.send_picture(now, &mut wire)?;
                    } else {
                        self.rtc.handle_input(Input::Timeout(now.into_std()))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Drains str0m until it has nothing left to do now; gives its next deadline.
    fn settle(&mut self, wire: &mut Wire) -> Result<Instant, RtcError> {
        loop {
            match self.rtc.poll_output()? {
                Output::Transmit(packet) => {
                    wire.send(Instant::now(), packet.contents.into(), packet.destination);
                }
                Output::Event(Event::RawPacket(packet)) => {
                    if let RawPacket::RtcpRx(feedback) = *packet {
                        wire.answer(Instant::now(), &feedback);
                    }
                }
                Output::Event(event) => self.note(event),
                Output::Timeout(deadline) => {
                    let now = Instant::now();
                    // Frames that were just written are packetised by a timeout in the past.
                    if deadline > now.into_std() {
                        return Ok(Instant::from_std(deadline));
                    }
                    self.rtc.handle_input(Input::Timeout(now.into_std()))?;
                }
            }
        }
    }

    fn receive(&mut self, datagram: &Datagram) -> Result<(), RtcError> {
        // Neither STUN, DTLS nor RTP: not for us.
        let Ok(contents) = datagram.bytes[..].try_into() else { return Ok(()) };
        let receive = Receive {
            proto: Protocol::Udp,
            source: datagram.remote,
            destination: self.local,
            contents,
        };
        self.rtc.handle_input(Input::Receive(Instant::now().into_std(), receive))
    }

    fn obey(&mut self, command: Option<Command>, wire: &mut Wire) {
        match command {
            Some(Command::Text(text)) => {
                self.texts.push_back(text);
                self.send_texts();
            }
            Some(Command::Frame(payload)) => {
                let now = Instant::now();
                let timestamp = self.camera.as_mut().and_then(|camera| camera.timestamp(now));
                let written = timestamp
                    .map_or(Ok(()), |timestamp| self.write(now, timestamp, payload.into(), None));
                if let Err(error) = written {
                    self.notes.update(|stats| stats.failed = Some(error.to_string()));
                }
            }
            Some(Command::Datagram(bytes)) => wire.send_raw(Instant::now(), bytes),
            Some(Command::Network(network)) => wire.change(*network),
            Some(Command::Remb(kbps)) => {
                let mut api = self.rtc.direct_api();
                if let Some(stream) = self.video.and_then(|mid| api.stream_rx_by_mid(mid, None)) {
                    stream.request_remb(Bitrate::kbps(u64::from(kbps)));
                }
            }
            // All that this thread serves is this peer.
            Some(Command::Stall(time)) => for_time(time),
            Some(Command::StopCamera) => self.stop_camera(),
            Some(Command::Close) => {
                self.stop_camera();
                self.closing = Some(Instant::now() + CLOSE_GRACE);
                self.rtc.direct_api().close_data_channel(self.channel);
            }
            Some(Command::Vanish) | None => self.done = true,
        }
    }

    /// As many as the channel's buffer takes; the rest goes out as acknowledgements make room.
    fn send_texts(&mut self) {
        let Some(mut channel) = self.rtc.channel(self.channel) else { return };
        while let Some(text) = self.texts.front() {
            match channel.write(false, text.as_bytes()) {
                Ok(true) => self.texts.pop_front(),
                Ok(false) => return,
                Err(error) => {
                    let length = text.len();
                    self.notes.update(|stats| {
                        stats.failed = Some(format!("a text of {length} bytes: {error}"))
                    });
                    self.texts.pop_front()
                }
            };
        }
    }

    fn stop_camera(&mut self) {
        if let Some(camera) = &mut self.camera {
            camera.stop();
        }
    }

    fn send_picture(&mut self, now: Instant, wire: &mut Wire) -> Result<(), RtcError> {
        let Some((timestamp, unit)) = self.camera.as_mut().and_then(|camera| camera.take(now))
        else {
            return Ok(());
        };
        self.write(now, timestamp, unit.data, Some(captured(unit.number)))?;
        self.settle(wire)?;
        self.notes.update(|stats| stats.record_sent(unit.number, Instant::now().into_std()));
        Ok(())
    }

    fn write(
        &mut self,
        now: Instant,
        timestamp: MediaTime,
        data: Arc<[u8]>,
        captured: Option<SystemTime>,
    ) -> Result<(), RtcError> {
        let Some(mut writer) = self.video.and_then(|mid| self.rtc.writer(mid)) else {
            return Ok(());
        };
        let Some(pt) = writer.payload_params().next().map(|params| params.pt()) else {
            return Ok(());
        };
        if let Some(orientation) = self.orientation {
            writer = writer.video_orientation(orientation);
        }
        if let Some(capture_time) = captured {
            writer = writer.abs_capture_time(AbsCaptureTime { capture_time, clock_offset: None });
        }
        writer.write(pt, now.into_std(), timestamp, data)
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Connected => {
                let now = Instant::now();
                if let Some(camera) = &mut self.camera {
                    camera.start(now);
                }
                self.notes.update(|stats| stats.connected = Some(now.into_std()));
            }
            Event::IceConnectionStateChange(state) => {
                let lost = state == IceConnectionState::Disconnected;
                let now = Instant::now().into_std();
                self.notes.update(|stats| {
                    stats.disconnected = lost;
                    if !lost && state.is_connected() {
                        stats.reached.get_or_insert(now);
                    }
                });
            }
            Event::ChannelOpen(id, _) if id == self.channel => {
                self.send_texts();
                self.notes.update(|stats| stats.channel_open = true);
            }
            Event::ChannelData(data) => {
                let text = String::from_utf8_lossy(&data.data);
                let message = serde_json::from_str(&text)
                    .unwrap_or_else(|_| Value::String(text.into_owned()));
                if message["type"] == "stats"
                    && let Some(camera) = &mut self.camera
                {
                    camera.limit(message["data"]["max_fps"].as_f64().unwrap_or(f64::INFINITY));
                }
                self.notes.update(|stats| stats.record_message(message));
            }
            // Our own close is an event at once, long before the server knows of it.
            Event::ChannelClose(_) if self.closing.is_some() => {}
            Event::Closed if self.closing.is_some() => self.done = true,
            Event::ChannelClose(_) | Event::Closed => {
                self.notes.update(|stats| stats.closed_by_server = true)
            }
            Event::KeyframeRequest(request) => {
                if let Some(camera) = &mut self.camera {
                    camera.refresh();
                }
                let fir = u64::from(request.kind == KeyframeRequestKind::Fir);
                self.notes.update(|stats| {
                    stats.keyframe_requests += 1;
                    stats.firs += fir;
                });
            }
            Event::EgressBitrateEstimate(BweKind::Remb { estimate, .. }) => {
                self.notes.update(|stats| stats.rembs.push(estimate.as_u64() / 1_000));
            }
            Event::MediaData(data) if Some(data.mid) == self.video => self.show(&data),
            _ => {}
        }
    }

    fn show(&mut self, data: &MediaData) {
        if !self.asks_for_lost
            && let Some(stream) = self.rtc.direct_api().stream_rx_by_mid(data.mid, None)
        {
            stream.suppress_nack(false);
            self.asks_for_lost = true;
        }
        let Shown { frame, picture, damaged, ask } = self.screen.show(data, Instant::now());
        if ask && let Some(mut writer) = self.rtc.writer(data.mid) {
            // Refused only where PLI was not negotiated; then the next keyframe comes when it
            // comes.
            drop(writer.request_keyframe(None, KeyframeRequestKind::Pli));
        }
        self.notes.update(|stats| {
            stats.undecodable += u64::from(damaged);
            stats.gaps += u64::from(!data.contiguous);
            stats.plis += u64::from(ask);
            stats.record_received(frame);
            stats.picture = picture.or_else(|| stats.picture.take());
        });
    }
}
