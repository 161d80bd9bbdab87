//! `/healthz` and `/readyz`: for orchestrators on the admin port, for load balancers on the public
//! one.
//!
//! Neither sends a message to another thread, so both answer while all other threads are stuck.
//! They need no access token, and come before the streams' routes: a stream that is named so has
//! its page at `/healthz/`, with the slash.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::{HttpResponse, web};
use reframe_trace::watchdog::{Stuck, Watchdog};

use super::readable;

/// The state that probes report.
#[derive(Clone)]
pub(crate) struct Probed {
    /// Set when the gateway begins to stop.
    pub(crate) draining: Arc<AtomicBool>,
    pub(crate) watchdog: Watchdog,
    /// Whether answers name the threads that are stuck: that is nothing for strangers.
    pub(crate) names_threads: bool,
}

const TEXT: &str = "text/plain; charset=utf-8";

/// Adds both. The port's app data must have a [`Probed`].
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(readable("/healthz", healthz)).service(readable("/readyz", readyz));
}

async fn healthz(probed: web::Data<Probed>) -> HttpResponse {
    probed.healthz()
}

async fn readyz(probed: web::Data<Probed>) -> HttpResponse {
    probed.readyz()
}

impl Probed {
    /// Healthy: no thread has been silent for so long that only a restart helps.
    fn healthz(&self) -> HttpResponse {
        let unhealthy: Vec<_> =
            self.watchdog.stuck().into_iter().filter(Stuck::is_unhealthy).collect();
        if unhealthy.is_empty() { well("ok\n") } else { unwell(self.told(&unhealthy)) }
    }

    /// Ready for new sessions: not stopping, and no thread is stuck. Ready even without a worker,
    /// because the page then loads, says so and waits. If gateways without a worker were not ready,
    /// the load balancer would have nowhere to send even the page.
    fn readyz(&self) -> HttpResponse {
        let stuck = self.watchdog.stuck();
        if self.draining.load(Ordering::Relaxed) {
            unwell("stopping\n".to_owned())
        } else if stuck.is_empty() {
            well("ready\n")
        } else {
            unwell(self.told(&stuck))
        }
    }

    fn told(&self, stuck: &[Stuck]) -> String {
        if !self.names_threads {
            return "stuck\n".to_owned();
        }
        let line =
            |stuck: &Stuck| format!("stuck for {} s: {}\n", stuck.silent.as_secs(), stuck.thread);
        stuck.iter().map(line).collect()
    }
}

fn well(text: &'static str) -> HttpResponse {
    HttpResponse::Ok().content_type(TEXT).body(text)
}

fn unwell(text: String) -> HttpResponse {
    HttpResponse::ServiceUnavailable().content_type(TEXT).body(text)
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
