//! [`Video`]: the frames of a source, as an iterator.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use reframe_proto::{i420_len, picture_fits};

use super::error::SourceError;
use super::ffmpeg::{Ffmpeg, SILENCE};
use super::header::{FRAME, Header, MAX_BYTES};
use super::input::Input;
use crate::error::HandlerError;
use crate::frame::{Frame, PixelFormat};

/// The frames of a file, an address or a camera, from an `ffmpeg` that runs as long as this exists.
///
/// As an iterator it blocks until the next frame is there, and ends with the source. An error is
/// its last item: a source that broke off, or fell silent for 10 seconds. Within a session it also
/// ends, within 200 ms, when the session is closed; a source that is opened in a generator's
/// factory so never outlives its session.
///
/// A worker that is killed outright (SIGKILL) drops nothing; its ffmpegs end at their next frame,
/// for want of a reader.
#[derive(Debug)]
pub struct Video {
    /// `None` after the last frame.
    ffmpeg: Option<Ffmpeg>,
    header: Header,
    source: OsString,
    options: VideoOptions,
}

impl Video {
    /// Opens a source with the default options: RGB24 frames of its own size, each once, as fast as
    /// they are asked for.
    ///
    /// `source` is a path, an address (`https://…`, `rtsp://…`, whatever the installed ffmpeg
    /// plays) or a camera (`/dev/video0`). Blocks until the source has sent its first picture.
    ///
    /// # Errors
    ///
    /// See [`SourceError`]. A handler's `?` takes it, and its text is what the client is shown.
    pub fn open(source: impl AsRef<OsStr>) -> Result<Self, SourceError> {
        Self::options().open(source)
    }

    /// Options to [open](VideoOptions::open) with.
    pub fn options() -> VideoOptions {
        VideoOptions {
            realtime: false,
            looping: false,
            format: PixelFormat::Rgb24,
            size: None,
            fps: None,
            program: "ffmpeg".into(),
            silence: SILENCE,
        }
    }

    /// Pixels in a row of every frame.
    #[must_use]
    pub const fn width(&self) -> u32 {
        self.header.width
    }

    /// Rows of every frame.
    #[must_use]
    pub const fn height(&self) -> u32 {
        self.header.height
    }

    /// Frames per second that the source was made for, or those of [`VideoOptions::fps`].
    #[must_use]
    pub const fn fps(&self) -> f64 {
        self.header.fps
    }

    /// Starts anew: the next frame is the first. A live source is connected to again.
    ///
    /// # Errors
    ///
    /// As for [`Video::open`]. The video has then ended.
    pub fn rewind(&mut self) -> Result<(), SourceError> {
        self.ffmpeg = None;
        *self = self.options.open(&self.source)?;
        Ok(())
    }

    /// `None` at the end of the source.
    fn read_frame(&mut self) -> Result<Option<Frame>, SourceError> {
        let Some(ffmpeg) = &mut self.ffmpeg else { return Ok(None) };
        let mut mark = [0; FRAME.len()];
        if ffmpeg.read(&mut mark)? < mark.len() {
            return ffmpeg.end().map_or(Ok(None), Err);
        }
        if mark != FRAME {
            return Err(SourceError::Malformed("a picture does not begin as it should"));
        }
        let Header { width, height, .. } = self.header;
        let mut data = vec![0; i420_len(width, height)];
        if ffmpeg.read(&mut data)? < data.len() {
            return Err(ffmpeg
                .end()
                .unwrap_or(SourceError::Malformed("the last picture is not whole")));
        }
        let frame = Frame::new(PixelFormat::I420, width, height, data)
            .expect("the header's size was checked");
        Ok(Some(frame.to_format(self.options.format)))
    }

    #[cfg(test)]
    pub(super) fn process_id(&self) -> Option<u32> {
        self.ffmpeg.as_ref().map(Ffmpeg::id)
    }
}

impl Iterator for Video {
    type Item = Result<Frame, HandlerError>;

    fn next(&mut self) -> Option<Self::Item> {
        let frame = self.read_frame();
        if !matches!(frame, Ok(Some(_))) {
            // Ends the child now: whoever has the iterator may keep it.
            self.ffmpeg = None;
        }
        match frame {
            // Nobody is left to be told.
            Err(SourceError::Closed) => None,
            frame => frame.map_err(HandlerError::from).transpose(),
        }
    }
}

