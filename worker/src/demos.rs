//! The handlers of the demo program.

use std::time::Duration;

use reframe_worker::{Frame, HandlerError, Stream, VideoStreamHandler};

struct Demo {
    name: &'static str,
    about: &'static str,
    title: &'static str,
    handler: fn() -> VideoStreamHandler,
}

const DEMOS: [Demo; 3] = [
    Demo {
        name: "flip",
        about: "the picture upside down",
        title: "Flip",
        handler: || VideoStreamHandler::new(|frame| Ok(frame.flip_vertical())),
    },
    Demo {
        name: "skip-frames",
        about: "the same with 200 ms of work a frame; frames that come meanwhile are skipped",
        title: "Skipping frames",
        handler: || VideoStreamHandler::new(slow_flip).skip_frames(true),
    },
    Demo {
        name: "faulty",
        about: "a test aid: flip, with an error on every 10th frame and a panic on the 100th",
        title: "Faulty",
        handler: || VideoStreamHandler::per_session(faulty),
    },
];

/// Work that a demo only pretends to do.
const WORK: Duration = Duration::from_millis(200);

pub(crate) fn by_name(name: &str) -> Result<Stream, String> {
    let Some(demo) = DEMOS.iter().find(|demo| demo.name == name) else {
        let names = DEMOS.map(|demo| demo.name).join(", ");
        return Err(format!("--demo: `{name}` is not one of {names}"));
    };
    Ok(Stream::builder((demo.handler)()).title(demo.title).build())
}

pub(crate) fn help() -> String {
    let demos = DEMOS.map(|demo| format!("{}: {}", demo.name, demo.about)).join("; ");
    format!("The handler to run. {demos}")
}

#[expect(clippy::disallowed_methods, reason = "stands for work: the thread is busy, not waiting for anything")]
fn slow_flip(frame: Frame) -> Result<Frame, HandlerError> {
    std::thread::sleep(WORK);
    Ok(frame.flip_vertical())
}

/// Counts within its session, so a test knows which frame faults.
fn faulty() -> impl FnMut(Frame) -> Result<Frame, HandlerError> {
    let mut count = 0;
    move |frame| {
        count += 1;
        match count {
            100 => panic!("the 100th frame"),
            n if n % 10 == 0 => Err(format!("frame {n} failed, as every 10th does").into()),
            _ => Ok(frame.flip_vertical()),
        }
    }
}
