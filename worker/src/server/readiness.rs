//! Whether a worker is ready, as `grpc.health.v1` says it for [`READINESS_SERVICE`]: it serves, and
//! gateways use it. A rollout goes on only when the new worker is ready, so one that gateways
//! refuse does not replace those that they use.
//!
//! > A worker is not ready while a gateway has refused it lately and none has accepted it lately.
//!
//! So it is ready before the first gateway has asked. During an upgrade of the gateways, some of
//! which refuse it, one that accepts it is enough. Gateways repeat what they say, and what was not
//! repeated for [`KEPT`] counts no more: a peer that is no gateway and says that it refuses this
//! worker is outvoted by any gateway that uses it, and forgotten when it stops.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use reframe_proto::v1::DescribeRequest;
use reframe_proto::{MAX_REFUSED_BYTES, READINESS_SERVICE};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// Gateways ask every 5 s, or every second where they refuse a worker's answer.
const KEPT: Duration = Duration::from_secs(20);

/// What gateways have said. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readiness(Arc<watch::Sender<Verdicts>>);

#[derive(Debug, Default)]
struct Verdicts {
    refused: Option<(Instant, String)>,
    accepted: Option<Instant>,
}

impl Verdicts {
    fn hear(&mut self, now: Instant, DescribeRequest { refused, accepted }: DescribeRequest) {
        if !refused.is_empty() {
            let end = refused.floor_char_boundary(MAX_REFUSED_BYTES);
            self.refused = Some((now, refused[..end].to_owned()));
        } else if accepted {
            self.accepted = Some(now);
        }
    }

    /// Why it is not ready.
    fn problem(&self, now: Instant) -> Option<&str> {
        let lately = |at: Instant| now < at + KEPT;
        let (at, why) = self.refused.as_ref()?;
        (lately(*at) && !self.accepted.is_some_and(lately)).then_some(why)
    }

    /// The next time at which that may change without a word.
    fn due(&self, now: Instant) -> Option<Instant> {
        let said = self.refused.iter().map(|(at, _)| *at).chain(self.accepted);
        said.map(|at| at + KEPT).filter(|due| *due > now).min()
    }
}

impl Readiness {
    pub(crate) fn hear(&self, said: DescribeRequest) {
        self.0.send_modify(|verdicts| verdicts.hear(Instant::now(), said));
    }

    /// Keeps the status up to date; `serves` is that of the worker itself.
    pub(crate) async fn keep(
        &self,
        mut serves: watch::Receiver<ServingStatus>,
        health: HealthReporter,
    ) -> Infallible {
        let mut verdicts = self.0.subscribe();
        let mut told = None;
        loop {
            let now = Instant::now();
            let (problem, due) = {
                let verdicts = verdicts.borrow_and_update();
                (verdicts.problem(now).map(str::to_owned), verdicts.due(now))
            };
            match (&told, &problem) {
                (None, Some(reason)) => {
                    tracing::warn!(reason, "not ready: gateways do not use this worker");
                }
                (Some(_), None) => {
                    tracing::info!("ready: a gateway uses this worker, or none refuses it any more")
                }
                _ => {}
            }
            let serving = *serves.borrow_and_update();
            let status = if problem.is_some() { ServingStatus::NotServing } else { serving };
            health.set_service_status(READINESS_SERVICE, status).await;
            told = problem;
            let expired = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            // The senders live as long as the server.
            tokio::select! {
                _ = verdicts.changed() => {}
                _ = serves.changed() => {}
                () = expired => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses(why: &str) -> DescribeRequest {
        DescribeRequest { refused: why.into(), accepted: false }
    }

    fn accepts() -> DescribeRequest {
        DescribeRequest { refused: String::new(), accepted: true }
    }

    #[tokio::test(start_paused = true)]
    async fn one_gateway_that_accepts_outvotes_those_that_refuse() {
        let (mut verdicts, start) = (Verdicts::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(verdicts.problem(start), None, "before any gateway");
        verdicts.hear(start, DescribeRequest::default());
        assert_eq!((verdicts.problem(start), verdicts.due(start)), (None, None), "the first time");
        verdicts.hear(start, refuses("version"));
        assert_eq!(verdicts.problem(start), Some("version"));
        verdicts.hear(after(5), accepts());
        assert_eq!(verdicts.problem(after(5)), None);
        // The one that accepted is gone, and the other goes on.
        verdicts.hear(after(15), refuses("version"));
        assert_eq!(verdicts.problem(after(24)), None);
        assert_eq!(verdicts.due(after(24)), Some(after(25)));
        assert_eq!(verdicts.problem(after(25)), Some("version"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_repeated_is_forgotten_and_a_long_text_is_cut() {
        let (mut verdicts, start) = (Verdicts::default(), Instant::now());
        verdicts.hear(start, refuses(&"ä".repeat(10_000)));
        assert_eq!(verdicts.problem(start).map(str::len), Some(MAX_REFUSED_BYTES));
        assert_eq!(verdicts.problem(start + KEPT), None);
        assert_eq!(verdicts.due(start + KEPT), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_status_follows_the_worker_and_what_gateways_say() {
        use tonic_health::pb::HealthCheckRequest;
        use tonic_health::pb::health_server::Health;

        let (health, _) = tonic_health::server::health_reporter();
        let service = tonic_health::server::HealthService::from_health_reporter(health.clone());
        let serves = watch::Sender::new(ServingStatus::Serving);
        let readiness = Readiness::default();
        let keeping = readiness.clone();
        let receiver = serves.subscribe();
        let kept = tokio::spawn(async move { keeping.keep(receiver, health).await });
        let status = || async {
            // Virtual time: the task has its turn before this is over.
            tokio::time::sleep(Duration::from_millis(1)).await;
            let request = HealthCheckRequest { service: READINESS_SERVICE.into() };
            let answer = service.check(tonic::Request::new(request)).await;
            answer.expect("it is known").into_inner().status
        };
        let (ready, unready) = (1, 2);
        assert_eq!(status().await, ready);
        readiness.hear(refuses("version"));
        assert_eq!(status().await, unready);
        tokio::time::sleep(KEPT).await;
        assert_eq!(status().await, ready);
        serves.send_replace(ServingStatus::NotServing);
        assert_eq!(status().await, unready);
        kept.abort();
    }
}
