//! The demo `detection`: boxes around what moves, less those that are not sure enough.

use reframe_worker::{
    AdditionalOutputs, Frame, HandlerError, Number, Session, Slider, Stream, StreamBuilder,
    VideoStreamHandler,
};

use super::boxes;
use super::motion::{Detector, Region};

const EDGE: [u8; 3] = [255, 200, 0];

pub(super) fn stream() -> StreamBuilder {
    Stream::builder(VideoStreamHandler::per_session(handler).skip_frames(true))
        .additional_inputs([Slider::new("conf_threshold", 0.0..=1.0)
            .step(0.01)
            .value(0.3)
            .label("Confidence threshold")
            .info("Boxes below it are hidden.")])
        .additional_outputs([Number::new("objects").label("Objects")])
}

fn handler() -> impl FnMut(Frame, &Session) -> Result<(Frame, AdditionalOutputs), HandlerError> {
    let mut detector = Detector::default();
    move |frame, session| {
        let threshold: f32 = session.inputs().get("conf_threshold")?;
        let (frame, shown) = mark(&mut detector, frame, threshold);
        Ok((frame, AdditionalOutputs::new([shown])))
    }
}

/// Draws the regions whose score is at least `threshold`, and counts them.
fn mark(detector: &mut Detector, mut frame: Frame, threshold: f32) -> (Frame, usize) {
    let regions = detector.detect(&frame);
    let shown: Vec<Region> =
        regions.into_iter().filter(|region| region.score >= threshold).collect();
    // The surest is drawn last and so on top.
    for region in shown.iter().rev() {
        boxes::draw(&mut frame, region, EDGE, &format!("{:.2}", region.score));
    }
    (frame, shown.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(square: bool) -> Frame {
        let mut frame = Frame::filled(640, 480, [90; 3]).unwrap();
        if square {
            for row in frame.data_mut().chunks_exact_mut(640 * 3).skip(200).take(80) {
                row[300 * 3..][..80 * 3].fill(220);
            }
        }
        frame
    }

    fn shown(threshold: f32) -> (Frame, usize) {
        let mut detector = Detector::default();
        assert_eq!(mark(&mut detector, frame(false), threshold), (frame(false), 0));
        mark(&mut detector, frame(true), threshold)
    }

    #[test]
    fn the_threshold_decides_what_is_drawn() {
        for threshold in [0.0, 0.3] {
            let (drawn, count) = shown(threshold);
            assert_eq!(count, 1, "{threshold}");
            assert_ne!(drawn, frame(true));
        }
        assert_eq!(shown(1.0), (frame(true), 0));
    }
}
