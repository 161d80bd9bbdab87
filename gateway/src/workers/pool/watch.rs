//! One worker, watched: asked what it declares, then for its health until that ends; and once more.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reframe_proto::v1::DescribeRequest;
use reframe_proto::v1::frame_worker_client::FrameWorkerClient;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tracing::{info, warn};

use super::{Health, PoolState, refusal};
use crate::stream::spec::{Spec, SpecError};
use crate::telemetry;

/// Between two attempts to reach a worker that does not answer.
pub(super) const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// For `Describe` and the answer to the watch: they do no work, so a worker that takes longer is in
/// trouble.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two questions for the capacity of a worker that serves. Until then a session may be sent
/// to a worker that has no room any more, which costs another attempt.
const CAPACITY_INTERVAL: Duration = Duration::from_secs(5);

/// Runs until the worker has vanished from the configuration and is away.
pub(super) async fn keep_watch(
    shared: PoolState,
    name: String,
    channel: Channel,
    health: watch::Sender<Health>,
) {
    let mut logged = None;
    let worker = Watch { shared, name, health };
    // What it is told when it is asked next.
    let mut verdict = DescribeRequest::default();
    loop {
        let Err(ended) = worker.once(&channel, verdict, &mut logged).await;
        verdict = match &ended {
            Unavailable::Spec(refused) => refusal(&refused.to_string()),
            _ => DescribeRequest::default(),
        };
        worker.report(Health::Away);
        if worker.shared.forget(&worker.name) {
            return;
        }
        // One line and count per change, not one per attempt.
        let why = ended.to_string();
        if logged.as_ref() != Some(&why) {
            if let Unavailable::Spec(refused) = &ended {
                telemetry::worker_refused(reason(refused));
            }
            warn!(worker = %worker.name, error = %why, "worker not available; retrying every \
                second");
            logged = Some(why);
        }
        sleep(RETRY_INTERVAL).await;
    }
}

struct Watch {
    shared: PoolState,
    name: String,
    /// For its sessions.
    health: watch::Sender<Health>,
}

/// Why a worker cannot be used.
#[derive(Debug, thiserror::Error)]
enum Unavailable {
    #[error("no worker answers there: {0}")]
    Rpc(String),
    #[error("no worker answers there within {DESCRIBE_TIMEOUT:?}")]
    Timeout,
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error("it stopped reporting its health")]
    Silent,
}

impl Watch {
    /// Ends with the connection.
    async fn once(
        &self,
        channel: &Channel,
        verdict: DescribeRequest,
        logged: &mut Option<String>,
    ) -> Result<Infallible, Unavailable> {
        let introduced = timeout(DESCRIBE_TIMEOUT, introduce(channel, verdict)).await;
        let (spec, mut reports) = introduced.map_err(|_| Unavailable::Timeout)??;
        info!(worker = %self.name, stream = %spec.name, capacity = spec.capacity, "worker declares");
        *logged = None;
        self.shared.declare(&self.name, Arc::clone(&spec));
        tokio::select! {
            ended = self.follow(&mut reports) => ended,
            never = self.keep_asking(channel, spec) => match never {},
        }
    }

    /// What the worker says of its health, until it says no more.
    async fn follow(
        &self,
        reports: &mut Streaming<HealthCheckResponse>,
    ) -> Result<Infallible, Unavailable> {
        while let Some(said) = reports.message().await? {
            let serves = said.status() == ServingStatus::Serving;
            self.report(if serves { Health::Serving } else { Health::Draining });
        }
        Err(Unavailable::Silent)
    }

    /// Asks from time to time for its capacity, which may follow what its handler can do, and tells
    /// it at once when it is used, or is not any more. No answer means nothing: the watch of its
    /// health is what notices.
    async fn keep_asking(&self, channel: &Channel, mut known: Arc<Spec>) -> Infallible {
        let mut changes = self.shared.changes.subscribe();
        let mut told = DescribeRequest::default();
        loop {
            let news = changes.wait_for(|()| self.shared.verdict(&self.name) != told);
            drop(timeout(CAPACITY_INTERVAL, news).await);
            told = self.shared.verdict(&self.name);
            let asked = timeout(DESCRIBE_TIMEOUT, describe(channel, told.clone())).await;
            let Ok(Ok(spec)) = asked else { continue };
            // Another process would have ended the connection.
            let (capacity, started) = (spec.capacity, spec.started);
            let changed = capacity != known.capacity || (known.started == 0 && started > 0);
            if spec.instance == known.instance && changed {
                info!(worker = %self.name, capacity, "worker declares");
                known = Arc::new(Spec { capacity, started, ..(*known).clone() });
                self.shared.declare(&self.name, Arc::clone(&known));
            }
        }
    }

    fn report(&self, now: Health) {
        if self.health.send_replace(now) == now {
            return;
        }
        if now != Health::Away {
            info!(worker = %self.name, health = ?now, "worker");
        }
        self.shared.report(&self.name, now);
    }
}

/// What the worker declares, and its health from now on.
async fn introduce(
    channel: &Channel,
    verdict: DescribeRequest,
) -> Result<(Arc<Spec>, Streaming<HealthCheckResponse>), Unavailable> {
    let spec = describe(channel, verdict).await?;
    let request = HealthCheckRequest { service: String::new() };
    let reports = HealthClient::new(channel.clone()).watch(request).await?.into_inner();
    Ok((Arc::new(spec), reports))
}

/// `verdict`: what it is told of itself.
async fn describe(channel: &Channel, verdict: DescribeRequest) -> Result<Spec, Unavailable> {
    let mut client = FrameWorkerClient::new(channel.clone());
    let mut spec = Spec::from_wire(client.describe(verdict).await?.into_inner())?;
    // A clock that is ahead must not make a generation the newest until that time comes. So it is
    // the oldest until then: it takes no new sessions while others have room, and loses none.
    if spec.started > unix_ms() {
        spec.started = 0;
    }
    Ok(spec)
}

#[expect(clippy::disallowed_methods, reason = "workers' starts are times of the wall clock")]
fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// The value of the metric's label.
fn reason(refused: &SpecError) -> &'static str {
    match refused {
        SpecError::Version(_) => "version",
        SpecError::Declaration(_) | SpecError::Component { .. } => "declaration",
    }
}

impl From<Status> for Unavailable {
    /// With all causes: that a port speaks TLS, or HTTP without gRPC, is said by the last.
    fn from(status: Status) -> Self {
        let mut text = format!("{:?}: {}", status.code(), status.message());
        let mut cause = status.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        Self::Rpc(text)
    }
}
