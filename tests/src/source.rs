//! Encoded video to send: encoded picture by picture while it is sent, or once for many streams.

use std::sync::Arc;

use bytes::Bytes;
use reframe_gateway::codec::{Codec, CodecError, Encoder, Picture};

use crate::pattern::Camera;

/// One encoded picture and the number drawn into it.
#[derive(Clone, Debug)]
pub struct Unit {
    /// What [`crate::pattern::read`] finds in the picture.
    pub number: u32,
    /// The access unit; H.264 as an Annex B byte stream.
    pub data: Arc<[u8]>,
    /// Decodable without an earlier unit.
    pub keyframe: bool,
}

/// What a camera takes and how it is encoded.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Pictures per second.
    pub fps: f64,
    /// kbit/s.
    pub bitrate_kbps: u32,
    /// What a peer offers, sends and shows.
    pub codec: Codec,
}

impl Format {
    /// 640x480 at 30 fps and 1 Mbit/s: what a laptop camera sends when nobody asks for more.
    pub const VGA: Self =
        Self { width: 640, height: 480, fps: 30.0, bitrate_kbps: 1_000, codec: Codec::Vp8 };
    /// 1280x720 at 30 fps and 2 Mbit/s.
    pub const HD: Self =
        Self { width: 1280, height: 720, fps: 30.0, bitrate_kbps: 2_000, codec: Codec::Vp8 };
    /// 320x240 at 30 fps and 300 kbit/s: for many streams on a small machine.
    pub const SMALL: Self =
        Self { width: 320, height: 240, fps: 30.0, bitrate_kbps: 300, codec: Codec::Vp8 };
}

/// Pictures encoded once and sent as often as wanted, in a loop, at next to no cost.
///
/// The first unit and every `keyframe_every`-th are keyframes. Numbers start at 0 and repeat with
/// each round, so the age of a returned picture is known only up to the length of the clip: make it
/// longer than any delay worth telling apart.
#[derive(Debug)]
pub struct Clip {
    format: Format,
    units: Vec<Unit>,
    /// The same pictures, but fewer of them a second, the fastest first; for who sends less when
    /// asked.
    slower: Vec<Self>,
}

/// What an obedient clip keeps, of how many, when it is asked for less: what is asked of 30 fps are
/// 20, 15, 10 and 7.5.
const SLOWER: [(u32, u32); 4] = [(2, 3), (1, 2), (1, 3), (1, 4)];

impl Clip {
    /// Encodes `frames` pictures, with a keyframe at least every `keyframe_every` of them.
    ///
    /// # Errors
    /// The encoder failed.
    pub fn encode(format: Format, frames: u32, keyframe_every: u32) -> Result<Self, CodecError> {
        Self::part(format, frames, keyframe_every, (1, 1))
    }

    /// The same, for a peer that sends fewer pictures a second when the server asks it to, as
    /// browsers with the page do.
    ///
    /// # Errors
    /// The encoder failed.
    pub fn obedient(format: Format, frames: u32, keyframe_every: u32) -> Result<Self, CodecError> {
        let slower = SLOWER.map(|kept| Self::part(format, frames, keyframe_every, kept));
        let slower = slower.into_iter().collect::<Result<_, _>>()?;
        Ok(Self { slower, ..Self::encode(format, frames, keyframe_every)? })
    }

    /// Of `frames` pictures, `some` of every `of`, at the same bitrate.
    fn part(
        format: Format,
        frames: u32,
        keyframe_every: u32,
        (some, of): (u32, u32),
    ) -> Result<Self, CodecError> {
        let kept = f64::from(some) / f64::from(of);
        let format = Format { fps: format.fps * kept, ..format };
        let mut live = Live::new(format);
        // By the numbers of all of them.
        live.ticks *= kept;
        let (mut units, mut keyframe) = (Vec::new(), false);
        for number in 0..frames {
            keyframe |= number.is_multiple_of(keyframe_every);
            live.number = number;
            if number * some % of < some {
                units.extend(live.next(std::mem::take(&mut keyframe))?);
            }
        }
        Ok(Self { format, units, slower: Vec::new() })
    }

    /// The fastest variant with at most `fps`, or the slowest if all have more.
    fn at_most(&self, fps: f64) -> &Self {
        let all = || std::iter::once(self).chain(&self.slower);
        // The limit may have been rounded on its way.
        all().find(|clip| clip.format.fps <= fps + 0.1).or_else(|| all().last()).unwrap_or(self)
    }

    /// The units of one round, in order.
    #[must_use]
    pub fn units(&self) -> &[Unit] {
        &self.units
    }
}

/// What a peer sends.
#[derive(Clone, Debug)]
pub enum Video {
    /// Encoded by the peer itself: numbers never repeat and a keyframe request is answered by the
    /// next picture.
    Live(Format),
    /// Shared: numbers repeat and a keyframe request skips forward to the clip's next keyframe.
    Clip(Arc<Clip>),
}

impl Video {
    /// The format of the pictures.
    #[must_use]
    pub fn format(&self) -> Format {
        match self {
            Self::Live(format) => *format,
            Self::Clip(clip) => clip.format,
        }
    }

    pub(crate) fn start(self) -> Source {
        match self {
            Self::Live(format) => Source::Live(Box::new(Live::new(format))),
            Self::Clip(clip) => Source::Clip { clip, max_fps: f64::INFINITY, next: 0 },
        }
    }
}

/// A [`Video`] being sent.
pub(crate) enum Source {
    Live(Box<Live>),
    /// `next` is of the part that has at most `most` pictures a second.
    Clip {
        clip: Arc<Clip>,
        max_fps: f64,
        next: usize,
    },
}

