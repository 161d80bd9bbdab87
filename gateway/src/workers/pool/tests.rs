//! A pool and workers of no more than a declaration and a health, over real HTTP/2 in memory and in
//! virtual time.

use std::pin::Pin;
use std::time::Duration;

use reframe_proto::PROTOCOL_VERSION;
use reframe_proto::location::Location;
use reframe_proto::v1::frame_worker_server::{FrameWorker, FrameWorkerServer};
use reframe_proto::v1::{DescribeRequest, FromWorker, StreamSpec, ToWorker};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::*;

/// Virtual, so nothing of a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Fake {
    spec: watched::Receiver<StreamSpec>,
    said: watched::Sender<DescribeRequest>,
}

#[tonic::async_trait]
impl FrameWorker for Fake {
    async fn describe(
        &self,
        request: Request<DescribeRequest>,
    ) -> Result<Response<StreamSpec>, Status> {
        self.said.send_replace(request.into_inner());
        Ok(Response::new(self.spec.borrow().clone()))
    }

    type SessionStream =
        Pin<Box<dyn tokio_stream::Stream<Item = Result<FromWorker, Status>> + Send>>;

    async fn session(
        &self,
        _: Request<Streaming<ToWorker>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        Err(Status::unimplemented("no test opens one"))
    }
}

/// A worker, as its test has it.
struct Worker {
    spec: watched::Sender<StreamSpec>,
    /// What the gateway told it last.
    said: watched::Sender<DescribeRequest>,
    health: HealthReporter,
    address: WorkerAddress,
}

impl Worker {
    fn start(name: &str, title: &str) -> Self {
        let wire = crate::stream::spec::testing::wire("flip", 1);
        let spec =
            watched::Sender::new(StreamSpec { instance: name.into(), title: title.into(), ..wire });
        let (health, health_service) = tonic_health::server::health_reporter();
        let (connect, connections) = mpsc::channel(4);
        let said = watched::Sender::default();
        let fake = FrameWorkerServer::new(Fake { spec: spec.subscribe(), said: said.clone() });
        let server =
            tonic::transport::Server::builder().add_service(health_service).add_service(fake);
        let incoming = ReceiverStream::new(connections).map(Ok::<DuplexStream, std::io::Error>);
        tokio::spawn(server.serve_with_incoming(incoming));
        Self {
            spec,
            said,
            health,
            address: WorkerAddress::InProcess { name: name.into(), connect },
        }
    }

    /// Waits until the gateway has told it this.
    async fn hears(&self, expected: impl FnMut(&DescribeRequest) -> bool) {
        let mut said = self.said.subscribe();
        let heard = timeout(PATIENCE, said.wait_for(expected)).await.map(|heard| heard.is_ok());
        assert_eq!(heard, Ok(true), "{:?}", *self.said.borrow());
    }

    async fn says(&self, status: ServingStatus) {
        self.health.set_service_status("", status).await;
    }
}

/// Waits until those serve, and no other.
async fn serve(pool: &Pool, expected: &[&str]) {
    let mut changes = pool.changes();
    let serving = || pool.serving().into_iter().map(|worker| worker.name).collect::<Vec<_>>();
    let wait = async {
        while serving() != expected {
            changes.changed().await.unwrap();
        }
    };
    assert!(timeout(PATIENCE, wait).await.is_ok(), "{:?}, not {expected:?}", serving());
}

#[tokio::test(start_paused = true)]
async fn workers_are_drained_and_readmitted_by_what_they_answer() {
    let (one, other) = (Worker::start("one", ""), Worker::start("other", ""));
    let pool =
        Pool::start(vec![one.address.clone(), other.address.clone()], None, Location::default());
    serve(&pool, &["one", "other"]).await;
    let mut health = pool.serving()[0].health.clone();
    assert_eq!(*health.borrow_and_update(), Health::Serving);

    one.says(ServingStatus::NotServing).await;
    serve(&pool, &["other"]).await;
    // Its sessions are told.
    assert_eq!(*health.borrow_and_update(), Health::Draining);
    one.says(ServingStatus::Serving).await;
    serve(&pool, &["one", "other"]).await;
    assert_eq!(*health.borrow_and_update(), Health::Serving);
}

