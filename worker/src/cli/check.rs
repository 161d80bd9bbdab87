//! `check`: a handler's declaration, and whether it starts and answers frames, without a gateway.
//! For a handler's continuous integration.

use std::io::{self, Write as _};
use std::time::Duration;

use clap::Args;
use reframe_proto::{MAX_DIMENSION, picture_fits};
use tokio::runtime;

use super::{Common, Failure, Settings, keep, start_log};
use crate::check::{Work, check, declaration};
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
        let checked = runtime.block_on(check(stream, work, say));
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

/// To whoever reads the check's output; a closed pipe is not an error.
fn say(text: &str) {
    io::stdout().lock().write_all(text.as_bytes()).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_options_are_all_named() {
        let problems = work("0", "640x", "1h").err().unwrap();
        let wrong = ["--frames: ", "--size: ", "--within: "];
        assert!(problems.iter().zip(wrong).all(|(text, option)| text.starts_with(option)));
        assert_eq!(problems.len(), wrong.len(), "{problems:?}");
        assert!(work("1", "4096x4096", "1").is_err() && work("1", "1x1", "1").is_ok());
    }
}
