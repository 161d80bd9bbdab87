//! A frame's way through the gateway, hop by hop, on the caller's thread: without actors, timers
//! and sockets.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reframe_proto::exchange::Exchange;
use reframe_proto::v1::{FromWorker, ToWorker};
use tokio::time::Instant;

use super::srtp::RtpPacket;
use crate::codec::payload::Packetiser;
use crate::codec::{Codec, Decoder, Encoded, Encoder, Picture, Rotation};
use crate::media::frame::{self, FrameQueue, Policy};
use crate::media::packet::{HeaderExtensions, Packet};
use crate::pipeline::assembler::{AccessUnit, Assembler};
use crate::pipeline::egress;
use crate::pipeline::pacer::{Action, Pacer};
use crate::telemetry::Stage;
use crate::telemetry::ledger::{Hop, Ticket};
use crate::workers::link::convert::{self, Incoming, Outcome};

/// The gateway's parts of one stream. Each call is a hop, and takes what the one before gave.
pub struct Path {
    assembler: Assembler,
    decoder: Box<dyn Decoder>,
    frames: u64,
    waiting: Arc<FrameQueue>,
    exchange: Option<Arc<Exchange>>,
    at_worker: Option<frame::Frame>,
    results: Arc<FrameQueue>,
    pacer: Pacer,
    encoder: Box<dyn Encoder>,
    packetiser: Packetiser,
}

/// A whole access unit.
#[derive(Debug)]
pub struct Unit(AccessUnit);

/// A decoded picture in the books.
#[derive(Debug)]
pub struct Frame(pub(super) frame::Frame);

/// A picture whose moment has come.
#[derive(Debug)]
pub struct PacedPicture(egress::PacedPicture);

impl Path {
    /// Of a stream at `fps` and `kbps` (kbit/s); with an exchange, a worker in this process takes
    /// its pictures from there.
    ///
    /// # Panics
    /// When the codec's library has no memory.
    #[must_use]
    pub fn new(codec: Codec, fps: f64, kbps: u32, exchange: Option<Arc<Exchange>>) -> Self {
        Self {
            assembler: Assembler::new(codec),
            decoder: codec.decoder().expect("memory for a decoder"),
            frames: 0,
            waiting: FrameQueue::new(Hop::Session, Policy::NewestWins),
            exchange,
            at_worker: None,
            results: FrameQueue::new(Hop::Pacer, Policy::NewestWins),
            pacer: Pacer::new(fps),
            encoder: codec.encoder(kbps, fps),
            packetiser: Packetiser::new(codec, false),
        }
    }

    /// Hop 2, first half: the frame that is whole with these packets.
    pub fn assemble(&mut self, packets: Vec<RtpPacket>) -> Option<Unit> {
        let now = Instant::now();
        for RtpPacket(packet) in packets {
            let packet = Packet {
                ssrc: packet.header.ssrc,
                sequence: packet.header.sequence_number,
                timestamp: packet.header.timestamp,
                marker: packet.header.marker,
                marks: HeaderExtensions::default(),
                payload: packet.payload,
            };
            self.assembler.push(now, packet);
        }
        self.assembler.pop(now).map(Unit)
    }

    /// Hop 2, second half; frames are told apart by 1/30 s.
    ///
    /// # Panics
    /// When the unit is damaged.
    pub fn decode(&mut self, Unit(unit): Unit) -> Frame {
        let started = Instant::now();
        let picture = self
            .decoder
            .decode(&unit.data)
            .expect("a sound unit")
            .expect("a unit that shows a picture");
        unit.ticket.stage(Stage::Decode, started, Instant::now());
        let frame = Frame::new(self.frames, picture, unit.ticket);
        self.frames += 1;
        frame
    }

    /// Hops 3 and 4: through the queue into a message.
    ///
    /// # Panics
    /// Never: the queue takes the newest.
    pub fn send(&mut self, Frame(frame): Frame) -> ToWorker {
        self.waiting.push(Instant::now(), frame).expect("room for the newest");
        let mut frame = self.waiting.pop().expect("it was just put in");
        frame.ticket.stage(Stage::Queue, frame.since, Instant::now());
        let message = convert::frame(&mut frame, self.exchange.as_deref());
        self.at_worker = Some(frame);
        message
    }

    /// Hop 7: the answer to the frame that was sent last, with a picture.
    ///
    /// # Panics
    /// When it is another message.
    pub fn receive(&mut self, answer: FromWorker) {
        let incoming = convert::incoming(answer, self.exchange.as_deref());
        let Ok(Incoming::Result { outcome: Outcome::Picture(picture), .. }) = incoming else {
            panic!("a picture was to come");
        };
        let mut frame = self.at_worker.take().expect("a frame was sent");
        let now = Instant::now();
        frame.ticket.stage(Stage::Worker, frame.since, now);
        frame.picture = picture;
        self.results.push(now, frame).expect("room for the newest");
    }

    /// Hop 8 at `now`, which is an interval after the one before.
    ///
    /// # Panics
    /// When no picture waits, or not yet that long.
    pub fn pace(&mut self, now: Instant) -> PacedPicture {
        assert_eq!(
            self.pacer.poll(now, !self.results.is_empty()),
            Action::Release,
            "a picture that is due"
        );
        let frame::Frame { captured, picture, stamp, ticket, .. } =
            self.results.pop().expect("it waits");
        let pts = self.pacer.released(now, captured);
        PacedPicture(egress::PacedPicture {
            picture,
            pts,
            released: now,
            leave_at: None,
            stamp,
            new: true,
            ticket: Some(ticket),
        })
    }

    /// Hop 9, first half; `None` when rate control left the picture out.
    ///
    /// # Panics
    /// When the codec's library fails.
    pub fn encode(&mut self, PacedPicture(release): PacedPicture) -> Option<Encoded> {
        let started = Instant::now();
        let encoded =
            self.encoder.encode(&release.picture, release.pts, false).expect("a sound picture");
        let now = Instant::now();
        if let Some(ticket) = release.ticket {
            ticket.stage(Stage::Encode, started, now);
            ticket.emitted(now);
        }
        encoded
    }

    /// Hop 9, second half.
    pub fn packetise(&mut self, unit: &Encoded) -> Vec<Bytes> {
        self.packetiser.packetise(&unit.data, unit.keyframe)
    }
}

impl Frame {
    /// The frame `seq` of a stream at 30 fps without a picture, for what never looks at it.
    #[must_use]
    pub fn blank(now: Instant, seq: u64) -> Self {
        Self::new(seq, Picture { width: 0, height: 0, data: Bytes::new() }, Ticket::open(now))
    }

    fn new(seq: u64, picture: Picture, ticket: Ticket) -> Self {
        let captured = Duration::from_secs(seq) / 30;
        let (stamp, rotation, since) = (None, Rotation::Upright, Instant::now());
        Self(frame::Frame { seq, captured, stamp, rotation, picture, ticket, since })
    }
}
