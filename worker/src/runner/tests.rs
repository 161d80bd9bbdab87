//! The session's thread, with real channels.

use std::sync::{Mutex, mpsc as blocking};
use std::time::Duration;

use tokio::sync::watch;

use super::*;
use crate::frame::pixels::I420;
use crate::frame::{Frame, PixelFormat};
use crate::handler::VideoStreamHandler;
use crate::inputs::Inputs;
use crate::message::{Level, NOTICES, REPLIES};

/// A slow machine's, not an expectation.
const PATIENCE: Duration = Duration::from_secs(30);

/// All ends of a session's thread, but its own.
struct Outside {
    slots: Arc<Semaphore>,
    budget: Arc<Semaphore>,
    jobs: mpsc::Sender<Job>,
    inputs: watch::Sender<Inputs>,
    replies: mpsc::Receiver<Result<Reply, Status>>,
}

fn start(handler: VideoStreamHandler) -> Outside {
    let (slots, budget) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(0)));
    let (jobs, jobs_out) = mpsc::channel(2);
    let (replies, mut replies_out) = mpsc::channel(REPLIES + NOTICES);
    let (inputs, inputs_out) = watch::channel(Inputs::default());
    let session = Session::new("\0nul".into(), inputs_out, &replies);
    let slot = Arc::clone(&slots).try_acquire_owned().unwrap();
    let returned = oneshot::channel().0;
    let call = Call { slot, jobs: jobs_out, replies, credits: 2, budget: Arc::clone(&budget), returned };
    spawn(Arc::new(Stream::builder(handler).build()), session, call).unwrap();
    assert_eq!(replies_out.blocking_recv().unwrap().unwrap(), Reply::Opened { credits: 2 });
    Outside { slots, budget, jobs, inputs, replies: replies_out }
}

fn frame(seq: u64) -> Job {
    let picture = I420::from_frame(Frame::filled(2, 2, [0; 3]).unwrap()).0;
    Job::Frame { seq, capture_time: Duration::ZERO, picture, traceparent: String::new() }
}

#[test]
fn frames_that_wait_when_the_session_ends_are_dropped() {
    let (entered, entries) = blocking::channel();
    let (release, gate) = blocking::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let mut outside = start(VideoStreamHandler::new(move |frame: Frame| {
        entered.send(frame.seq()).unwrap();
        gate.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        Ok(frame)
    }));
    for seq in 0..2 {
        outside.jobs.try_send(frame(seq)).unwrap();
    }
    assert_eq!(entries.recv_timeout(PATIENCE), Ok(0));
    assert_eq!(outside.slots.available_permits(), 0);

    // The first frame is in the handler, the second waits; the session ends now.
    drop(outside.jobs);
    release.send(()).unwrap();
    assert!(matches!(outside.replies.blocking_recv(), Some(Ok(Reply::Result { seq: 0, outcome: Ok(_), .. }))));
    assert!(outside.replies.blocking_recv().is_none(), "the second frame was dropped");
    assert_eq!(entries.recv_timeout(PATIENCE), Err(blocking::RecvTimeoutError::Disconnected));
    // The end of the replies is what a gateway sees, so all must have been given back before.
    assert_eq!((outside.slots.available_permits(), outside.budget.available_permits()), (1, 2 + 1));
}

#[test]
fn notices_never_wait_and_leave_room_for_results() {
    let (told, tellings) = blocking::channel();
    let handler = move |frame: Frame, session: &Session| {
        for n in 0..100 {
            session.log(n);
        }
        told.send(session.dropped_notices())?;
        Ok(frame)
    };
    // Nobody reads the replies while the handler talks.
    let mut outside = start(VideoStreamHandler::new(handler));
    outside.jobs.try_send(frame(0)).unwrap();
    let dropped = tellings.recv_timeout(PATIENCE).unwrap();
    assert_eq!(dropped, 100 - NOTICES as u64);
    for n in 0..NOTICES {
        let expected = Reply::Notice { level: Level::Log, message: n.to_string() };
        assert_eq!(outside.replies.blocking_recv().unwrap().unwrap(), expected);
    }
    assert!(matches!(outside.replies.blocking_recv(), Some(Ok(Reply::Result { seq: 0, .. }))));
    drop(outside.jobs);
    assert!(outside.replies.blocking_recv().is_none());
}

#[test]
fn a_session_is_known_on_its_thread_only_and_kept_without_harm() {
    assert!(Session::current().is_none());
    let (kept, keeps) = blocking::channel();
    let mut outside = start(VideoStreamHandler::new(move |frame: Frame, session: &Session| {
        let current = Session::current().ok_or("no session")?;
        assert_eq!(current.id(), session.id());
        kept.send(current)?;
        Ok(frame)
    }));
    outside.jobs.try_send(frame(0)).unwrap();
    let session = keeps.recv_timeout(PATIENCE).unwrap();
    assert_eq!((session.id(), session.is_closed()), ("\0nul", false));
    drop((outside.jobs, outside.inputs));
    assert!(session.is_closed());
    assert!(matches!(outside.replies.blocking_recv(), Some(Ok(Reply::Result { seq: 0, outcome: Ok(_), .. }))));
    // Ends although the author still has the session.
    assert!(outside.replies.blocking_recv().is_none());
    session.error("nobody listens");
}

#[test]
fn planes_in_and_out_are_the_wires_own() {
    let (seen, sights) = blocking::channel();
    let handler = VideoStreamHandler::new(move |frame: Frame| {
        seen.send(frame.data().as_ptr() as usize)?;
        Ok(frame)
    });
    let mut outside = start(handler.pixel_format(PixelFormat::I420));
    let job = frame(0);
    let Job::Frame { picture, .. } = &job else { unreachable!("a frame") };
    let address = picture.data.as_ptr() as usize;
    outside.jobs.try_send(job).unwrap();
    assert_eq!(sights.recv_timeout(PATIENCE), Ok(address));
    match outside.replies.blocking_recv() {
        Some(Ok(Reply::Result { outcome: Ok(Some(picture)), .. })) => {
            assert_eq!(picture.data.as_ptr() as usize, address)
        }
        other => panic!("told {other:?}"),
    }
}
