//! The admin port: for operators and their machines, never for browsers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::{HttpResponse, web};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;

use crate::pool::Pool;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) pool: Pool,
    /// Set when the gateway begins to stop.
    pub(crate) draining: Arc<AtomicBool>,
    /// None when the embedding program records metrics itself.
    pub(crate) metrics: Option<PrometheusHandle>,
}

/// Adds every route.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/metrics", web::get().to(metrics))
        .route("/healthz", web::get().to(healthz))
        .route("/readyz", web::get().to(readyz))
        .route("/version", web::get().to(version));
}

async fn metrics(shared: web::Data<Shared>) -> HttpResponse {
    match &shared.metrics {
        Some(handle) => HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(handle.render()),
        None => HttpResponse::NotFound().body("this process records its metrics elsewhere\n"),
    }
}

/// The process is alive.
async fn healthz() -> HttpResponse {
    HttpResponse::Ok().body("ok\n")
}

/// A session could start now.
async fn readyz(shared: web::Data<Shared>) -> HttpResponse {
    if shared.draining.load(Ordering::Relaxed) {
        HttpResponse::ServiceUnavailable().body("stopping\n")
    } else if shared.pool.serving().is_empty() {
        HttpResponse::ServiceUnavailable().body("no worker serves\n")
    } else {
        HttpResponse::Ok().body("ready\n")
    }
}

async fn version() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "name": "reframe-gateway", "version": env!("CARGO_PKG_VERSION") }))
}
