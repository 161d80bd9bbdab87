//! The admin port: for operators and their machines, never for browsers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::Addr;
use actix_web::{HttpResponse, web};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};

use crate::controls::Controls;
use crate::pool::Pool;
use crate::session::{Close, Gateway, List};

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) gateway: Addr<Gateway>,
    pub(crate) pool: Pool,
    /// Set when the gateway begins to stop.
    pub(crate) draining: Arc<AtomicBool>,
    /// None when the embedding program records metrics itself.
    pub(crate) metrics: Option<PrometheusHandle>,
}

const TEXT: &str = "text/plain; charset=utf-8";

/// Adds every route.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/metrics", web::get().to(metrics))
        .route("/healthz", web::get().to(healthz))
        .route("/readyz", web::get().to(readyz))
        .route("/version", web::get().to(version))
        .route("/api/sessions", web::get().to(sessions))
        .route("/api/sessions/{id}", web::get().to(session))
        .route("/api/sessions/{id}", web::delete().to(close));
}

/// All sessions. Here and not on the public port, which has no authentication: whoever knows an id can end its session.
async fn sessions(shared: web::Data<Shared>) -> HttpResponse {
    // An error is a gateway that has stopped.
    let listed = shared.gateway.send(List).await.unwrap_or_default();
    let sessions: Vec<Value> = listed.iter().map(|(id, session)| describe(id, session)).collect();
    HttpResponse::Ok().json(json!({ "sessions": sessions }))
}

async fn session(shared: web::Data<Shared>, id: web::Path<String>) -> HttpResponse {
    let listed = shared.gateway.send(List).await.unwrap_or_default();
    listed.get(&*id).map_or_else(unknown, |session| HttpResponse::Ok().json(describe(&id, session)))
}

async fn close(shared: web::Data<Shared>, id: web::Path<String>) -> HttpResponse {
    if shared.gateway.send(Close(id.into_inner())).await.unwrap_or(false) {
        HttpResponse::Ok().json(json!({ "status": "ok" }))
    } else {
        unknown()
    }
}

fn describe(id: &str, controls: &Controls) -> Value {
    json!({
        "id": id,
        "stream": controls.spec.name,
        "mode": controls.spec.mode.label(),
        "worker": controls.worker(),
        "state": controls.state(),
        "age_seconds": controls.since.elapsed().as_secs_f64(),
    })
}

fn unknown() -> HttpResponse {
    HttpResponse::NotFound().json(json!({ "status": "failed", "meta": { "error": "unknown_connection" } }))
}

async fn metrics(shared: web::Data<Shared>) -> HttpResponse {
    match &shared.metrics {
        Some(handle) => HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(handle.render()),
        None => HttpResponse::NotFound().content_type(TEXT).body("this process records its metrics elsewhere\n"),
    }
}

/// The process is alive.
async fn healthz() -> HttpResponse {
    HttpResponse::Ok().content_type(TEXT).body("ok\n")
}

/// A session could start now.
async fn readyz(shared: web::Data<Shared>) -> HttpResponse {
    if shared.draining.load(Ordering::Relaxed) {
        HttpResponse::ServiceUnavailable().content_type(TEXT).body("stopping\n")
    } else if shared.pool.serving().is_empty() {
        HttpResponse::ServiceUnavailable().content_type(TEXT).body("no worker serves\n")
    } else {
        HttpResponse::Ok().content_type(TEXT).body("ready\n")
    }
}

async fn version() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "name": "reframe-gateway", "version": env!("CARGO_PKG_VERSION") }))
}
