//! Handlers that do not return: their session ends all the same, and what they hold is given back
//! or reported.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use reframe_tests::http::get;
use reframe_tests::source::{Format, Video};
use reframe_worker::{Frame, Handler, HandlerError, Output, Session, Stream, VideoStreamHandler};
use serde_json::json;

use super::*;

/// Frames that are handled before one is not.
const FRAMES: usize = 10;

/// Closed until somebody opens it.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn pass(&self) {
        let open = self.open.lock().expect("nobody panics with it");
        drop(self.opened.wait_while(open, |open| !*open).expect("nobody panics with it"));
    }

    fn open(&self) {
        *self.open.lock().expect("nobody panics with it") = true;
        self.opened.notify_all();
    }
}

/// What has happened to the handlers of a test.
#[derive(Default)]
struct Counts {
    /// Calls that were the last of their session.
    entered: AtomicU32,
    stopped: AtomicU32,
}

impl Counts {
    /// Waits until as many handlers are in their last call.
    #[track_caller]
    fn wait_entered(&self, count: u32) {
        eventually("the handler's last call", PATIENCE, || {
            (self.entered.load(Ordering::Relaxed) == count).then_some(())
        });
    }

    #[track_caller]
    fn wait_stopped(&self, count: u32) {
        eventually("the handler has stopped", PATIENCE, || {
            (self.stopped.load(Ordering::Relaxed) == count).then_some(())
        });
    }
}

/// Takes some frames; how long it stays with the next, `last` decides.
struct Stuck<F> {
    count: usize,
    last: F,
    counts: Arc<Counts>,
}

impl<F: Fn(&Session) + Send + 'static> Handler for Stuck<F> {
    fn process(&mut self, frame: Frame, session: &Session) -> Result<Output, HandlerError> {
        self.count += 1;
        if self.count == FRAMES + 1 {
            self.counts.entered.fetch_add(1, Ordering::Relaxed);
            (self.last)(session);
        }
        Ok(frame.into())
    }

    fn stop(&mut self) {
        self.counts.stopped.fetch_add(1, Ordering::Relaxed);
    }
}

fn stream(last: impl Fn(&Session) + Clone + Send + Sync + 'static) -> (Stream, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let shared = Arc::clone(&counts);
    let factory = move || Stuck { count: 0, last: last.clone(), counts: Arc::clone(&shared) };
    (Stream::builder(VideoStreamHandler::per_session(factory).skip_frames(true)).build(), counts)
}

fn stuck(cluster: &Cluster) -> f64 {
    cluster.metrics().sum("reframe_worker_stuck", &[])
}

#[test]
fn one_that_never_returns_is_reported_until_it_does() {
    let gate = Arc::new(Gate::default());
    let waiting = Arc::clone(&gate);
    let (stream, counts) = stream(move |_| waiting.pass());
    let cluster = Cluster::local([stream]);
    let mut peer = connect(&cluster, "stuck", Video::Live(Format::SMALL));
    counts.wait_entered(1);
    // Its last picture is shown again and again, and the server is well.
    peer.wait_until("the same picture for half a second", PATIENCE, |stats| {
        let last = stats.received.len().checked_sub(15).map(|start| &stats.received[start..])?;
        last.iter().all(|frame| frame.code == last[0].code).then_some(())
    });
    assert!(peer.stats().numbers().len() <= FRAMES, "{:?}", peer.stats().numbers());
    assert_eq!(stuck(&cluster), 0.0, "its session still runs");

    peer.close();
    let listed =
        || get(&cluster.admin("/api/sessions")).expect("an answer").json()["sessions"].clone();
    eventually("the session is over", CLOSED, || (listed() == json!([])).then_some(()));
    eventually("the handler is reported", PATIENCE, || (stuck(&cluster) == 1.0).then_some(()));
    assert_eq!(
        (counts.stopped.load(Ordering::Relaxed), cluster.sessions()),
        (0, 1.0),
        "its thread holds its slot"
    );
    // The others' slots are free, and so is its id.
    let mut next = connect(&cluster, "stuck", Video::Live(Format::SMALL));
    counts.wait_entered(2);
    gate.open();
    eventually("it has returned", PATIENCE, || (stuck(&cluster) == 0.0).then_some(()));
    let shown = next.stats().numbers().len();
    next.wait_until("more pictures", PATIENCE, |stats| {
        (stats.numbers().len() > shown + 5).then_some(())
    });
    next.close();
    assert_balanced(&cluster);
    counts.wait_stopped(2);
}

/// A handler that looks whether its session is over leaves within moments of it.
#[test]
fn one_that_asks_whether_it_is_over_leaves() {
    let (stream, counts) = stream(|session| {
        while !session.is_closed() {
            std::thread::park_timeout(Duration::from_millis(5));
        }
    });
    let cluster = Cluster::local([stream]);
    for round in 1..=2 {
        let mut peer = connect(&cluster, "endless", Video::Live(Format::SMALL));
        counts.wait_entered(round);
        if round == 1 {
            peer.close()
        } else {
            peer.vanish()
        }
        cluster.wait_for_sessions(0, PATIENCE);
        counts.wait_stopped(round);
    }
    assert_eq!(stuck(&cluster), 0.0);
    assert_balanced(&cluster);
}
