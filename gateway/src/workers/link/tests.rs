//! The link actor between a camera and a worker with one credit, in virtual time.

use std::cell::RefCell;
use std::rc::Rc;

use metrics_exporter_prometheus::PrometheusBuilder;
use reframe_proto::v1;
use reframe_proto::v1::to_worker::Message;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep};

use super::*;
use crate::media::frame::Policy;
use crate::media::frame::testing::frame;
use crate::telemetry::ledger::Hop;

const CAMERA: Duration = Duration::from_millis(33);
/// Three seconds' worth.
const FRAMES: u64 = 91;

/// What reached the handler, each with its age and whether it was the newest; and how many nudges
/// were refused.
async fn simulate(handler_takes: Duration) -> (Vec<(u64, Duration, bool)>, u64) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let waiting = FrameQueue::new(Hop::Session, Policy::NewestWins);
    let (outbound, mut messages) = mpsc::channel(1);
    let window = Arc::new(CreditWindow::new());
    window.begin(1);
    let link = Link {
        waiting: Arc::clone(&waiting),
        outbound,
        exchange: None,
        window: Arc::clone(&window),
        sending: CancellationToken::new(),
    };
    let link = link.start();

    // When each frame was put into the queue.
    let pushed = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&pushed);
    let worker = spawn_local(async move {
        let mut started = Vec::new();
        while let Some(message) = messages.recv().await {
            let Some(Message::Frame(v1::Frame { seq, .. })) = message.message else {
                panic!("{message:?} is no frame");
            };
            let since: Instant = seen.borrow()[usize::try_from(seq).unwrap()];
            let newest = seq + 1 == seen.borrow().len() as u64;
            started.push((seq, since.elapsed(), newest));
            sleep(handler_takes).await;
            window.arrive().unwrap();
            window.give_back();
        }
        started
    });
    for seq in 0..FRAMES {
        let now = Instant::now();
        pushed.borrow_mut().push(now);
        waiting.push(now, frame(seq)).unwrap();
        nudge(&link);
        sleep(CAMERA).await;
    }
    // With its address the link goes, and with the link the worker's messages.
    drop(link);
    let started = worker.await.unwrap();
    let refused = recorder.handle().render().lines().find_map(|line| {
        let count = line.strip_prefix("reframe_mailbox_full_total{actor=\"link\"} ")?;
        count.parse().ok()
    });
    (started, refused.unwrap_or(0))
}

// Paused from the start: the timer counts whole milliseconds from there.
#[tokio::test(start_paused = true)]
async fn a_worker_that_is_behind_fills_the_mailbox_and_starts_on_the_newest_frame() {
    let simulated = simulate(Duration::from_millis(200));
    let (started, refused) = LocalSet::new().run_until(simulated).await;
    assert_eq!(started.len(), 16, "three seconds at 200 ms, and the first");
    for (seq, age, newest) in started {
        assert!(newest && age < CAMERA, "frame {seq} was {age:?} old");
    }
    // The link was busy with the first from the start, and the second waited.
    assert_eq!(refused, FRAMES - 2);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_keeps_up_is_given_each_frame_at_once() {
    let simulated = simulate(Duration::from_millis(20));
    let (started, refused) = LocalSet::new().run_until(simulated).await;
    let each: Vec<_> = (0..FRAMES).map(|seq| (seq, Duration::ZERO, true)).collect();
    assert_eq!((started, refused), (each, 0));
}