impl Source {
    /// Sends at most `fps` pictures a second from now on, if it can; returns how many it sends.
    pub(crate) fn limit(&mut self, fps: f64) -> f64 {
        match self {
            Self::Live(live) => live.fps,
            Self::Clip { clip, max_fps, next } => {
                let (now, part) = (clip.at_most(*max_fps), clip.at_most(fps));
                if std::ptr::eq(now, part) {
                    return part.format.fps;
                }
                let number = now.units[*next].number;
                // Another encoding, which begins with a keyframe: the first behind where we are.
                let keyframe =
                    part.units.iter().position(|unit| unit.keyframe && unit.number >= number);
                (*max_fps, *next) = (fps, keyframe.unwrap_or(0));
                part.format.fps
            }
        }
    }

    /// The next unit; `None` when rate control left this picture out.
    pub(crate) fn next(&mut self, keyframe: bool) -> Result<Option<Unit>, CodecError> {
        match self {
            Self::Live(live) => live.next(keyframe),
            Self::Clip { clip, max_fps, next } => {
                let units = &clip.at_most(*max_fps).units;
                let skipped =
                    units[*next..].iter().take_while(|unit| keyframe && !unit.keyframe).count();
                let unit = units.get(*next + skipped).unwrap_or(&units[0]).clone();
                *next = (*next + skipped + 1) % units.len();
                Ok(Some(unit))
            }
        }
    }
}

/// A camera and an encoder.
pub(crate) struct Live {
    camera: Camera,
    encoder: Box<dyn Encoder>,
    fps: f64,
    /// Of an encoder's 90 kHz clock per picture.
    ticks: f64,
    number: u32,
}

impl Live {
    fn new(format: Format) -> Self {
        Self {
            camera: Camera::new(format.width, format.height),
            encoder: format.codec.encoder(format.bitrate_kbps, format.fps),
            fps: format.fps,
            ticks: 90_000.0 / format.fps,
            number: 0,
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive 90 kHz time below 2^63"
    )]
    fn next(&mut self, keyframe: bool) -> Result<Option<Unit>, CodecError> {
        let number = self.number;
        self.number += 1;
        let (width, height) = self.camera.size();
        let picture = Picture { width, height, data: Bytes::from(self.camera.frame(number)) };
        let pts = (f64::from(number) * self.ticks) as u64;
        let encoded = self.encoder.encode(&picture, pts, keyframe)?;
        Ok(encoded.map(|encoded| Unit {
            number,
            data: Arc::from(&encoded.data[..]),
            keyframe: encoded.keyframe,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::{Code, psnr, read};

    /// One second of pictures at 1 Mbit/s through VP8 and back.
    #[test]
    fn numbers_survive_vp8() {
        for format in [Format::SMALL, Format::VGA, Format { bitrate_kbps: 1_000, ..Format::HD }] {
            let clip = Clip::encode(format, 30, 1_000).unwrap();
            let camera = Camera::new(format.width, format.height);
            let mut decoder = format.codec.decoder().unwrap();
            assert!(
                clip.units().len() >= 25,
                "rate control dropped {} of 30",
                30 - clip.units().len()
            );
            for unit in clip.units() {
                let picture =
                    decoder.decode(&unit.data).unwrap().expect("every unit shows a picture");
                let code = read(picture.width, picture.height, &picture.data);
                assert_eq!(code, Some(Code { number: unit.number, flipped: false }));
                // A real codec's work: neither trivial (above 50 dB) nor hopeless.
                let psnr = psnr(&picture.data, &camera.frame(unit.number));
                assert!(
                    (24.0..50.0).contains(&psnr),
                    "{format:?} frame {}: {psnr:.1} dB",
                    unit.number
                );
            }
        }
    }

    #[test]
    fn an_obedient_clip_has_fewer_pictures_a_second_when_asked() {
        let mut source =
            Video::Clip(Arc::new(Clip::obedient(Format::SMALL, 24, 12).unwrap())).start();
        let next = |source: &mut Source| source.next(false).unwrap().unwrap();
        assert_eq!([next(&mut source).number, next(&mut source).number], [0, 1]);
        assert_eq!(source.limit(20.0), 20.0);
        let units = [(); 4].map(|()| next(&mut source));
        assert_eq!(units.each_ref().map(|unit| unit.number), [12, 14, 15, 17]);
        assert!(units[0].keyframe, "another encoding");
        // Behind its last keyframe it begins anew.
        assert_eq!(source.limit(15.1), 15.0);
        assert_eq!([(); 3].map(|()| next(&mut source).number), [0, 2, 4]);
        assert_eq!(source.limit(1.0), 7.5, "it can do no less");
        assert_eq!(source.limit(f64::INFINITY), 30.0);
        assert_eq!([next(&mut source).number, next(&mut source).number], [12, 13]);
        let mut deaf = Video::Clip(Arc::new(Clip::encode(Format::SMALL, 4, 4).unwrap())).start();
        next(&mut deaf);
        assert_eq!((deaf.limit(15.0), next(&mut deaf).number), (30.0, 1));
    }

    #[test]
    fn a_clip_loops_and_skips_to_keyframes() {
        let clip = Arc::new(Clip::encode(Format::SMALL, 10, 4).unwrap());
        let numbers: Vec<u32> = clip.units().iter().map(|unit| unit.number).collect();
        assert_eq!(
            numbers,
            Vec::from_iter(0..10),
            "rate control dropped pictures of a ten picture clip"
        );
        let mut source = Video::Clip(clip).start();
        let mut next =
            |keyframe| source.next(keyframe).unwrap().expect("clips leave nothing out").number;
        assert_eq!([next(false), next(false), next(true), next(false)], [0, 1, 4, 5]);
        assert_eq!([next(true), next(false), next(true), next(true)], [8, 9, 0, 4]);
    }
}
