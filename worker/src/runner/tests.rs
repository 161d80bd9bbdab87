//! The session's actor on its thread, with real channels.

use std::iter;
use std::sync::{Mutex, mpsc as blocking};
use std::time::Duration;

use actix::prelude::SendError;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::frame::pixels::I420;
use crate::frame::{Frame, PixelFormat};
use crate::handler::{Output, VideoStreamHandler};
use crate::inputs::Inputs;
use crate::message::{NOTICES, REPLIES, Severity};
use crate::stream::{Stream, StreamBuilder};

/// A slow machine's, not an expectation.
const PATIENCE: Duration = Duration::from_secs(30);

const CREDITS: u32 = 2;

/// All ends of a session's actor, but its own.
struct Outside {
    pool: Pool,
    credits: Arc<Credits>,
    jobs: Inbox,
    inputs: watch::Sender<Inputs>,
    replies: mpsc::Receiver<Result<Reply, Status>>,
    returned: CancellationToken,
}

fn start(handler: VideoStreamHandler) -> Outside {
    let mut outside = begin(Stream::builder(handler));
    let opened = outside.replies.blocking_recv().unwrap().unwrap();
    assert_eq!(opened, Reply::Opened { credits: CREDITS });
    outside
}

/// A session in a pool of one, whose handler may not have started.
fn begin(stream: StreamBuilder) -> Outside {
    let pool = Pool::new(Arc::new(stream.build()), 1, true);
    let (replies, replies_out) = mpsc::channel(REPLIES + NOTICES);
    let (inputs, inputs_out) = watch::channel(Inputs::default());
    let session = Session::new("\0nul".into(), inputs_out, &replies, true, pool.health().clone());
    let slot = pool.claim().unwrap();
    let Call { inbox, returned } = pool.start(slot, session, CREDITS, replies).unwrap();
    let credits = Arc::clone(&inbox.credits);
    Outside { pool, credits, jobs: inbox, inputs, replies: replies_out, returned }
}

fn frame(seq: u64) -> Job {
    let picture = I420::from_frame(Frame::filled(2, 2, [0; 3]).unwrap()).0;
    Job::Frame { seq, capture_time: Duration::ZERO, picture, traceparent: String::new() }
}

/// A handler that waits for each frame until it is let go, and says which it has.
fn gated() -> (VideoStreamHandler, blocking::Receiver<u64>, blocking::Sender<()>) {
    let (entered, entries) = blocking::channel();
    let (release, gate) = blocking::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let handler = VideoStreamHandler::new(move |frame: Frame| {
        entered.send(frame.seq()).unwrap();
        gate.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        Ok(frame)
    });
    (handler, entries, release)
}

#[test]
fn frames_that_wait_when_the_session_ends_are_dropped() {
    let (handler, entries, release) = gated();
    let mut outside = start(handler);
    for seq in 0..2 {
        outside.jobs.try_send(frame(seq)).unwrap();
    }
    assert_eq!(entries.recv_timeout(PATIENCE), Ok(0));
    assert_eq!(outside.pool.sessions(), 1);

    // The first frame is in the handler, the second waits; the session ends now.
    drop(outside.jobs);
    release.send(()).unwrap();
    assert!(matches!(
        outside.replies.blocking_recv(),
        Some(Ok(Reply::Result { seq: 0, outcome: Ok(_), .. }))
    ));
    assert!(outside.replies.blocking_recv().is_none(), "the second frame was dropped");
    // The end of the replies is what a gateway sees, so all must have been given back before.
    assert_eq!((outside.pool.sessions(), outside.returned.is_cancelled()), (0, true));
    let left = iter::from_fn(|| outside.credits.take().then_some(())).count();
    assert_eq!(left, 1, "two were given and taken, and one came back");
    // The pool has the stream, and with it the handler's function.
    drop(outside.pool);
    assert_eq!(entries.recv_timeout(PATIENCE), Err(blocking::RecvTimeoutError::Disconnected));
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
        let expected = Reply::Notice { level: Severity::Log, message: n.to_string() };
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
    assert!(matches!(
        outside.replies.blocking_recv(),
        Some(Ok(Reply::Result { seq: 0, outcome: Ok(_), .. }))
    ));
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

#[test]
fn a_frame_in_the_handler_and_those_that_wait_are_no_more_than_the_credits() {
    let (handler, entries, release) = gated();
    let mut outside = start(handler);
    outside.jobs.try_send(frame(0)).unwrap();
    assert_eq!(entries.recv_timeout(PATIENCE), Ok(0));
    // The handler has the first frame, whose place in the mailbox is free again.
    outside.jobs.try_send(frame(1)).unwrap();
    let refused = outside.jobs.try_send(frame(2));
    assert!(matches!(refused, Err(SendError::Full(Job::Frame { seq: 2, .. }))));
    assert_eq!(outside.credits.refused(), 1);
    release.send(()).unwrap();
    assert!(matches!(outside.replies.blocking_recv(), Some(Ok(Reply::Result { seq: 0, .. }))));
    outside.jobs.try_send(frame(3)).unwrap();
    assert_eq!(outside.credits.refused(), 1);
    (0..2).for_each(|_| release.send(()).unwrap());
    assert_eq!(entries.iter().take(2).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn a_handler_may_block_on_a_runtime_of_its_own() {
    let mut outside = start(VideoStreamHandler::new(|frame: Frame| {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(runtime.block_on(async { frame.flip_vertical() }))
    }));
    outside.jobs.try_send(frame(0)).unwrap();
    let told = outside.replies.blocking_recv();
    assert!(matches!(told, Some(Ok(Reply::Result { seq: 0, outcome: Ok(_), .. }))), "{told:?}");
}

#[test]
fn a_wrapper_is_around_all_that_the_authors_code_does() {
    struct Handled(blocking::Sender<&'static str>);
    impl crate::handler::Handler for Handled {
        fn process(&mut self, frame: Frame, _: &Session) -> Result<Output, HandlerError> {
            self.0.send("process")?;
            Ok(frame.into())
        }
    }
    impl Drop for Handled {
        fn drop(&mut self) {
            self.0.send("dropped").unwrap();
        }
    }
    let (log, lines) = blocking::channel();
    let (made, wrapped) = (log.clone(), log);
    let handler = VideoStreamHandler::per_session(move || {
        made.send("made").unwrap();
        Handled(made.clone())
    });
    let mut outside = begin(Stream::builder(handler).thread_wrapper(move |body| {
        wrapped.send("begins").unwrap();
        body();
        wrapped.send("ends").unwrap();
    }));
    assert!(matches!(outside.replies.blocking_recv(), Some(Ok(Reply::Opened { .. }))));
    outside.jobs.try_send(frame(0)).unwrap();
    assert!(matches!(outside.replies.blocking_recv(), Some(Ok(Reply::Result { .. }))));
    drop(outside.jobs);
    let lines: Vec<_> = iter::from_fn(|| lines.recv_timeout(PATIENCE).ok()).take(5).collect();
    assert_eq!(lines, ["begins", "made", "process", "dropped", "ends"]);
}

#[test]
fn a_wrapper_that_does_not_call_the_body_ends_the_session() {
    let builder = || Stream::builder(VideoStreamHandler::new(Ok));
    let panics = |_| panic!("on purpose");
    for stream in [builder().thread_wrapper(drop), builder().thread_wrapper(panics)] {
        let mut outside = begin(stream);
        assert!(outside.replies.blocking_recv().is_none());
        assert_eq!(outside.pool.sessions(), 0);
    }
}