/// How a source is opened.
#[derive(Debug, Clone)]
#[must_use]
pub struct VideoOptions {
    realtime: bool,
    looping: bool,
    format: PixelFormat,
    size: Option<(u32, u32)>,
    fps: Option<f64>,
    pub(super) program: OsString,
    silence: Duration,
}

impl VideoOptions {
    /// Whether a file's frames come no faster than they were made for. `false` by default: a stream
    /// has its own pace, and asks for frames at it.
    pub const fn realtime(mut self, realtime: bool) -> Self {
        self.realtime = realtime;
        self
    }

    /// Whether a file starts again at its end, for ever, without a pause. `false` by default.
    pub const fn looping(mut self, looping: bool) -> Self {
        self.looping = looping;
        self
    }

    /// What frames come as; RGB24 by default. I420, what the wire carries, costs no conversion.
    pub const fn pixel_format(mut self, format: PixelFormat) -> Self {
        self.format = format;
        self
    }

    /// Scales every frame to this size, in pixels. By default frames have the source's.
    pub const fn size(mut self, width: u32, height: u32) -> Self {
        self.size = Some((width, height));
        self
    }

    /// Repeats or leaves out frames so that the source plays at its own speed when `fps` frames are
    /// taken each second: give it the rate of your stream. Without, a stream of 30 fps plays a
    /// source of 24 by a quarter too fast, and what a live source of 60 sends beyond 30 piles up in
    /// front of it.
    ///
    /// # Panics
    ///
    /// When `fps` is not a positive, finite number.
    pub fn fps(mut self, fps: f64) -> Self {
        assert!(fps.is_finite() && fps > 0.0, "fps must be a positive number, not {fps}");
        self.fps = Some(fps);
        self
    }

    /// How long the source may send nothing while a frame is waited for, 10 s by default; also for
    /// the first one.
    pub const fn silence(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }

    /// Opens a source: see [`Video::open`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn open(&self, source: impl AsRef<OsStr>) -> Result<Video, SourceError> {
        let source = source.as_ref();
        let input = Input::new(source)?;
        let name = input.name.clone();
        let (before, after) = self.arguments();
        let mut ffmpeg = Ffmpeg::start(&self.program, &before, input, &after, self.silence)?;
        let header = read_header(&mut ffmpeg)?;
        let Header { width, height, .. } = header;
        if !picture_fits(width, height) {
            return Err(SourceError::TooLarge { name, width, height });
        }
        Ok(Video { ffmpeg: Some(ffmpeg), header, source: source.into(), options: self.clone() })
    }

    /// What is said before the input, and after it.
    fn arguments(&self) -> (Vec<OsString>, Vec<OsString>) {
        let mut before = Vec::new();
        if self.realtime {
            before.push("-re".into());
        }
        if self.looping {
            before.extend(["-stream_loop", "-1"].map(OsString::from));
        }
        let fps = self.fps.map(|fps| format!("fps={fps},")).unwrap_or_default();
        let size =
            self.size.map(|(width, height)| format!("w={width}:h={height}:")).unwrap_or_default();
        // What `Frame` means by I420. HD video is BT.709 and phones' is full range, and both say
        // so; 3 ms for a picture of 1280x720 that is not as it should be, a copy for one that is.
        let filter = format!("{fps}scale={size}out_color_matrix=bt601:out_range=tv");
        // Each frame once: else ffmpeg repeats them up to the finest step of the source's clock,
        // which for a recording of uneven rate, as browsers and phones make them, is a thousand a
        // second.
        let timing = if self.fps.is_some() { "cfr" } else { "passthrough" };
        let after = ["-an", "-sn", "-dn", "-vf", &filter, "-fps_mode", timing];
        let output = ["-f", "yuv4mpegpipe", "-pix_fmt", "yuv420p", "pipe:1"];
        (before, after.into_iter().chain(output).map(OsString::from).collect())
    }
}

/// Byte for byte up to the line's end, once for each run: what follows belongs to the first
/// picture.
fn read_header(ffmpeg: &mut Ffmpeg) -> Result<Header, SourceError> {
    let mut line = Vec::new();
    loop {
        let mut byte = [0];
        if ffmpeg.read(&mut byte)? == 0 {
            return Err(ffmpeg.end().unwrap_or(SourceError::Malformed("there is no header")));
        }
        if byte == *b"\n" {
            return Header::parse(&line).map_err(SourceError::Malformed);
        }
        line.extend(byte);
        if line.len() > MAX_BYTES {
            return Err(SourceError::Malformed("the header has no end"));
        }
    }
}
