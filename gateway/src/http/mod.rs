//! The public port: signalling, inputs, outputs and the page. It speaks FastRTC's protocol, so that
//! its front-ends work unchanged; and WHIP and WHEP (`whip`).
//!
//! Failures that FastRTC defines are HTTP 200 with `{"status":"failed","meta":{"error":…}}`. Other
//! failures are a 4xx or 503 with the same body and a `message` for people.
//!
//! Every stream has all routes below `/NAME/`; the one named `default`, or the only one, also has
//! them at the root.

pub(crate) mod admin;
pub(crate) mod announce;
mod client_address;
mod control;
pub(crate) mod edge;
mod forward;
pub(crate) mod gate;
mod health;
mod ice;
mod offer;
mod page;
mod signal;
mod whip;

use std::ops::RangeInclusive;
use std::sync::Arc;

use actix::Addr;
use actix_web::error::{InternalError, QueryPayloadError};
use actix_web::http::header::{
    ALLOW, CONTENT_ENCODING, REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::middleware::DefaultHeaders;
use actix_web::{
    FromRequest, Handler, HttpMessage, HttpRequest, HttpResponse, Resource, Responder, web,
};
use serde_json::{Map, Value, json};

pub(crate) use self::forward::Forward;
pub(crate) use self::gate::Gate;
pub(crate) use self::health::Probed;
use crate::codec::Codecs;
use crate::config::ice_servers::IceServers;
use crate::gateway::Gateway;
use crate::media::session_id::SessionId;
use crate::stream::inputs::InputError;
use crate::workers::pool::Pool;

/// The longest request body, in bytes. An offer has about 6 kB.
pub(crate) const MAX_BODY_BYTES: usize = 128 * 1024;
/// `Retry-After`, in seconds. Random for each answer, so that clients that were refused together do
/// not return together.
const RETRY_AFTER_SECONDS: RangeInclusive<u32> = 1..=3;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct HttpState {
    pub(crate) gateway: Addr<Gateway>,
    pub(crate) pool: Pool,
    pub(crate) forward: Forward,
    pub(crate) ice_servers: Arc<IceServers>,
    pub(crate) codecs: Codecs,
    pub(crate) gate: Arc<Gate>,
}

impl HttpState {
    /// The id by which the placement knows the gateway of this connection: that of the broadcast,
    /// which has its viewers, or its own.
    fn located_by(&self, stream: Option<&str>, id: &SessionId) -> SessionId {
        match self.pool.stream(stream) {
            Some(spec) if spec.broadcast => SessionId::of_broadcast(&spec.name),
            _ => id.clone(),
        }
    }
}

/// Headers of every answer: browsers do not guess the content type, and send no referrer to other
/// sites.
pub(crate) fn headers() -> DefaultHeaders {
    DefaultHeaders::new()
        .add((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((REFERRER_POLICY, "no-referrer"))
}

/// Adds every route of the public port.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.configure(limits).configure(health::routes).configure(stream_routes);
    // After the routes of the root, which this pattern would match too.
    config.service(
        web::scope("/{stream}").service(readable("", page::slash)).configure(stream_routes),
    );
}

/// Adds the routes that other gateways forward to, on the port for them.
pub(crate) fn forwarded_routes(config: &mut web::ServiceConfig) {
    config.configure(limits).configure(session_routes).configure(whip::forwarded_routes);
    config.configure(admin::one_session);
    // The paths are forwarded as the client wrote them.
    config.service(web::scope("/{stream}").configure(session_routes));
}

fn limits(config: &mut web::ServiceConfig) {
    let bad_query = |error: QueryPayloadError, _: &HttpRequest| {
        let response = invalid_request(error.to_string());
        InternalError::from_response(error, response).into()
    };
    config
        .app_data(web::PayloadConfig::new(MAX_BODY_BYTES))
        .app_data(web::QueryConfig::default().error_handler(bad_query));
}

/// The routes of a stream, at the root and below its name.
fn stream_routes(config: &mut web::ServiceConfig) {
    config
        .configure(session_routes)
        .service(readable("/webrtc/ice_servers", ice::servers))
        .service(readable("/api/streams", page::streams))
        .service(
            web::resource("/api/token")
                .route(web::get().to(gate::check))
                .route(web::head().to(gate::check))
                .route(web::post().to(gate::exchange))
                .default_service(web::to(|| async { not_allowed("GET, HEAD, POST") })),
        )
        .configure(whip::routes)
        .service(readable("/", page::page))
        .configure(page::files);
}

/// The routes of a session's client.
fn session_routes(config: &mut web::ServiceConfig) {
    config
        .service(only(Method::POST, "/webrtc/offer", signal::signal))
        .service(only(Method::POST, "/input_hook", control::input_hook))
        .service(only(Method::GET, "/updates", control::updates));
}

/// A resource for GET and HEAD (RFC 9110, section 9.3.2).
pub(crate) fn readable<F, A>(path: &str, handler: F) -> Resource
where
    F: Handler<A> + Clone,
    F::Output: Responder,
    A: FromRequest + 'static,
{
    web::resource(path)
        .route(web::get().to(handler.clone()))
        .route(web::head().to(handler))
        .default_service(web::to(|| async { not_allowed("GET, HEAD") }))
}

/// A resource for one method only.
pub(crate) fn only<F, A>(method: Method, path: &str, handler: F) -> Resource
where
    F: Handler<A>,
    F::Output: Responder,
    A: FromRequest + 'static,
{
    let allowed = method.as_str().to_owned();
    web::resource(path).route(web::method(method).to(handler)).default_service(web::to(move || {
        let allowed = allowed.clone();
        async move { not_allowed(&allowed) }
    }))
}

pub(crate) fn not_allowed(allowed: &str) -> HttpResponse {
    let problem = format!("this path takes only {allowed}");
    let mut response = failed(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", Some(problem));
    if let Ok(allowed) = allowed.parse() {
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}

/// Refuses bodies that are not JSON. A page of another origin can make a browser post a form or
/// plain text without a preflight, but not JSON. So no page elsewhere can take slots of a gateway
/// on its visitor's computer.
fn unless_json(request: &HttpRequest) -> Option<HttpResponse> {
    unless_kind(request, "application/json", "JSON")
}

/// Refuses bodies of another content type, as above.
fn unless_kind(request: &HttpRequest, kind: &str, name: &str) -> Option<HttpResponse> {
    let encoding = request.headers().get(CONTENT_ENCODING);
    let problem = if !request.content_type().eq_ignore_ascii_case(kind) {
        format!("the body must be {name}, with `Content-Type: {kind}`")
    } else if encoding.is_some_and(|encoding| encoding != "identity") {
        "the body must not be compressed: leave out `Content-Encoding`".to_owned()
    } else {
        return None;
    };
    let problem = Some(problem);
    Some(failed(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request", problem))
}

/// The body's object; the error is for the client's author.
fn object(body: &[u8]) -> Result<Map<String, Value>, String> {
    serde_json::from_slice(body).map_err(|error| format!("the body is not a JSON object: {error}"))
}

/// Removes a text from the object. The error names the field.
fn take_text(object: &mut Map<String, Value>, field: &str) -> Result<String, String> {
    match object.remove(field) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("`{field}` is not a string")),
        None => Err(format!("`{field}` is missing")),
    }
}

/// Removes the session's id from the object.
fn take_id(object: &mut Map<String, Value>) -> Result<SessionId, String> {
    let id = take_text(object, "webrtc_id")?;
    SessionId::parse(&id).map_err(|error| error.to_string())
}

/// Removes the session's token from the object.
fn take_token(object: &mut Map<String, Value>) -> Result<Option<String>, String> {
    match object.remove("session_token") {
        Some(Value::String(token)) => Ok(Some(token)),
        None | Some(Value::Null) => Ok(None),
        Some(_) => Err("`session_token` is not a string".to_owned()),
    }
}

/// The stream that the path names.
fn stream_of(request: &HttpRequest) -> Option<String> {
    request.match_info().get("stream").map(str::to_owned)
}

pub(crate) fn failed(status: StatusCode, error: &str, message: Option<String>) -> HttpResponse {
    let mut meta = json!({ "error": error });
    if let Some(message) = message {
        meta["message"] = message.into();
    }
    HttpResponse::build(status).json(json!({ "status": "failed", "meta": meta }))
}

pub(crate) fn invalid_request(problem: String) -> HttpResponse {
    failed(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", Some(problem))
}

fn invalid_input(error: &InputError) -> HttpResponse {
    crate::telemetry::input_refused();
    let meta =
        json!({ "error": "invalid_input", "field": error.field, "message": error.to_string() });
    HttpResponse::UnprocessableEntity().json(json!({ "status": "failed", "meta": meta }))
}

pub(crate) fn unavailable(error: &str, message: &str) -> HttpResponse {
    try_again(StatusCode::SERVICE_UNAVAILABLE, error, message)
}

/// A temporary refusal, with `Retry-After`.
fn try_again(status: StatusCode, error: &str, message: &str) -> HttpResponse {
    let mut response = failed(status, error, Some(message.to_owned()));
    let wait = rand::random_range(RETRY_AFTER_SECONDS);
    response.headers_mut().insert(RETRY_AFTER, wait.into());
    // Behind a load balancer the next request on this connection would come here again.
    response.head_mut().set_connection_type(ConnectionType::Close);
    response
}
