//! The contract of `reframe.v1.FrameWorker`, over real HTTP/2.

use std::sync::mpsc::{self as blocking, Receiver};
use std::sync::{Arc, Mutex};

use reframe_proto::v1::from_worker::Message;
use reframe_proto::v1::notice::Level;
use reframe_proto::v1::{self, ToWorker, to_worker};
use reframe_worker::{Frame, Handler, HandlerError, Output, Session, Stream, VideoStreamHandler};
use tokio::time::Instant;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::client::{self, PATIENCE, Worker, grey, luma_of, soon};

fn flip() -> Stream {
    Stream::builder(VideoStreamHandler::new(Frame::flip_vertical)).build()
}

/// A handler that fails or panics when the frame's number says so, and tells the test when it was
/// stopped.
#[derive(Clone)]
struct Faulty {
    stopped: blocking::Sender<()>,
}

const FAILS: u64 = 3;
const PANICS: u64 = 7;

impl Handler for Faulty {
    fn process(&mut self, frame: Frame, _: &Session) -> Result<Output, HandlerError> {
        match frame.seq() {
            FAILS => Err("no face in the picture".into()),
            PANICS => panic!("a panic on purpose"),
            _ => Ok(frame.into()),
        }
    }

    fn stop(&mut self) {
        self.stopped.send(()).unwrap();
    }
}

fn faulty() -> (Stream, Receiver<()>) {
    let (stopped, stops) = blocking::channel();
    let handler = Faulty { stopped };
    // A factory is shared between threads; a std `Sender` may be, a clone of it is the handler's
    // own.
    (Stream::builder(VideoStreamHandler::per_session(move || handler.clone())).build(), stops)
}

/// A handler that waits in `process` until the test lets it go, once for each frame; and says when
/// it waits.
fn gated(skip_frames: bool) -> (Stream, blocking::Sender<()>, Receiver<()>) {
    let (release, gate) = blocking::channel();
    let (entered, entries) = blocking::channel();
    let gate = Arc::new(Mutex::new(gate));
    let handler = move |frame: Frame| -> Result<Frame, HandlerError> {
        entered.send(())?;
        gate.lock().map_err(|_| "poisoned")?.recv_timeout(PATIENCE)?;
        Ok(frame)
    };
    (
        Stream::builder(VideoStreamHandler::new(handler).skip_frames(skip_frames)).build(),
        release,
        entries,
    )
}

#[tokio::test]
async fn answers_every_frame_in_order_and_flipped() {
    let worker = Worker::start(flip(), 1);
    let mut session = client::Session::open(&worker.client().await).await.unwrap();
    assert_eq!(session.credits, 2);
    // Two under way at any time, and odd sizes among them.
    let size = |seq: u64| [(16, 6), (5, 3), (1, 1)][usize::try_from(seq % 3).unwrap()];
    let frame = |seq| grey(seq, size(seq).0, size(seq).1);
    session.send(frame(0)).await;
    for seq in 0..60 {
        session.send(frame(seq + 1)).await;
        let (answered, picture) = session.result().await;
        let picture = picture.unwrap();
        let (width, height) = size(seq);
        assert_eq!((answered, picture.width, picture.height), (seq, width, height));
        for (row, luma) in
            picture.data.chunks_exact(width as usize).take(height as usize).enumerate()
        {
            let expected = luma_of(seq, height as usize - 1 - row);
            assert!(
                luma.iter().all(|luma| luma.abs_diff(expected) <= 1),
                "frame {seq}, row {row}: {luma:?}"
            );
        }
    }
}

#[tokio::test]
async fn one_frame_is_under_way_when_frames_are_skipped() {
    let (stream, _release, _entries) = gated(true);
    let worker = Worker::start(stream, 1);
    assert_eq!(client::Session::open(&worker.client().await).await.unwrap().credits, 1);
}

#[tokio::test]
async fn a_frame_without_a_credit_ends_its_session_only() {
    for skip_frames in [true, false] {
        let (stream, release, entries) = gated(skip_frames);
        let worker = Worker::start(stream, 2);
        let client = worker.client().await;
        let mut greedy = client::Session::open(&client).await.unwrap();
        greedy.send(grey(0, 2, 2)).await;
        let entered =
            tokio::task::spawn_blocking(move || entries.recv_timeout(PATIENCE).map(|()| entries));
        let _entries = soon(entered).await.unwrap().unwrap();
        for seq in 1..=u64::from(greedy.credits) {
            greedy.send(grey(seq, 2, 2)).await;
        }
        let status = greedy.status().await;
        let text = format!("frame {} came without a credit", greedy.credits);
        assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, text.as_str()));

        // Its handler is still at the first frame: that slot stays taken, the other session runs.
        let mut modest = client::Session::open(&client).await.unwrap();
        assert_eq!(
            client::Session::open(&client).await.err().map(|status| status.code()),
            Some(Code::ResourceExhausted)
        );
        release.send(()).unwrap();
        release.send(()).unwrap();
        modest.process(0).await.unwrap();
    }
}

