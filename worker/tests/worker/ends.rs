//! How sessions end when the author's code does not play along.

use std::io;
use std::sync::mpsc::{self as blocking, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reframe_proto::v1::from_worker::Message;
use reframe_proto::v1::notice::Level;
use reframe_worker::{
    AdditionalOutputs, Frame, HandlerError, Mode, Number, Session as Handled, Stream,
    VideoStreamHandler,
};

use crate::client::{PATIENCE, Session, Worker, grey, soon};

/// A handler that works until its session is closed, and tells when it begins and when it has seen
/// the end.
fn endless() -> (Stream, Receiver<()>, Receiver<()>) {
    let (entered, entries) = blocking::channel();
    let (left, exits) = blocking::channel();
    let handler = VideoStreamHandler::new(move |frame: Frame, session: &Handled| {
        entered.send(())?;
        while !session.is_closed() {
            std::thread::yield_now();
        }
        left.send(())?;
        Ok(frame)
    });
    (Stream::builder(handler).build(), entries, exits)
}

async fn told(tellings: Receiver<()>) -> Receiver<()> {
    let wait = move || tellings.recv_timeout(PATIENCE).map(|()| tellings);
    soon(tokio::task::spawn_blocking(wait)).await.unwrap().unwrap()
}

#[tokio::test]
async fn an_endless_process_sees_that_its_session_is_closed() {
    let (stream, mut entries, mut exits) = endless();
    let worker = Worker::start(stream, 1);
    // The gateway closes; and it vanishes, with its connection.
    for vanishes in [false, true, false] {
        let client = worker.client().await;
        // The last one's slot follows its end within moments, on another thread.
        let session = soon(async {
            loop {
                if let Ok(session) = Session::open(&client).await {
                    break session;
                }
            }
        });
        let session = session.await;
        drop(client);
        session.send(grey(0, 4, 2)).await;
        entries = told(entries).await;
        if vanishes {
            drop(session);
        } else {
            // What it made after the end is thrown away or comes too late to matter, but nothing
            // else comes.
            let rest = session.close().await;
            assert!(matches!(rest.as_slice(), [] | [Message::Result(_)]), "{rest:?}");
        }
        exits = told(exits).await;
    }
}

#[tokio::test]
async fn an_endless_process_sees_the_shutdown() {
    let (stream, entries, exits) = endless();
    let worker = Worker::start(stream, 1);
    let session = Session::open(&worker.client().await).await.unwrap();
    session.send(grey(0, 4, 2)).await;
    told(entries).await;
    worker.shutdown.cancel();
    soon(worker.served).await.unwrap().unwrap();
    exits.try_recv().expect("serve returns after the handler has");
}

/// In virtual time from the frame on: the log has what an operator sees of a handler that keeps its
/// slot.
#[tokio::test]
async fn a_handler_that_keeps_its_slot_is_logged_and_so_is_its_return() {
    let (log, lines) = blocking::channel();
    let writer = move || Lines(log.clone());
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::WARN)
        .with_writer(writer);
    let _logging = tracing::subscriber::set_default(subscriber.finish());

    let (entered, entries) = blocking::channel();
    let (release, gate) = blocking::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let handler = VideoStreamHandler::new(move |frame: Frame| {
        entered.send(())?;
        gate.lock().map_err(|_| "poisoned")?.recv_timeout(PATIENCE)?;
        Ok(frame)
    });
    let worker = Worker::start(Stream::builder(handler).build(), 1);
    let session = Session::open(&worker.client().await).await.unwrap();
    // Not sooner: the start is waited for on a thread that is real.
    tokio::time::pause();
    session.send(grey(0, 4, 2)).await;
    // The clock stands still for a blocking task.
    told(entries).await;
    drop(session);
    // The clock is paused: these take no time, and stand just before and well after the five
    // seconds.
    tokio::time::sleep(Duration::from_millis(4900)).await;
    assert_eq!(lines.try_recv(), Err(blocking::TryRecvError::Empty));
    tokio::time::sleep(Duration::from_secs(60)).await;
    let line = lines.try_recv().unwrap();
    assert!(line.contains("has not returned from its closed session and keeps its slot"), "{line}");
    assert_eq!(lines.try_recv(), Err(blocking::TryRecvError::Empty));
    release.send(()).unwrap();
    let line =
        tokio::task::spawn_blocking(move || lines.recv_timeout(PATIENCE)).await.unwrap().unwrap();
    assert!(line.contains("has returned at last, its slot is free"), "{line}");
}

