//! The receiving side of a peer: decodes what can be decoded and knows when to ask for a keyframe.

use std::time::Duration;

use reframe_gateway::codec::{Codec, Decoder, Picture};
use str0m::media::MediaData;
use tokio::time::Instant;

use super::stats::Received;
use crate::pattern;

/// Between two keyframe requests for the same damage, as browsers do: one may be lost, a storm
/// helps nobody.
const ASK_AGAIN: Duration = Duration::from_millis(300);

/// What became of a received frame.
pub(super) struct Shown {
    pub(super) frame: Received,
    pub(super) picture: Option<Picture>,
    /// It should have been decoded and could not be.
    pub(super) damaged: bool,
    /// It is time to ask for a keyframe.
    pub(super) ask: bool,
}

/// A decoder, if the peer is to look at what it receives.
pub(super) struct Screen {
    decoder: Option<Box<dyn Decoder>>,
    /// A gap or a damaged frame was seen; nothing until the next keyframe can be shown.
    needs_keyframe: bool,
    asked: Option<Instant>,
}

impl Screen {
    pub(super) fn new(codec: Codec, decode: bool) -> Self {
        let decoder = decode.then(|| codec.decoder().expect("a decoder"));
        Self { decoder, needs_keyframe: true, asked: None }
    }

    /// Decodes a frame whose last packet arrived at `now`.
    pub(super) fn show(&mut self, data: &MediaData, now: Instant) -> Shown {
        let picture = self.decode(data);
        let damaged = self.decoder.is_some() && picture.is_none();
        let ask = damaged && self.asked.is_none_or(|asked| now >= asked + ASK_AGAIN);
        if ask {
            self.asked = Some(now);
        }
        let (width, height) =
            picture.as_ref().map_or((0, 0), |picture| (picture.width, picture.height));
        let frame = Received {
            code: picture.as_ref().and_then(|picture| pattern::read(width, height, &picture.data)),
            rtp_time: data.time.numer(),
            arrived: data.network_time,
            complete: now.into_std(),
            age: None,
            captured: data.ext_vals.abs_capture_time.as_ref().map(|said| said.capture_time),
            keyframe: data.is_keyframe(),
            width,
            height,
        };
        Shown { frame, picture, damaged, ask }
    }

    fn decode(&mut self, data: &MediaData) -> Option<Picture> {
        let decoder = self.decoder.as_mut()?;
        if (self.needs_keyframe || !data.contiguous) && !data.is_keyframe() {
            self.needs_keyframe = true;
            return None;
        }
        let picture = decoder.decode(&data.data).unwrap_or_default();
        self.needs_keyframe = picture.is_none();
        picture
    }
}
