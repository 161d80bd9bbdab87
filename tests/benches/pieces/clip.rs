//! What the pieces are fed with.

use bytes::Bytes;
use reframe_gateway::codec::{Codec, Encoded, Picture};
use reframe_tests::pattern::Camera;
use reframe_tests::source::{Clip, Format};

/// A second of the synthetic camera at 720p.
const FRAMES: u32 = 30;

/// The units of a second of 720p at 30 fps and 2 Mbit/s, of which the first is a keyframe.
pub(crate) fn units(codec: Codec) -> Vec<Encoded> {
    // Later keyframes only where the encoder wants them.
    let clip =
        Clip::encode(Format { codec, ..Format::HD }, FRAMES, FRAMES).expect("the encoder works");
    let unit = |unit: &reframe_tests::source::Unit| Encoded {
        data: Bytes::copy_from_slice(&unit.data),
        keyframe: unit.keyframe,
        droppable: false,
    };
    clip.units().iter().map(unit).collect()
}

/// The same pictures.
pub(crate) fn pictures(width: u32, height: u32) -> Vec<Picture> {
    let camera = Camera::new(width, height);
    (0..FRAMES).map(|number| Picture { width, height, data: camera.frame(number).into() }).collect()
}