/// Log lines, for a test to read.
struct Lines(blocking::Sender<String>);

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // A test that has seen enough no longer reads.
        self.0.send(String::from_utf8_lossy(line).into_owned()).ok();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_panic_in_any_of_the_authors_code_ends_one_session() {
    let generator = VideoStreamHandler::generator(|| {
        let item =
            |n| if n == 1 { panic!("a panic on purpose") } else { Frame::filled(2, 2, [0; 3]) };
        Ok((0..).map(item).map(|item| item.map_err(HandlerError::from)))
    });
    let factory = VideoStreamHandler::generator(|| -> Result<std::iter::Empty<Frame>, _> {
        panic!("on purpose")
    });
    let worker = Worker::start(Stream::builder(generator).build(), 1);
    let broken = Worker::start(Stream::builder(factory).build(), 1);
    for _ in 0..2 {
        let mut session = Session::open(&worker.client().await).await.unwrap();
        for seq in 0..2 {
            session.pull(seq).await;
        }
        assert_eq!(session.result().await.0, 0);
        crash(session).await;
        crash(Session::begin(&broken.client().await).await.unwrap()).await;
    }

    let outputs = Stream::builder(VideoStreamHandler::new(|_: Frame| AdditionalOutputs::new([1])))
        .mode(Mode::Send)
        .additional_outputs([Number::new("n")])
        .additional_outputs_handler(|_, _| panic!("on purpose"));
    let worker = Worker::start(outputs.build(), 1);
    let session = Session::open(&worker.client().await).await.unwrap();
    session.send(grey(0, 4, 2)).await;
    crash(session).await;
}

async fn crash(mut session: Session) {
    match session.rest().await.as_slice() {
        [Message::Notice(notice), Message::EndStream(end)] => {
            assert_eq!(
                (notice.level(), notice.message.as_str()),
                (Level::Error, "the handler crashed")
            );
            assert_eq!(
                (end.message.as_str(), end.failed),
                ("the stream ended because its handler crashed", true)
            );
        }
        other => panic!("told {other:?}"),
    }
}

#[tokio::test]
async fn a_generator_that_cannot_start_says_why() {
    let generator =
        VideoStreamHandler::generator(|| -> Result<std::iter::Empty<Frame>, HandlerError> {
            Err("clip.mp4: no such file".into())
        });
    let worker = Worker::start(Stream::builder(generator).build(), 1);
    let told = Session::begin(&worker.client().await).await.unwrap().rest().await;
    match told.as_slice() {
        [Message::Notice(notice), Message::EndStream(end)] => {
            assert_eq!((notice.message.as_str(), end.failed), ("clip.mp4: no such file", true));
        }
        other => panic!("told {other:?}"),
    }
}

#[tokio::test]
async fn a_generator_is_dropped_when_its_session_is_over() {
    struct Held(blocking::Sender<()>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }
    let (dropped, drops) = blocking::channel();
    let dropped = Arc::new(Mutex::new(dropped));
    let generator = VideoStreamHandler::generator(move || {
        let held = Held(dropped.lock().map_err(|_| "poisoned")?.clone());
        Ok(std::iter::repeat_with(move || {
            let _held = &held;
        }))
    });
    let worker = Worker::start(Stream::builder(generator).build(), 1);
    let mut session = Session::open(&worker.client().await).await.unwrap();
    session.pull(0).await;
    assert_eq!(session.answer().await.outcome, Ok(None));
    assert_eq!(session.close().await, []);
    drops.try_recv().expect("the generator is gone before the call ends");
}
