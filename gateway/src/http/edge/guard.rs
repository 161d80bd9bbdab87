//! The checks of every request before it reaches a route: its host, its origin, and its body.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    CONTENT_LENGTH, HOST, HeaderName, HeaderValue, ORIGIN, TRANSFER_ENCODING, VARY,
};
use actix_web::http::{ConnectionType, Method, StatusCode, Version};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpResponse, web};

use super::Port;
use super::body::{self, BODY_WITHIN, BodyError, Memory};
use super::progress::{Progress, Turn};
use crate::config::names::{Asker, Names};
use crate::config::proxies::TrustedProxies;
use crate::http::client_address::passed_on;
use crate::http::{MAX_BODY_BYTES, failed, unavailable, whip};
use crate::shares::network;
use crate::telemetry;

/// Fetch Metadata (W3C): where a browser's request comes from.
const FETCH_SITE: &str = "sec-fetch-site";
/// Characters of a name from a client that an answer repeats.
const PRINTED_CHARACTERS: usize = 100;
/// Seconds for which a browser may cache the answer to a preflight.
const PREFLIGHT_SECONDS: &str = "600";

/// What a page of an allowed origin may send, beside what needs no preflight: all that a player
/// of WHEP does (RFC 9725).
const ALLOWED_METHODS: &str = "GET, POST, PATCH, DELETE";
const ALLOWED_HEADERS: &str = "authorization, content-type, if-match";
/// What such a page may read of an answer's head.
const EXPOSED_HEADERS: &str = "retry-after, location, etag, link";

/// The settings of one port's guard.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) port: Port,
    pub(crate) names: Arc<Names>,
    pub(crate) memory: Memory,
    /// For the client's address.
    pub(crate) proxies: Arc<TrustedProxies>,
    /// Everybody on this machine is let in, so nobody may be who is passed on from elsewhere.
    pub(crate) direct_only: bool,
}

/// An answer's body. Its end is the end of its request.
struct Answer {
    body: BoxBody,
    _turn: Option<Turn>,
}

/// A request that is refused here: the label `reason`, and the answer.
type Refused = Box<(&'static str, HttpResponse)>;

/// The middleware of every port.
pub(crate) async fn guard<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let turn = request.conn_data::<Rc<Progress>>().cloned();
    let secure = turn.as_ref().is_some_and(|progress| progress.secure);
    let turn = turn.map(Turn::begin);
    let guard = request.app_data::<web::Data<Guard>>().expect("each port's app has one").clone();

    let origin = match guard.asker(&request, secure) {
        Ok(origin) => origin,
        Err(refused) => return Ok(guard.refuse(request, turn, *refused)),
    };
    if let (Some(origin), &Method::OPTIONS) = (&origin, request.method())
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    {
        let mut answer = HttpResponse::NoContent();
        answer.insert_header((ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS));
        answer.insert_header((ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS));
        answer.insert_header((ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS));
        if whip::is_path(request.path()) {
            answer.insert_header(whip::ACCEPT_POST);
        }
        let mut answer = answer.finish();
        allow(&mut answer, origin.clone());
        return Ok(concluded(request.into_response(answer), turn));
    }
    let body = match guard.body(&mut request).await {
        Ok(body) => body,
        Err(refused) => return Ok(guard.refuse(request, turn, *refused)),
    };
    if let Some(turn) = &turn {
        turn.has_body();
    }
    // The body's memory is reserved until the request has been processed.
    let _held = body.inspect(|body| request.set_payload(Payload::from(body.bytes.clone())));
    let mut response = next.call(request).await?.map_into_boxed_body();
    if let Some(origin) = origin {
        allow(response.response_mut(), origin);
    }
    Ok(concluded(response, turn))
}

