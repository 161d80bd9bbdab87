//! `check`: a handler's declaration, and whether it starts and answers frames, without a gateway.
//! For a handler's continuous integration.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use reframe_proto::{MAX_DIMENSION, i420_len, picture_fits};
use reframe_trace::error_chain;
use tokio::runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use super::{Common, Failure, Settings, declaration, keep, start_log};
use crate::error::HandlerError;
use crate::frame::Rotation;
use crate::frame::pixels::I420;
use crate::inputs::Inputs;
use crate::message::{Job, NOTICES, REPLIES, Reply};
use crate::mode::Mode;
use crate::runner::{Call, Pool};
use crate::session::Session;
use crate::stream::Stream;

/// The most frames of a check: five minutes of video.
const MAX_FRAMES: u32 = 10_000;

#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Options<O: Args> {
    #[command(flatten)]
    common: Common<O>,

    /// The stream to check, of a program with several [default: all].
    #[arg(long, env = "REFRAME_STREAM", value_name = "NAME")]
    stream: Option<String>,

    /// Frames that each handler is given, or items that a generator is asked for [1 to 10000].
    #[arg(long, value_name = "N", default_value = "30")]
    frames: String,

    /// The frames' size [up to 4096 pixels a side].
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "640x480")]
    size: String,

    /// How long each handler may take for all of it, its start included [seconds, 1 to 3600].
    #[arg(long, value_name = "SECONDS", default_value = "300")]
    within: String,
}

/// What each handler is given.
#[derive(Clone, Copy)]
struct Work {
    frames: u32,
    size: (u32, u32),
    within: Duration,
}

/// Why a stream did not pass.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the handler's thread did not start")]
    Thread(#[source] io::Error),
    #[error("the handler did not answer within --within {0:?}: {1} of {2} frames are done")]
    Timeout(Duration, u32, u32),
    #[error("the handler failed: {0}")]
    Failed(String),
    #[error("the handler failed on frame {0}: {1}")]
    Frame(u64, String),
    #[error("the handler's thread ended without a word")]
    Vanished,
}

pub(super) fn run<O: Args>(
    options: Options<O>,
    streams: impl FnOnce(O) -> Result<Vec<Stream>, Vec<String>>,
) -> Result<(), Failure> {
    let Options { common, stream, frames, size, within } = options;
    let mut problems = Vec::new();
    let settings = keep(&mut problems, common.validate(streams));
    let work = keep(&mut problems, work(&frames, &size, &within));
    let (Some(Settings { mut streams, capacity: _, log }), Some(work)) = (settings, work) else {
        return Err(Failure::Configuration(problems));
    };
    if let Some(name) = stream.filter(|name| !name.is_empty()) {
        let names: Vec<_> = streams.iter().map(|stream| stream.name.clone()).collect();
        streams.retain(|stream| stream.name == name);
        if streams.is_empty() {
            let problem = format!("--stream: `{name}` is not one of {}", names.join(", "));
            return Err(Failure::Configuration(vec![problem]));
        }
    }
    let _export = start_log(log, "reframe-check")?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::Run("the runtime did not start", error.into()))?;
    for stream in streams {
        say(&declaration::text(&stream));
        let checked = runtime.block_on(check(stream, work));
        say(&checked.map_err(|fault| Failure::Run("the check failed", fault.into()))?);
    }
    Ok(())
}

/// What the options say, or what is wrong with them.
fn work(frames: &str, size: &str, within: &str) -> Result<Work, Vec<String>> {
    let mut problems = Vec::new();
    let number = |text: &str, most: u32| {
        text.trim().parse::<u32>().ok().filter(|number| (1..=most).contains(number))
    };
    let wrong =
        |option: &str, given: &str, wanted: &str| [format!("{option}: `{given}` is not {wanted}")];
    let count = number(frames, MAX_FRAMES);
    let count = count.ok_or_else(|| wrong("--frames", frames, "a number from 1 to 10000"));
    let count = keep(&mut problems, count);
    let sides = size.trim().split_once('x');
    let sides =
        sides.and_then(|(w, h)| Some((number(w, MAX_DIMENSION)?, number(h, MAX_DIMENSION)?)));
    let sides = sides.filter(|(width, height)| picture_fits(*width, *height));
    let sides =
        sides.ok_or_else(|| wrong("--size", size, "a size like 640x480, 4096x2304 at most"));
    let sides = keep(&mut problems, sides);
    let seconds = number(within, 3600);
    let seconds = seconds.ok_or_else(|| wrong("--within", within, "a number from 1 to 3600"));
    let seconds = keep(&mut problems, seconds);
    match (count, sides, seconds) {
        (Some(frames), Some(size), Some(seconds)) => {
            Ok(Work { frames, size, within: Duration::from_secs(seconds.into()) })
        }
        _ => Err(problems),
    }
}

/// Runs one session of the stream, by the same threads and with the same guards as a worker's.
async fn check(stream: Stream, work: Work) -> Result<String, Fault> {
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
    // Its `finish` may fail too.
    while let Ok(Some(answer)) = timeout_at(deadline, answers.recv()).await {
        if let Ok(Reply::End { message, failed: true }) = answer {
            return Err(Fault::Failed(message));
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

/// To whoever reads the check's output; a closed pipe is not an error.
fn say(text: &str) {
    io::stdout().lock().write_all(text.as_bytes()).ok();
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
