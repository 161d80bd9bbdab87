//! A session of a stream on generated frames, without a gateway, and the stream's declaration: what
//! a handler's continuous integration asks.

pub(crate) mod declaration;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reframe_proto::i420_len;
use reframe_trace::error_chain;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use crate::error::HandlerError;
use crate::frame::Rotation;
use crate::frame::pixels::I420;
use crate::inputs::Inputs;
use crate::message::{Job, NOTICES, REPLIES, Reply};
use crate::mode::Mode;
use crate::runner::{Call, Pool};
use crate::session::Session;
use crate::stream::Stream;

/// What each handler is given.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    pub(crate) frames: u32,
    /// In pixels: width and height.
    pub(crate) size: (u32, u32),
    /// For all of it, the handler's start included.
    pub(crate) within: Duration,
}

/// Why a stream did not pass.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the handler's thread did not start")]
    Thread(#[source] io::Error),
    #[error("the handler did not answer within --within {0:?}: {1} of {2} frames are done")]
    Timeout(Duration, u32, u32),
    #[error("the handler answered all frames, but did not end within --within {0:?}")]
    Unfinished(Duration),
    #[error("the handler failed: {0}")]
    Failed(String),
    #[error("the handler failed on frame {0}: {1}")]
    Frame(u64, String),
    #[error("the handler's thread ended without a word")]
    Vanished,
}

/// Runs one session of the stream, by the same threads and with the same guards as a worker's.
/// What it says meanwhile goes to `say`; what came of it is returned, in a line.
pub(crate) async fn check(stream: Stream, work: Work, say: impl Fn(&str)) -> Result<String, Fault> {
    let (stream, began) = (Arc::new(stream), Instant::now());
    let pool = Pool::new(Arc::clone(&stream), 1, false);
    let (replies, mut answers) = mpsc::channel(REPLIES + NOTICES);
    let (_inputs, values) = watch::channel(Inputs::declared(&stream.inputs));
    // One frame at a time: nothing waits, so nothing is skipped.
    let health = pool.health().clone();
    let session = Session::new("check".to_owned(), values, &replies, false, health);
    let slot = pool.claim().ok_or(Fault::Vanished)?;
    let Call { inbox, returned: _ } =
        pool.start(slot, session, 1, replies).map_err(Fault::Thread)?;

    let deadline = began + work.within;
    let (mut done, mut pictures, mut took, mut started) = (0, 0, Vec::new(), Duration::ZERO);
    let ended = loop {
        let late = || Fault::Timeout(work.within, done, work.frames);
        let answer = timeout_at(deadline, answers.recv()).await.map_err(|_| late())?;
        match answer.ok_or(Fault::Vanished)? {
            Ok(Reply::Opened { .. }) => started = began.elapsed(),
            Ok(Reply::Notice { level, message }) => {
                say(&format!("  the handler says ({level:?}): {message}\n"));
                continue;
            }
            Ok(Reply::Result { seq, times, outcome, .. }) => {
                let picture = outcome.map_err(|error| Fault::Frame(seq, in_words(&error)))?;
                pictures += u32::from(picture.is_some());
                done += 1;
                took.push(times.handler);
            }
            Ok(Reply::End { message, failed: true }) => return Err(Fault::Failed(message)),
            Ok(Reply::End { message, failed: false }) => break Some(message),
            Err(status) => return Err(Fault::Failed(status.message().to_owned())),
        }
        if done == work.frames {
            break None;
        }
        // Closed: its end is the next answer.
        inbox.try_send(job(&stream, work.size, done)).ok();
    };
    drop(inbox);
    // Its `stop` may fail too, or hang.
    loop {
        match timeout_at(deadline, answers.recv()).await {
            Ok(None) => break,
            Ok(Some(Ok(Reply::End { message, failed: true }))) => {
                return Err(Fault::Failed(message));
            }
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(status))) => return Err(Fault::Failed(status.message().to_owned())),
            Err(_) => return Err(Fault::Unfinished(work.within)),
        }
    }
    took.sort();
    let (median, longest) = (took.get(took.len() / 2), took.last());
    let times = median.zip(longest).map_or_else(String::new, |(median, longest)| {
        format!(", {median:.1?} each (the median), {longest:.1?} at most")
    });
    let (width, height) = work.size;
    let what = match stream.mode {
        Mode::Receive => format!("{done} items asked for"),
        Mode::SendReceive | Mode::Send => format!("{done} frames of {width}x{height}"),
    };
    let end = ended.map_or_else(String::new, |text| format!("; the handler ended it: {text}"));
    let name = &stream.name;
    Ok(format!("{name}: started in {started:.1?}; {what}, {pictures} pictures{times}{end}\n"))
}

/// What the browser would be shown, and what caused it.
fn in_words(error: &HandlerError) -> String {
    let cause =
        error.source().map(|cause| error_chain(cause)).filter(|cause| cause != error.message());
    cause
        .map_or_else(|| error.message().to_owned(), |cause| format!("{}: {cause}", error.message()))
}

/// The next frame, grey with a bright square that moves; or the request for an item.
fn job(stream: &Stream, (width, height): (u32, u32), number: u32) -> Job {
    let (seq, traceparent) = (number.into(), String::new());
    if stream.mode == Mode::Receive {
        return Job::Pull { seq, traceparent };
    }
    let mut data = vec![128; i420_len(width, height)];
    let (w, side) = (width as usize, (width.min(height) as usize / 4).max(1));
    let (left, top) = (number as usize * 8 % (w - side + 1), (height as usize - side) / 2);
    for row in data.chunks_mut(w).skip(top).take(side) {
        row[left..left + side].fill(235);
    }
    let picture = I420 { width, height, data: Bytes::from(data), rotation: Rotation::Upright };
    let rate = stream.handler.rate();
    let capture_time = Duration::from_secs_f64(f64::from(number) / rate);
    Job::Frame { seq, capture_time, picture, traceparent }
}

#[cfg(test)]
mod tests;
