//! The demos whose pictures come from a clip.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::LazyLock;
use std::time::Duration;
use std::{io, process};

use reframe_worker::sources::{Video, VideoOptions};
use reframe_worker::{
    AdditionalOutputs, Frame, HandlerError, Number, Output, PixelFormat, Stream, StreamBuilder,
    VideoStreamHandler,
};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use tokio::time::Instant;

/// Of the stream and so of the clip, whatever it was made for.
const GENERATION_FPS: f64 = 30.0;

/// The sample clip over and over, or `source` once.
pub(super) fn generation(source: Option<String>) -> StreamBuilder {
    let open = move || -> Result<Video, HandlerError> {
        let options = options().fps(GENERATION_FPS);
        match &source {
            Some(source) => Ok(options.open(source)?),
            None => sample(&options.looping(true)),
        }
    };
    Stream::builder(VideoStreamHandler::generator(open).fps(GENERATION_FPS))
}

/// The sample clip at twice its speed.
pub(super) fn output_fps() -> StreamBuilder {
    let counted = || -> Result<_, HandlerError> { Ok(counted(sample(&options().looping(true))?)) };
    Stream::builder(VideoStreamHandler::generator(counted).fps(60.0))
        .additional_outputs([Number::new("fps").label("FPS")])
}

/// Passes frames on; about once a second with how many were asked for in each second since the last
/// time.
fn counted(
    frames: impl Iterator<Item = Result<Frame, HandlerError>>,
) -> impl Iterator<Item = Result<Output, HandlerError>> {
    // From the first frame on: before it is asked for, the browser has yet to connect.
    let (mut count, mut start) = (0_u32, None);
    frames.map(move |frame| {
        let frame = frame?;
        let Some(start) = &mut start else {
            start = Some(Instant::now());
            return Ok(frame.into());
        };
        count += 1;
        let elapsed = start.elapsed();
        if elapsed < Duration::from_secs(1) {
            return Ok(frame.into());
        }
        let fps = f64::from(count) / elapsed.as_secs_f64();
        (count, *start) = (0, Instant::now());
        Ok((frame, AdditionalOutputs::new([(fps * 10.0).round() / 10.0])).into())
    })
}

/// I420, which needs no conversion on the way to the browser.
fn options() -> VideoOptions {
    Video::options().pixel_format(PixelFormat::I420)
}

fn sample(options: &VideoOptions) -> Result<Video, HandlerError> {
    // The clip is part of the program, and ffmpeg wants a file: one in memory leaves nothing
    // behind, however this process ends, and every opening of its path has a position of its own.
    static FILE: LazyLock<Result<OwnedFd, Errno>> = LazyLock::new(|| {
        let file = memfd_create("sample.mp4", MemfdFlags::CLOEXEC)?;
        let mut rest: &[u8] = include_bytes!("../../assets/sample.mp4");
        while !rest.is_empty() {
            let written = rustix::io::write(&file, rest)?;
            rest = &rest[written..];
        }
        Ok(file)
    });
    let file = FILE
        .as_ref()
        .map_err(|error| format!("no room for the sample clip: {}", io::Error::from(*error)))?;
    let path = format!("/proc/{}/fd/{}", process::id(), file.as_raw_fd());
    Ok(options.open(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_clip_plays_from_memory_for_several_at_once() {
        let open = || sample(&options().looping(true)).unwrap();
        let (mut one, mut other) = (open(), open());
        let first = one.next().unwrap().unwrap();
        assert_eq!((first.width(), first.height()), (640, 360));
        assert!(one.next().unwrap().unwrap() != first);
        assert!(other.next().unwrap().unwrap() == first);
    }

    /// The clock stands still but for `advance`, which no runtime's timers are needed for.
    #[tokio::test(start_paused = true)]
    async fn the_rate_is_told_once_a_second() {
        let frame = Frame::filled(2, 2, [0; 3]).unwrap();
        let mut outputs = counted(std::iter::repeat_with(|| Ok(frame.clone())));
        let mut told = Vec::new();
        // The browser connects.
        tokio::time::advance(Duration::from_millis(900)).await;
        for n in 0..120 {
            tokio::time::advance(Duration::from_millis(20)).await;
            if outputs.next().unwrap().unwrap()
                == (frame.clone(), AdditionalOutputs::new([50.0])).into()
            {
                told.push(n);
            }
        }
        assert_eq!(told, [50, 100]);
    }
}
