//! Entry points for benchmarks: a frame's path through a worker, on the caller's thread. Not part
//! of the public interface.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reframe_proto::exchange::Exchange;
use reframe_proto::v1::{self, FromWorker, ToWorker, to_worker};

use crate::convert::{self, Message};
use crate::frame::pixels::I420;
use crate::frame::{Frame, PixelFormat, Rotation};
use crate::message::{Job, Reply, Times};
use crate::mode::Mode;

/// A worker's parts for one stream. Each call is one step, and takes the result of the step before.
pub struct Path {
    format: PixelFormat,
    exchange: Option<Arc<Exchange>>,
    /// The buffer of the last frame that was answered; the next frame is made in it.
    buffer: Vec<u8>,
}

/// A picture as the wire has it.
#[derive(Clone, Debug)]
pub struct Picture {
    seq: u64,
    i420: I420,
}

impl Path {
    /// For a handler that takes `format`; with an exchange, the gateway is in this process.
    #[must_use]
    pub const fn new(format: PixelFormat, exchange: Option<Arc<Exchange>>) -> Self {
        Self { format, exchange, buffer: Vec::new() }
    }

    /// Hop 5.
    ///
    /// # Panics
    /// When the message is not a frame.
    #[must_use]
    pub fn receive(&self, message: ToWorker) -> Picture {
        match convert::message(message, Mode::SendReceive, self.exchange.as_deref()) {
            Ok(Message::Job(Job::Frame { seq, picture, .. })) => Picture { seq, i420: picture },
            other => panic!("{other:?} instead of a frame"),
        }
    }

    /// Hop 6, before the handler.
    pub fn to_frame(&mut self, picture: Picture) -> Frame {
        let Picture { seq, i420 } = picture;
        i420.into_frame(self.format, seq, Duration::ZERO, mem::take(&mut self.buffer))
    }

    /// Hop 6, after it.
    pub fn to_picture(&mut self, frame: Frame) -> Picture {
        let seq = frame.seq();
        let (i420, buffer) = I420::from_frame(frame);
        self.buffer = buffer;
        Picture { seq, i420 }
    }

    /// The answer.
    #[must_use]
    pub fn answer(&self, picture: Picture) -> FromWorker {
        let Picture { seq, i420 } = picture;
        let outcome = Ok(Some(i420));
        let (times, outputs) = (Times::default(), Vec::new());
        let reply = Reply::Result { seq, times, outcome, outputs, more_credits: 0 };
        convert::reply(reply, self.exchange.as_deref())
    }

    /// Allocates a new buffer for the next frame.
    pub fn forget_buffer(&mut self) {
        self.buffer = Vec::new();
    }
}

impl Picture {
    /// The picture of these bytes of I420.
    ///
    /// # Panics
    /// When their number does not fit the size.
    #[must_use]
    pub fn new(width: u32, height: u32, data: Bytes) -> Self {
        assert_eq!(data.len(), reframe_proto::i420_len(width, height), "bytes of another size");
        Self { seq: 0, i420: I420 { width, height, data, rotation: Rotation::Upright } }
    }

    /// As a gateway elsewhere sends it.
    #[must_use]
    pub fn into_message(self) -> ToWorker {
        let Self { seq, i420: I420 { width, height, data, rotation } } = self;
        let frame = v1::Frame {
            seq,
            width,
            height,
            data,
            rotation: rotation.degrees(),
            ..v1::Frame::default()
        };
        ToWorker { message: Some(to_worker::Message::Frame(frame)) }
    }
}
