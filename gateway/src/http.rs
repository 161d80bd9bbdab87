//! Signalling and the page: FastRTC's wire, so that its front-ends work unchanged.
//!
//! What that contract calls a failure is HTTP 200 with `{"status":"failed","meta":{"error":…}}`. What it has no word for
//! is a 4xx or 503 with the same body and a `message` for people. Nothing here takes a slot before all checks passed.

use actix::Addr;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, RETRY_AFTER};
use actix_web::{HttpResponse, web};
use rtc::peer_connection::transport::RTCIceCandidateInit;
use serde_json::{Map, Value, json};

use crate::offer;
use crate::pool::Pool;
use crate::session::{Candidate, CandidateError, Gateway, Offer, OfferRefused};
use crate::telemetry;

/// Bytes of a request body. An offer is about 6 kB; more than this is no offer.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// Bytes of a client-chosen id.
const MAX_ID_BYTES: usize = 128;
/// Seconds after which a client may find a worker.
const RETRY_AFTER_SECONDS: u32 = 2;

/// The page may load from and talk to this server only; the video is a `MediaStream`, which needs no source.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; \
                           base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page's files, embedded in the binary.
const FILES: &[(&str, &str, &str)] = &[
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/page.js", "text/javascript; charset=utf-8", include_str!("page/page.js")),
    ("/session.js", "text/javascript; charset=utf-8", include_str!("page/session.js")),
    ("/outcome.js", "text/javascript; charset=utf-8", include_str!("page/outcome.js")),
    ("/style.css", "text/css; charset=utf-8", include_str!("page/style.css")),
];

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) gateway: Addr<Gateway>,
    pub(crate) pool: Pool,
}

/// Adds every route.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .app_data(web::PayloadConfig::new(MAX_BODY_BYTES))
        .route("/webrtc/offer", web::post().to(signal))
        .route("/api/streams", web::get().to(streams));
    for &(path, kind, body) in FILES {
        let serve = move || async move {
            HttpResponse::Ok()
                .content_type(kind)
                .insert_header((CACHE_CONTROL, "no-cache"))
                .insert_header((CONTENT_SECURITY_POLICY, PAGE_POLICY))
                .body(body)
        };
        config.route(path, web::get().to(serve));
    }
}

/// `GET /api/streams`: what the page shows before a session starts.
async fn streams(shared: web::Data<Shared>) -> HttpResponse {
    let mut streams: Vec<Value> = Vec::new();
    for worker in shared.pool.serving() {
        let spec = worker.spec;
        if streams.iter().all(|stream| stream["name"] != spec.name.as_str()) {
            streams.push(json!({
                "name": spec.name,
                "title": spec.title,
                "mode": "send-receive",
                "fps": spec.fps,
                "skip_frames": spec.skip_frames,
            }));
        }
    }
    HttpResponse::Ok().json(json!({ "streams": streams }))
}

/// `POST /webrtc/offer`: an offer, or a trickled candidate.
async fn signal(shared: web::Data<Shared>, body: web::Bytes) -> HttpResponse {
    match parse(&body) {
        Ok(Request::Offer { id, sdp }) => answer(&shared.gateway, id, &sdp).await,
        Ok(Request::Candidate { id, candidate }) => add_candidate(&shared.gateway, id, candidate).await,
        Err(problem) => {
            telemetry::offer("malformed");
            failed(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", Some(problem))
        }
    }
}

enum Request {
    Offer { id: String, sdp: String },
    Candidate { id: String, candidate: Value },
}

/// The error names the field that is wrong.
fn parse(body: &[u8]) -> Result<Request, String> {
    let mut body: Map<String, Value> =
        serde_json::from_slice(body).map_err(|error| format!("the body is not a JSON object: {error}"))?;
    let mut text = |field: &str| match body.remove(field) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("`{field}` is not a string")),
        None => Err(format!("`{field}` is missing")),
    };
    let id = text("webrtc_id")?;
    if id.is_empty() || id.len() > MAX_ID_BYTES {
        return Err(format!("`webrtc_id` must have 1 to {MAX_ID_BYTES} bytes"));
    }
    match text("type")?.as_str() {
        "offer" => Ok(Request::Offer { id, sdp: text("sdp")? }),
        "ice-candidate" => {
            let candidate = body.remove("candidate").ok_or("`candidate` is missing")?;
            Ok(Request::Candidate { id, candidate })
        }
        other => Err(format!("`type` is `{other}`; it must be `offer` or `ice-candidate`")),
    }
}

