//! The handlers of the demo program: one for each thing that a stream can be, and aids for tests.

mod aids;
mod boxes;
mod clips;
mod detection;
mod forms;
mod motion;
mod objects;
mod ticker;

use std::time::Duration;

use reframe_worker::{
    AdditionalOutputs, Frame, LinePlot, Mode, PixelFormat, Stream, StreamBuilder,
    VideoStreamHandler,
};

/// What the command line says to demos.
pub(crate) struct Settings {
    /// What `generation` plays in place of the sample clip.
    pub(crate) source: Option<String>,
    /// Rate of the aid `ticker`.
    pub(crate) fps: f64,
    /// Upper bound of the slider of the aid `echo-inputs`.
    pub(crate) slider_max: f64,
}

struct Demo {
    name: &'static str,
    title: &'static str,
    subtitle: &'static str,
    stream: fn(&Settings) -> StreamBuilder,
}

/// To look at: all of them are served unless one is named.
const DEMOS: [Demo; 7] = [
    Demo {
        name: "detection",
        title: "Moving things",
        subtitle: "A box around whatever moves, with how sure the detector is of it. The slider \
                   hides the less sure ones.",
        stream: |_| detection::stream(),
    },
    Demo {
        name: "detect-objects",
        title: "Red, green and blue things",
        subtitle: "An ONNX model finds them, and sees the frames of all sessions at once. The \
                   slider hides what it is less sure of.",
        stream: |_| objects::stream(),
    },
    Demo {
        name: "generation",
        title: "A clip from the server",
        subtitle: "Nothing is sent to the server: a generator there makes the frames.",
        stream: |settings| clips::generation(settings.source.clone()),
    },
    Demo {
        name: "skip-frames",
        title: "A slow handler",
        subtitle: "Upside down, with 200 ms of work a frame. Frames that come meanwhile are \
                   skipped, so it never lags.",
        stream: |_| Stream::builder(VideoStreamHandler::new(slow_flip).skip_frames(true)),
    },
    Demo {
        name: "output-fps",
        title: "60 frames per second",
        subtitle: "A generator that is asked for 60 frames a second, and counts how many it \
                   really is.",
        stream: |_| clips::output_fps(),
    },
    Demo { name: "flip", title: "Flip", subtitle: "Your camera, upside down.", stream: |_| flip() },
    Demo {
        name: "sink",
        title: "Brightness",
        subtitle: "Your camera is only watched: what comes back is a plot of how bright it is (0 \
                   to 255).",
        stream: |_| sink(),
    },
];

/// For tests: each shows one part of the contract between gateway, worker and client.
const AIDS: [Demo; 6] = [
    Demo {
        name: "faulty",
        title: "Faulty",
        subtitle: "A test aid: flip, with an error on every 10th frame and a panic on the 100th.",
        stream: |_| Stream::builder(VideoStreamHandler::per_session(aids::faulty)),
    },
    Demo {
        name: "echo-inputs",
        title: "Echo of inputs",
        subtitle: "A test aid: one input of each kind, and all of them as an output whenever one \
                   changes.",
        stream: |settings| aids::echo_inputs(settings.slider_max),
    },
    Demo {
        name: "forms",
        title: "Forms of output",
        subtitle: "A test aid: each frame is answered in another way, and the 201st ends the \
                   stream.",
        stream: |_| forms::stream(),
    },
    Demo {
        name: "flip-rgb",
        title: "Flip, in RGB24",
        subtitle: "A test aid: flip, with the conversions that a handler in RGB24 needs.",
        stream: |_| Stream::builder(VideoStreamHandler::new(Frame::flip_vertical)),
    },
    Demo {
        name: "keep-rotation",
        title: "As sent",
        subtitle: "A test aid: frames as the camera sent them, untouched, and how far they are \
                   from upright.",
        stream: |_| aids::keep_rotation(),
    },
    Demo {
        name: "ticker",
        title: "Ticker",
        subtitle: "A test aid: numbered pictures, which can be stalled and ended.",
        stream: |settings| ticker::stream(settings.fps),
    },
];

/// The named one, or all that are for people.
///
/// # Errors
///
/// When no demo has that name; the text lists those that exist.
pub(crate) fn streams(name: Option<&str>, settings: &Settings) -> Result<Vec<Stream>, String> {
    let build = |demo: &Demo| {
        (demo.stream)(settings).name(demo.name).title(demo.title).subtitle(demo.subtitle).build()
    };
    let Some(name) = name else { return Ok(DEMOS.iter().map(build).collect()) };
    let named = DEMOS.iter().chain(&AIDS).find(|demo| demo.name == name);
    let demo = named.ok_or_else(|| format!("--demo: `{name}` is not one of {}", names(&DEMOS)))?;
    Ok(vec![build(demo)])
}

/// For `--help`.
pub(crate) fn help() -> String {
    format!("The stream to serve, else all: {}. For tests: {}", names(&DEMOS), names(&AIDS))
}

fn names(demos: &[Demo]) -> String {
    demos.iter().map(|demo| demo.name).collect::<Vec<_>>().join(", ")
}

/// Work that a demo only pretends to do.
const WORK: Duration = Duration::from_millis(200);

#[expect(
    clippy::disallowed_methods,
    reason = "stands for work: the thread is busy, not waiting for anything"
)]
fn slow_flip(frame: Frame) -> Frame {
    std::thread::sleep(WORK);
    frame.flip_vertical()
}

/// I420 in and out: nothing is converted.
fn flip() -> StreamBuilder {
    let handler = VideoStreamHandler::new(Frame::flip_vertical).pixel_format(PixelFormat::I420);
    Stream::builder(handler).movable(true)
}

fn sink() -> StreamBuilder {
    let handler =
        VideoStreamHandler::new(|frame: Frame| AdditionalOutputs::new([brightness(&frame)]));
    Stream::builder(handler.pixel_format(PixelFormat::Gray8).skip_frames(true))
        .mode(Mode::Send)
        .additional_outputs([LinePlot::new("brightness").label("Brightness").points(150)])
}

/// The mean of a GRAY8 frame, to a tenth.
fn brightness(frame: &Frame) -> f64 {
    let sum: u64 = frame.data().iter().map(|pixel| u64::from(*pixel)).sum();
    let tenths = sum * 10 / frame.data().len() as u64;
    tenths as f64 / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings { source: None, fps: 30.0, slider_max: 1.0 };

    fn names_of(name: Option<&str>) -> Vec<String> {
        streams(name, &SETTINGS).unwrap().iter().map(|stream| stream.name().to_owned()).collect()
    }

    #[test]
    fn every_demo_is_a_sound_declaration_under_its_name() {
        for demo in DEMOS.iter().chain(&AIDS) {
            assert_eq!(names_of(Some(demo.name)), [demo.name]);
            assert!(help().contains(demo.name));
        }
    }

    #[test]
    fn aids_are_served_only_by_name() {
        assert_eq!(names_of(None), DEMOS.map(|demo| demo.name));
        let refused = streams(Some("flop"), &SETTINGS).unwrap_err();
        let expected = "--demo: `flop` is not one of detection, detect-objects, generation, \
                        skip-frames, output-fps, flip, sink";
        assert_eq!(refused, expected);
    }

    #[test]
    fn brightness_is_the_mean() {
        let frame = |data| Frame::new(PixelFormat::Gray8, 2, 2, data).unwrap();
        assert_eq!(brightness(&frame(vec![255; 4])), 255.0);
        assert_eq!(brightness(&frame(vec![0, 0, 0, 1])), 0.2);
    }
}
