//! The admin port: for operators and their machines, never for browsers.

use std::net::IpAddr;
use std::sync::Arc;

use actix::Addr;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};

use crate::config::access::Admin;
use crate::gateway::{CloseSession, Gateway, ListSessions};
use crate::http::client_address::forwarded_client;
use crate::http::forward::Caller;
use crate::http::gate::require_operator;
use crate::http::{self, Forward, Gate, health};
use crate::media::session_id::{InvalidSessionId, SessionId};
use crate::stream::live_session::LiveSession;
use crate::stream::spec::Mode;
use crate::telemetry;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct AdminState {
    pub(crate) gateway: Addr<Gateway>,
    pub(crate) forward: Forward,
    /// Who may see and end sessions.
    pub(crate) admin: Admin,
    /// Requests come from other gateways.
    pub(crate) inside: bool,
    /// For the links to watch sessions.
    pub(crate) gate: Arc<Gate>,
    /// None when the embedding program records metrics itself.
    pub(crate) metrics: Option<PrometheusHandle>,
}

const TEXT: &str = "text/plain; charset=utf-8";

impl AdminState {
    fn client(&self, request: &HttpRequest) -> Option<IpAddr> {
        let direct = || Some(request.peer_addr()?.ip().to_canonical());
        if self.inside { forwarded_client(request) } else { direct() }
    }

    /// What the gateway answers that has the session. The operator's token does not go there: Redis
    /// names the address, which without certificates may be anybody's. An owner that wants it then
    /// refuses, and its 401 would tell the operator to show what was shown here already.
    async fn elsewhere(&self, request: &HttpRequest, id: &SessionId) -> HttpResponse {
        let caller = Caller { address: self.client(request), token: None };
        let answer = self.forward.or_unknown(request, id, caller, web::Bytes::new()).await;
        if !matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return answer;
        }
        let problem = "another gateway has this session, and takes no operator's request from this \
                       one: ask at the admin port of that gateway, or give all gateways \
                       certificates (--cluster-tls-cert)";
        http::failed(StatusCode::FORBIDDEN, "forbidden", Some(problem.to_owned()))
    }
}

impl AdminState {
    fn describe(&self, id: &SessionId, live: &LiveSession) -> Value {
        let shows = live.spec.mode != Mode::Send;
        json!({
            "id": id.as_str(),
            "digest": id.digest(),
            "stream": live.spec.name,
            "mode": live.spec.mode.label(),
            "worker": live.status.worker(),
            "state": live.status.state(),
            "age_seconds": live.status.since.elapsed().as_secs_f64(),
            "view": shows.then(|| self.gate.view(id, &live.owner.nonce, &live.spec.name)),
        })
    }
}

/// Adds every route.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(http::readable("/metrics", metrics))
        .configure(health::routes)
        .service(http::readable("/version", version))
        .service(http::readable("/api/sessions", sessions))
        .configure(one_session);
}

/// Adds what other gateways forward of it, for their port.
pub(crate) fn one_session(config: &mut web::ServiceConfig) {
    config.service(
        web::resource("/api/sessions/{id}")
            .route(web::get().to(session))
            .route(web::head().to(session))
            .route(web::delete().to(close))
            .default_service(web::to(|| async { http::not_allowed("GET, HEAD, DELETE") })),
    );
}

/// All sessions of this gateway, for its operator.
async fn sessions(shared: web::Data<AdminState>, request: HttpRequest) -> HttpResponse {
    if let Err(refused) = require_operator(&shared.admin, shared.client(&request), &request) {
        return *refused;
    }
    // An error means that the gateway has stopped.
    let listed = shared.gateway.send(ListSessions).await.unwrap_or_default();
    let described = |(id, session): (&SessionId, &Arc<LiveSession>)| shared.describe(id, session);
    let sessions: Vec<Value> = listed.iter().map(described).collect();
    HttpResponse::Ok().json(json!({ "sessions": sessions }))
}

/// A session of this gateway, or of another.
async fn session(
    shared: web::Data<AdminState>,
    request: HttpRequest,
    id: web::Path<String>,
) -> HttpResponse {
    if let Err(refused) = require_operator(&shared.admin, shared.client(&request), &request) {
        return *refused;
    }
    let id = match parse(&id) {
        Ok(id) => id,
        Err(error) => return http::invalid_request(error.to_string()),
    };
    let listed = shared.gateway.send(ListSessions).await.unwrap_or_default();
    match listed.get(&id) {
        Some(session) => HttpResponse::Ok().json(shared.describe(&id, session)),
        None => shared.elsewhere(&request, &id).await,
    }
}

/// Operators may also name a broadcast, as the list does.
fn parse(id: &str) -> Result<SessionId, InvalidSessionId> {
    match id.strip_prefix("broadcast/").or_else(|| id.strip_prefix("broadcast%2F")) {
        Some(stream) => Ok(SessionId::of_broadcast(stream)),
        None => SessionId::parse(id),
    }
}

async fn close(
    shared: web::Data<AdminState>,
    request: HttpRequest,
    id: web::Path<String>,
) -> HttpResponse {
    if let Err(refused) = require_operator(&shared.admin, shared.client(&request), &request) {
        return *refused;
    }
    let id = match parse(&id) {
        Ok(id) => id,
        Err(error) => return http::invalid_request(error.to_string()),
    };
    if shared.gateway.send(CloseSession(id.clone())).await.unwrap_or(false) {
        HttpResponse::Ok().json(json!({ "status": "ok" }))
    } else {
        shared.elsewhere(&request, &id).await
    }
}

async fn metrics(shared: web::Data<AdminState>) -> HttpResponse {
    match &shared.metrics {
        Some(handle) => HttpResponse::Ok()
            .content_type("text/plain; version=0.0.4")
            .body(telemetry::render(handle)),
        None => HttpResponse::NotFound()
            .content_type(TEXT)
            .body("this process records its metrics elsewhere\n"),
    }
}

async fn version() -> HttpResponse {
    HttpResponse::Ok()
        .json(json!({ "name": "reframe-gateway", "version": env!("CARGO_PKG_VERSION") }))
}