#[tokio::test(start_paused = true)]
async fn two_declarations_are_served_side_by_side_and_the_newer_comes_first() {
    let (old, new) = (Worker::start("old", "the old title"), Worker::start("new", "the new title"));
    old.spec.send_modify(|spec| (spec.started_unix_ms, spec.concurrency_limit) = (1, 9));
    new.spec.send_modify(|spec| (spec.started_unix_ms, spec.concurrency_limit) = (2, 3));
    new.says(ServingStatus::NotServing).await;
    let pool =
        Pool::start(vec![old.address.clone(), new.address.clone()], None, Location::default());
    serve(&pool, &["old"]).await;
    assert_eq!(pool.serving()[0].limit, Some(9));
    new.says(ServingStatus::Serving).await;
    serve(&pool, &["new", "old"]).await;
    assert_eq!(pool.stream(Some("flip")).unwrap().title, "the new title");
    let limits = || pool.serving().iter().map(|worker| worker.limit).max();
    assert_eq!(limits(), Some(Some(3)), "what the newest declares is the stream's");
    for worker in [&old, &new] {
        worker.hears(|said| said.accepted).await;
    }
    new.says(ServingStatus::NotServing).await;
    serve(&pool, &["old"]).await;
    assert_eq!(pool.stream(None).unwrap().title, "the old title");
}

/// A clock that is wrong makes no generation the newest for ever; one that is a little ahead does
/// so when its time has come.
#[tokio::test(start_paused = true)]
async fn a_start_that_is_still_to_come_counts_as_unknown() {
    let (old, new) = (Worker::start("old", "the old title"), Worker::start("new", "the new title"));
    old.spec.send_modify(|spec| spec.started_unix_ms = 1);
    new.spec.send_modify(|spec| spec.started_unix_ms = u64::MAX);
    let pool =
        Pool::start(vec![new.address.clone(), old.address.clone()], None, Location::default());
    serve(&pool, &["old", "new"]).await;
    new.spec.send_modify(|spec| spec.started_unix_ms = 2);
    serve(&pool, &["new", "old"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_told_why_it_is_not_used_and_that_it_is() {
    let workers: Vec<_> = (1..=GENERATIONS as u64 + 1)
        .map(|n| {
            let worker = Worker::start(&n.to_string(), &n.to_string());
            worker.spec.send_modify(|spec| spec.started_unix_ms = n);
            worker
        })
        .collect();
    let addresses = workers.iter().map(|worker| worker.address.clone()).collect();
    let _pool = Pool::start(addresses, None, Location::default());
    let last = workers.last().unwrap();
    last.hears(|said| said.refused.contains("4 older declarations") && !said.accepted).await;
    workers[0].hears(|said| said.accepted && said.refused.is_empty()).await;
    workers[0].says(ServingStatus::NotServing).await;
    last.hears(|said| said.accepted).await;
}

#[tokio::test(start_paused = true)]
async fn another_protocol_or_a_bad_declaration_is_refused_and_asked_again() {
    let worker = Worker::start("worker", "");
    let change = |change: fn(&mut StreamSpec)| worker.spec.send_modify(change);
    change(|spec| spec.protocol_version = PROTOCOL_VERSION + 1);
    let pool = Pool::start(vec![worker.address.clone()], None, Location::default());
    worker.hears(|said| said.refused.contains("protocol version")).await;
    sleep(PATIENCE).await;
    assert!(pool.serving().is_empty() && pool.streams().is_empty());
    change(|spec| (spec.protocol_version, spec.fps) = (PROTOCOL_VERSION, 0.0));
    sleep(PATIENCE).await;
    assert!(pool.serving().is_empty() && pool.streams().is_empty());
    worker.hears(|said| said.refused.contains("frame rate")).await;
    change(|spec| spec.fps = 30.0);
    serve(&pool, &["worker"]).await;
    worker.hears(|said| said.accepted).await;
}

/// Of each worker that ever was: as many as an autoscaler likes.
#[tokio::test(start_paused = true)]
async fn a_worker_that_vanished_is_forgotten_and_so_are_its_series() {
    let pool = Pool::start(Vec::new(), None, Location::default());
    let name = |n: u32| format!("http://127.0.0.1:{n}");
    for n in 1..=20 {
        pool.shared.list(0, "vanishing", &BTreeSet::from([name(n)]));
        assert!(
            telemetry::worker_series()
                .contains(&format!("reframe_worker_up{{worker=\"{}\"}} 0", name(n)))
        );
        sleep(PATIENCE).await;
    }
    let text = telemetry::worker_series();
    let of_ours: Vec<_> = text
        .lines()
        .filter(|line| (1..=20).any(|n| line.contains(&format!("{}\"", name(n)))))
        .collect();
    assert_eq!(of_ours, [format!("reframe_worker_up{{worker=\"{}\"}} 0", name(20))]);
    assert_eq!(pool.shared.state().lines.len(), 1);
}