#[tokio::test]
async fn an_error_costs_one_frame() {
    let (stream, _stops) = faulty();
    let worker = Worker::start(stream, 1);
    let mut session = client::Session::open(&worker.client().await).await.unwrap();
    for seq in 0..PANICS {
        let outcome = session.process(seq).await;
        assert_eq!(
            outcome.err().as_deref(),
            (seq == FAILS).then_some("no face in the picture"),
            "frame {seq}"
        );
    }
}

#[tokio::test]
async fn a_panic_ends_one_session_and_frees_its_slot() {
    let (stream, stops) = faulty();
    let worker = Worker::start(stream, 2);
    let client = worker.client().await;
    let mut doomed = client::Session::open(&client).await.unwrap();
    let mut other = client::Session::open(&client).await.unwrap();
    other.process(0).await.unwrap();

    doomed.send(grey(PANICS, 2, 2)).await;
    match doomed.rest().await.as_slice() {
        [Message::Notice(notice), Message::EndStream(end)] => {
            assert_eq!(
                (notice.level(), notice.message.as_str()),
                (Level::Error, "the handler crashed")
            );
            assert!(end.failed);
        }
        other => panic!("told {other:?}"),
    }
    stops.try_recv().expect("the handler stops before the call ends");

    other.process(1).await.unwrap();
    let mut next =
        client::Session::open(&client).await.expect("the slot is free once the call has ended");
    next.process(0).await.unwrap();
}

