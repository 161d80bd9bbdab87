//! How a worker leaves: its sessions go on until their gateways have moved them.

use std::sync::mpsc::{self as blocking, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reframe_proto::v1::from_worker::Message;
use reframe_proto::v1::{ToWorker, to_worker};
use reframe_worker::{
    Frame, Handler, HandlerError, Output, Server, Session as Handled, Stream, VideoStreamHandler,
};
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::client::{PATIENCE, Session, Worker, grey, soon};

/// Far beyond what any of these tests takes: an end that comes is one that was not waited for.
const LONG: Duration = Duration::from_secs(3600);

fn draining(capacity: u32, grace: Duration) -> Worker {
    let flip = Stream::builder(VideoStreamHandler::new(Frame::flip_vertical)).build();
    Worker::start_with(Server::new(flip, capacity).grace(grace))
}

async fn watch(channel: Channel) -> Streaming<HealthCheckResponse> {
    let watch = HealthClient::new(channel).watch(HealthCheckRequest::default()).await;
    watch.unwrap().into_inner()
}

async fn next(watch: &mut Streaming<HealthCheckResponse>) -> Option<ServingStatus> {
    soon(watch.message()).await.unwrap().map(|said| said.status())
}

#[tokio::test]
async fn sessions_go_on_while_the_worker_drains_and_it_ends_with_the_last() {
    let worker = draining(3, LONG);
    let client = worker.client().await;
    let mut health = watch(worker.connect().await).await;
    assert_eq!(next(&mut health).await, Some(ServingStatus::Serving));
    let (mut one, mut other) =
        (Session::open(&client).await.unwrap(), Session::open(&client).await.unwrap());

    worker.shutdown.cancel();
    assert_eq!(next(&mut health).await, Some(ServingStatus::NotServing));
    // There is a slot, but not for long. A gateway that connects only now is told the same.
    for client in [client, worker.client().await] {
        let refused = Session::open(&client)
            .await
            .err()
            .map(|status| (status.code(), status.message().to_owned()));
        assert_eq!(refused, Some((Code::Unavailable, "this worker is shutting down".to_owned())));
    }
    assert_eq!(
        next(&mut watch(worker.connect().await).await).await,
        Some(ServingStatus::NotServing)
    );

    for seq in 0..20 {
        one.process(seq).await.unwrap();
        other.process(seq).await.unwrap();
    }
    assert_eq!(one.close().await, []);
    other.process(20).await.unwrap();
    assert!(!worker.served.is_finished());
    assert_eq!(other.close().await, []);
    soon(worker.served).await.unwrap().unwrap();
    assert_eq!(next(&mut health).await, None);
}

#[tokio::test]
async fn a_worker_without_sessions_ends_at_once() {
    let worker = draining(1, LONG);
    let mut health = watch(worker.connect().await).await;
    assert_eq!(next(&mut health).await, Some(ServingStatus::Serving));
    worker.shutdown.cancel();
    assert_eq!(next(&mut health).await, Some(ServingStatus::NotServing));
    assert_eq!(next(&mut health).await, None);
    soon(worker.served).await.unwrap().unwrap();
}

#[tokio::test]
async fn sessions_that_nobody_moved_are_ended_when_the_grace_is_over() {
    let worker = draining(1, PATIENCE / 2);
    let mut session = Session::open(&worker.client().await).await.unwrap();
    session.process(0).await.unwrap();
    // From here on in virtual time: the handler, whose thread is real, has nothing to do.
    tokio::time::pause();
    let begun = Instant::now();
    worker.shutdown.cancel();
    let status = session.status().await;
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "this worker is shutting down")
    );
    assert_eq!(begun.elapsed().as_secs(), PATIENCE.as_secs() / 2);
    soon(worker.served).await.unwrap().unwrap();
}

/// Says something, then waits in `start` until the test lets it go on.
struct Slow(Arc<Mutex<Receiver<()>>>);

impl Handler for Slow {
    fn start(&mut self, session: &Handled) -> Result<(), HandlerError> {
        session.log("loading the model");
        self.0.lock().map_err(|_| "poisoned")?.recv_timeout(PATIENCE).map_err(Into::into)
    }

    fn process(&mut self, frame: Frame, _: &Handled) -> Result<Output, HandlerError> {
        Ok(frame.into())
    }
}

fn slow() -> (Stream, blocking::Sender<()>) {
    let (release, gate) = blocking::channel();
    let gate = Arc::new(Mutex::new(gate));
    (
        Stream::builder(VideoStreamHandler::per_session(move || Slow(Arc::clone(&gate)))).build(),
        release,
    )
}

#[tokio::test]
async fn a_session_opens_when_its_handler_is_ready() {
    let (stream, release) = slow();
    let worker = Worker::start(stream, 1);
    let mut session = Session::begin(&worker.client().await).await.unwrap();
    assert!(matches!(session.next().await, Ok(Some(Message::Notice(_)))));
    release.send(()).unwrap();
    assert!(matches!(session.next().await, Ok(Some(Message::Opened(_)))));
    session.process(0).await.unwrap();
}

#[tokio::test]
async fn a_frame_before_opened_has_no_credit() {
    let (stream, release) = slow();
    let worker = Worker::start(stream, 1);
    let mut session = Session::begin(&worker.client().await).await.unwrap();
    session.send_raw(ToWorker { message: Some(to_worker::Message::Frame(grey(0, 2, 2))) }).await;
    let status = session.status().await;
    assert_eq!(
        (status.code(), status.message()),
        (Code::FailedPrecondition, "frame 0 came without a credit")
    );
    release.send(()).unwrap();
}
