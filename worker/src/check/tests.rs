use tokio::runtime;

use super::*;
use crate::handler::{Handler, VideoStreamHandler};
use crate::{CloseStream, Frame, Output, Slider};

fn stream(handler: VideoStreamHandler) -> Stream {
    Stream::builder(handler).build()
}

fn checked(stream: Stream, frames: u32, within: Duration) -> Result<String, Fault> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(check(stream, Work { frames, size: (64, 48), within }, |_| ()))
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_handler_that_answers_passes_and_its_frames_are_counted() {
    let flip = || stream(VideoStreamHandler::new(|frame: Frame| Ok(frame.flip_vertical())));
    let passed = checked(flip(), 7, LONG).unwrap();
    assert!(passed.contains("7 frames of 64x48, 7 pictures"), "{passed}");
    let ends = |frame: Frame| -> Result<Output, HandlerError> {
        if frame.seq() == 2 { Ok(CloseStream::new("enough").into()) } else { Ok(frame.into()) }
    };
    let passed = checked(stream(VideoStreamHandler::new(ends)), 7, LONG).unwrap();
    assert!(passed.contains("the handler ended it: enough"), "{passed}");
}

#[test]
fn an_error_a_panic_and_silence_fail() {
    let fails = |frame: Frame| if frame.seq() == 3 { Err("no weights".into()) } else { Ok(frame) };
    let fault = checked(stream(VideoStreamHandler::new(fails)), 7, LONG).unwrap_err();
    assert_eq!(fault.to_string(), "the handler failed on frame 3: no weights");
    let panics = |_: Frame| -> Result<Frame, HandlerError> { panic!("on purpose") };
    let fault = checked(stream(VideoStreamHandler::new(panics)), 1, LONG).unwrap_err();
    assert!(fault.to_string().contains("its handler crashed"), "{fault}");
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let held = Arc::new(parking_lot::Mutex::new(held));
    let hangs = move |frame: Frame| -> Result<Frame, HandlerError> {
        held.lock().recv().ok();
        Ok(frame)
    };
    let stream = stream(VideoStreamHandler::new(hangs));
    let fault = checked(stream, 5, Duration::from_millis(50)).unwrap_err();
    assert!(matches!(fault, Fault::Timeout(_, 0, 5)), "{fault}");
    drop(hold);
}

#[test]
fn the_hash_follows_the_declaration_alone() {
    let with = |maximum: f64| {
        let handler = VideoStreamHandler::new(|frame: Frame| Ok(frame));
        let slider = Slider::new("conf", 0.0..=maximum);
        declaration::text(&Stream::builder(handler).additional_inputs([slider]).build())
    };
    let hash = |text: &str| text.lines().last().unwrap().to_owned();
    assert_eq!(with(1.0), with(1.0));
    assert_ne!(hash(&with(1.0)), hash(&with(2.0)));
    assert!(with(1.0).contains("\"maximum\": 1.0"), "{}", with(1.0));
    assert_eq!(hash(&with(1.0)).len(), "default: declaration ".len() + 64);
}

#[test]
fn a_handler_that_does_not_end_fails() {
    struct Endless(std::sync::mpsc::Receiver<()>);
    impl Handler for Endless {
        fn process(&mut self, frame: Frame, _: &Session) -> Result<Output, HandlerError> {
            Ok(frame.into())
        }

        fn stop(&mut self) {
            self.0.recv().ok();
        }
    }
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let held = Arc::new(parking_lot::Mutex::new(Some(held)));
    let make = move || Endless(held.lock().take().unwrap());
    let stream = stream(VideoStreamHandler::per_session(make));
    let fault = checked(stream, 2, Duration::from_secs(2)).unwrap_err();
    assert!(matches!(fault, Fault::Unfinished(_)), "{fault}");
    drop(hold);
}
