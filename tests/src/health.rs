//! `grpc.health.v1`, as an orchestrator asks a worker, and what a gateway tells it of itself.

use std::time::Duration;

use reframe_proto::READINESS_SERVICE;
use reframe_proto::v1::DescribeRequest;
use reframe_proto::v1::frame_worker_client::FrameWorkerClient;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// For one answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Whether the worker at `url` says that `service` serves; `None`: it does not answer.
///
/// # Panics
/// When `url` is none.
#[must_use]
pub fn serves(url: &str, service: &str) -> Option<bool> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = ask(url, async |channel| HealthClient::new(channel).check(request).await)?;
    Some(answer.into_inner().status() == ServingStatus::Serving)
}

/// Whether the worker at `url` is ready, as Kubernetes asks it.
#[must_use]
pub fn is_ready(url: &str) -> Option<bool> {
    serves(url, READINESS_SERVICE)
}

/// Tells the worker at `url` what a gateway thinks of it.
///
/// # Panics
/// When `url` is none, or the worker does not answer.
pub fn tell(url: &str, verdict: DescribeRequest) {
    let answer = ask(url, async |channel| FrameWorkerClient::new(channel).describe(verdict).await);
    answer.expect("the worker answers");
}

fn ask<T>(url: &str, question: impl AsyncFnOnce(Channel) -> Result<T, tonic::Status>) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let endpoint = Endpoint::from_shared(url.to_owned()).expect("a URL").timeout(TIMEOUT);
    runtime.expect("a runtime").block_on(async {
        let channel = endpoint.connect_timeout(TIMEOUT).connect().await.ok()?;
        question(channel).await.ok()
    })
}