impl Guard {
    /// Whether the request is for this gateway and from an allowed origin. Returns the origin that
    /// the browser must see allowed.
    fn asker(
        &self,
        request: &ServiceRequest,
        secure: bool,
    ) -> Result<Option<HeaderValue>, Refused> {
        let mut hosts = request.headers().get_all(HOST);
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().ok(),
            // Every browser sends it. Some load balancers' health checks in HTTP/1.0 do not.
            (None, _) if request.version() < Version::HTTP_11 => Some("localhost"),
            _ => None,
        };
        let Some(host) = host else {
            let problem = "a request must have one `Host`".to_owned();
            return Err(Box::new((
                "host",
                failed(StatusCode::BAD_REQUEST, "invalid_request", Some(problem)),
            )));
        };
        // The authority in a request line takes precedence over `Host` (RFC 9112, 3.2.2).
        let named = request.uri().authority().map(|authority| authority.as_str());
        for host in named.into_iter().chain([host]) {
            if !self.names.is_ours(host) {
                return Err(Box::new(("host", unknown_host(host))));
            }
        }
        // Browsers send it with each request, also where no `Origin` is: a picture, a link.
        if self.port != Port::Public && request.headers().contains_key(FETCH_SITE) {
            return Err(Box::new(("origin", not_for_browsers(self.port))));
        }
        if let Some(header) = self.passed_on(request) {
            return Err(Box::new(("forwarded", forwarded(header))));
        }
        let mut origins = request.headers().get_all(ORIGIN);
        let Some(origin) = origins.next() else { return Ok(None) };
        let from = match origin.to_str() {
            Ok(text) if origins.next().is_none() => {
                self.names.asker(text, named.unwrap_or(host), secure)
            }
            _ => Asker::Elsewhere,
        };
        match (self.port, from) {
            (Port::Admin | Port::Peer, _) => Err(Box::new(("origin", not_for_browsers(self.port)))),
            (Port::Public, Asker::Here) => Ok(None),
            (Port::Public, Asker::Allowed) => Ok(Some(origin.clone())),
            (Port::Public, Asker::Elsewhere) => Err(Box::new(("origin", forbidden_origin(origin)))),
        }
    }

    /// The header by which a proxy says that it passes the request on, where none may.
    fn passed_on<'a>(&self, request: &'a ServiceRequest) -> Option<&'a HeaderName> {
        self.direct_only.then(|| passed_on(request.headers())).flatten()
    }

    /// The request's body, where it has one.
    async fn body(&self, request: &mut ServiceRequest) -> Result<Option<body::Body>, Refused> {
        let length = request
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        if length == Some(0)
            || length.is_none() && !request.headers().contains_key(TRANSFER_ENCODING)
        {
            return Ok(None);
        }
        let network = self.proxies.client(request.request()).map(network);
        let mut payload = request.take_payload();
        let read = match length {
            Some(length) if length > MAX_BODY_BYTES => Err(BodyError::Large),
            _ => body::read(&mut payload, &self.memory, network).await,
        };
        read.map(Some).map_err(|error| {
            Box::new(match error {
                BodyError::Late => {
                    let problem = format!(
                        "the request body did not arrive within {} s",
                        BODY_WITHIN.as_secs()
                    );
                    (
                        "body_timeout",
                        failed(StatusCode::REQUEST_TIMEOUT, "request_timeout", Some(problem)),
                    )
                }
                BodyError::Large => {
                    let problem = format!("the body has more than {MAX_BODY_BYTES} bytes");
                    (
                        "body_size",
                        failed(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request", Some(problem)),
                    )
                }
                BodyError::NoMemory => {
                    ("body_memory", unavailable("overloaded", "this server is busy right now"))
                }
                BodyError::Broken => {
                    let problem = "the request body ended early".to_owned();
                    (
                        "body_broken",
                        failed(StatusCode::BAD_REQUEST, "invalid_request", Some(problem)),
                    )
                }
            })
        })
    }

    fn refuse(
        &self,
        request: ServiceRequest,
        turn: Option<Turn>,
        (reason, mut response): (&'static str, HttpResponse),
    ) -> ServiceResponse<BoxBody> {
        telemetry::http_refused(self.port.label(), reason);
        if whip::is_path(request.path()) {
            response = whip::problem(response);
        }
        // Its body may not have been read.
        response.head_mut().set_connection_type(ConnectionType::Close);
        concluded(request.into_response(response), turn)
    }
}

fn not_for_browsers(port: Port) -> HttpResponse {
    let port = port.label();
    let problem =
        format!("the {port} port is not for browsers and their pages: use curl, or Prometheus");
    failed(StatusCode::FORBIDDEN, "forbidden_origin", Some(problem))
}

fn forwarded(header: &HeaderName) -> HttpResponse {
    let problem = format!(
        "a proxy passes this request on (`{header}`), and without --auth everybody behind it would count as \
         this machine: start the server with --auth, and name the proxy in --trusted-proxies"
    );
    failed(StatusCode::FORBIDDEN, "forwarded_request", Some(problem))
}

fn unknown_host(host: &str) -> HttpResponse {
    let host = printable(host);
    let problem = format!(
        "unknown host `{host}`: use the server's IP address, or add the name to --allowed-hosts"
    );
    failed(StatusCode::MISDIRECTED_REQUEST, "unknown_host", Some(problem))
}

fn forbidden_origin(origin: &HeaderValue) -> HttpResponse {
    let origin = printable(&String::from_utf8_lossy(origin.as_bytes()));
    let problem = format!("origin `{origin}` is not allowed: add it to --allowed-origins");
    failed(StatusCode::FORBIDDEN, "forbidden_origin", Some(problem))
}

/// A client's text, made printable.
fn printable(text: &str) -> String {
    text.escape_default().take(PRINTED_CHARACTERS).collect()
}

/// Lets a page of `origin` read the answer.
fn allow<B>(response: &mut HttpResponse<B>, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_HEADERS));
    headers.append(VARY, HeaderValue::from_static("origin"));
}

fn concluded(response: ServiceResponse<BoxBody>, turn: Option<Turn>) -> ServiceResponse<BoxBody> {
    response.map_body(|_, body| BoxBody::new(Answer { body, _turn: turn }))
}

impl MessageBody for Answer {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<web::Bytes, Self::Error>>> {
        std::pin::Pin::new(&mut self.get_mut().body).poll_next(cx)
    }
}