async fn answer(gateway: &Addr<Gateway>, id: String, sdp: &str) -> HttpResponse {
    let description = match offer::check(sdp) {
        Ok(description) => description,
        Err(problem) => {
            telemetry::offer("invalid");
            return failed(StatusCode::BAD_REQUEST, "invalid_offer", Some(problem.to_string()));
        }
    };
    // An error is a gateway that has stopped.
    let answered = gateway.send(Offer { id, description }).await.unwrap_or(Err(OfferRefused::Draining));
    let (outcome, response) = match answered {
        Ok(sdp) => ("answered", HttpResponse::Ok().json(json!({ "type": "answer", "sdp": sdp }))),
        Err(OfferRefused::AlreadyExists) => ("exists", failed(StatusCode::OK, "connection_already_exists", None)),
        Err(OfferRefused::Full(limit)) => {
            let meta = json!({ "error": "concurrency_limit_reached", "limit": limit });
            ("full", HttpResponse::Ok().json(json!({ "status": "failed", "meta": meta })))
        }
        Err(OfferRefused::NoWorker) => {
            ("no_worker", unavailable("no_worker", "no worker serves this stream right now"))
        }
        Err(OfferRefused::Draining) => ("draining", unavailable("draining", "this server is stopping")),
        Err(OfferRefused::Unanswerable) => {
            let problem = "`sdp` could not be answered".to_owned();
            ("invalid", failed(StatusCode::BAD_REQUEST, "invalid_offer", Some(problem)))
        }
    };
    telemetry::offer(outcome);
    response
}

async fn add_candidate(gateway: &Addr<Gateway>, id: String, candidate: Value) -> HttpResponse {
    let Ok(candidate) = parse_candidate(&candidate) else {
        return failed(StatusCode::OK, "invalid_candidate_format", None);
    };
    match gateway.send(Candidate { id, candidate }).await {
        Ok(Ok(())) => HttpResponse::Ok().json(json!({ "status": "success" })),
        Ok(Err(CandidateError)) | Err(_) => failed(StatusCode::OK, "unknown_connection", None),
    }
}

/// `None` is the end of candidates. `sdpMid` and `sdpMLineIndex` may be missing: there is one bundle.
fn parse_candidate(candidate: &Value) -> Result<Option<RTCIceCandidateInit>, ()> {
    let line = candidate.get("candidate").and_then(Value::as_str).ok_or(())?;
    if line.is_empty() {
        return Ok(None);
    }
    if !offer::is_candidate(line) {
        return Err(());
    }
    let index = candidate.get("sdpMLineIndex").and_then(Value::as_u64).and_then(|index| u16::try_from(index).ok());
    Ok(Some(RTCIceCandidateInit {
        candidate: line.to_owned(),
        sdp_mid: candidate.get("sdpMid").and_then(Value::as_str).map(str::to_owned),
        sdp_mline_index: index.or(Some(0)),
        ..Default::default()
    }))
}

fn failed(status: StatusCode, error: &str, message: Option<String>) -> HttpResponse {
    let mut meta = json!({ "error": error });
    if let Some(message) = message {
        meta["message"] = message.into();
    }
    HttpResponse::build(status).json(json!({ "status": "failed", "meta": meta }))
}

fn unavailable(error: &str, message: &str) -> HttpResponse {
    let mut response = failed(StatusCode::SERVICE_UNAVAILABLE, error, Some(message.to_owned()));
    response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS.into());
    response
}