#[tokio::test]
async fn a_failed_start_ends_the_session_with_its_reason() {
    struct NoModel;
    impl Handler for NoModel {
        fn start(&mut self, _: &Session) -> Result<(), HandlerError> {
            Err("the model is missing".into())
        }
        fn process(&mut self, _: Frame, _: &Session) -> Result<Output, HandlerError> {
            unreachable!("not started")
        }
    }
    let worker =
        Worker::start(Stream::builder(VideoStreamHandler::per_session(|| NoModel)).build(), 1);
    let client = worker.client().await;
    for _ in 0..3 {
        let told = client::Session::begin(&client).await.unwrap().rest().await;
        match told.as_slice() {
            [Message::Notice(notice), Message::EndStream(end)] => {
                assert_eq!((notice.message.as_str(), end.failed), ("the model is missing", true));
            }
            other => panic!("told {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_half_close_stops_the_handler_and_frees_the_slot() {
    let (stream, stops) = faulty();
    let worker = Worker::start(stream, 1);
    let client = worker.client().await;
    for _ in 0..3 {
        let mut session = client::Session::open(&client).await.unwrap();
        session.process(0).await.unwrap();
        let refused = client::Session::open(&client).await.err().expect("the only slot is taken");
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert_eq!(refused.message(), "all 1 session slots of this worker are taken");
        assert_eq!(session.close().await, []);
        stops.try_recv().expect("the handler stops before the call ends");
    }
}

#[tokio::test]
async fn a_gateway_that_vanishes_frees_its_slot() {
    let (stream, stops) = faulty();
    let worker = Worker::start(stream, 1);
    let mut session = client::Session::open(&worker.client().await).await.unwrap();
    session.process(0).await.unwrap();
    // The only session of its connection, which closes with it.
    drop(session);
    let stopped = tokio::task::spawn_blocking(move || stops.recv_timeout(PATIENCE));
    soon(stopped).await.unwrap().unwrap();
    let client = worker.client().await;
    let again = async {
        // The slot follows the stop within moments, on another thread.
        while let Err(status) = client::Session::open(&client).await {
            assert_eq!(status.code(), Code::ResourceExhausted);
        }
    };
    soon(again).await;
}

#[tokio::test]
async fn a_bad_frame_ends_its_session_only() {
    // A slot each: the status comes at once, the slot when the handler's thread has noticed.
    let worker = Worker::start(flip(), 1 + 4);
    let client = worker.client().await;
    let mut other = client::Session::open(&client).await.unwrap();
    let mismatched = v1::Frame { width: 640, ..grey(0, 64, 4) };
    let oversize = v1::Frame { width: 4097, ..grey(0, 64, 4) };
    let empty = v1::Frame { height: 0, ..grey(0, 64, 4) };
    for (frame, code, text) in [
        (
            mismatched,
            Code::InvalidArgument,
            "frame.data: 384 bytes, but a 640x4 I420 picture has 3840",
        ),
        (oversize, Code::InvalidArgument, "frame.width: 4097 is not 1 to 4096 pixels"),
        (empty, Code::InvalidArgument, "frame.height: 0 is not 1 to 4096 pixels"),
        // Allowed by its sides, but more than a message.
        (grey(0, 4096, 4096), Code::OutOfRange, "decoded message length too large"),
    ] {
        let mut session = client::Session::open(&client).await.unwrap();
        session.send(frame).await;
        let status = session.status().await;
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(text), "{status}");
        other.process(0).await.unwrap();
    }
}

#[tokio::test]
async fn the_largest_frame_passes() {
    let worker = Worker::start(flip(), 1);
    let mut session = client::Session::open(&worker.client().await).await.unwrap();
    session.send(grey(0, 4096, 2304)).await;
    let picture = session.result().await.1.unwrap();
    assert_eq!((picture.width, picture.height), (4096, 2304));
}

#[tokio::test]
async fn a_session_begins_with_open_and_opens_once() {
    let worker = Worker::start(flip(), 1);
    let client = worker.client().await;
    let open = || ToWorker { message: Some(to_worker::Message::Open(v1::Open::default())) };
    let frame = ToWorker { message: Some(to_worker::Message::Frame(grey(0, 2, 2))) };
    for first in [frame, ToWorker { message: None }] {
        let refused = client::Session::call(&client, first).await.err().map(|status| status.code());
        assert_eq!(refused, Some(Code::InvalidArgument));
    }
    // Refused calls took no slot: there is only one.
    let mut session = client::Session::call(&client, open()).await.unwrap();
    session.send_raw(open()).await;
    assert_eq!(session.status().await.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_shutdown_is_announced_and_ends_sessions() {
    let (stream, stops) = faulty();
    let worker = Worker::start(stream, 1);
    let channel = worker.connect().await;
    let mut watches = Vec::new();
    for service in ["", "reframe.v1.FrameWorker", "readiness"] {
        let request = HealthCheckRequest { service: service.into() };
        let mut watch =
            HealthClient::new(channel.clone()).watch(request).await.unwrap().into_inner();
        let now = soon(watch.message()).await.unwrap().unwrap();
        assert_eq!(now.status(), ServingStatus::Serving, "{service:?}");
        watches.push(watch);
    }
    let mut session = client::Session::open(&worker.client().await).await.unwrap();
    session.process(0).await.unwrap();

    worker.shutdown.cancel();
    for mut watch in watches {
        assert_eq!(
            soon(watch.message()).await.unwrap().unwrap().status(),
            ServingStatus::NotServing
        );
        assert_eq!(soon(watch.message()).await.unwrap(), None);
    }
    let status = session.status().await;
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "this worker is shutting down")
    );
    // The gateway keeps its connections, and is not waited for.
    soon(worker.served).await.unwrap().unwrap();
    stops.try_recv().expect("serve returns after the handlers have stopped");
}

/// In virtual time: nothing here waits for the handler's thread, which would be real.
#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_stop_is_abandoned() {
    struct Stuck(Arc<Mutex<Receiver<()>>>);
    impl Handler for Stuck {
        fn start(&mut self, _: &Session) -> Result<(), HandlerError> {
            self.0.lock().map_err(|_| "poisoned")?.recv_timeout(PATIENCE).map_err(Into::into)
        }
        fn process(&mut self, frame: Frame, _: &Session) -> Result<Output, HandlerError> {
            Ok(frame.into())
        }
    }
    let (release, gate) = blocking::channel();
    let gate = Arc::new(Mutex::new(gate));
    let stream =
        Stream::builder(VideoStreamHandler::per_session(move || Stuck(Arc::clone(&gate)))).build();
    let worker = Worker::start(stream, 1);
    let _session = client::Session::begin(&worker.client().await).await.unwrap();

    let begun = Instant::now();
    worker.shutdown.cancel();
    soon(worker.served).await.unwrap().unwrap();
    assert_eq!(begun.elapsed().as_secs(), 5);
    release.send(()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_opens_is_ended() {
    let worker = Worker::start(flip(), 1);
    let begun = Instant::now();
    let silent = worker.client().await.session(tokio_stream::pending()).await;
    assert_eq!(silent.err().map(|status| status.code()), Some(Code::DeadlineExceeded));
    assert_eq!(begun.elapsed().as_secs(), 5);
}
