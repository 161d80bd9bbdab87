//! Whose request it is, and whether that one may make it.
//!
//! A request that begins something shows an access token, in `Authorization: Bearer` or in the
//! page's cookie; what `--auth` says decides whether it needs one. A request for a session that
//! runs shows that session's own token. Refusals are 401 where something else would have to be
//! shown, and 403 where what was shown is not enough; each says what is missing.
//!
//! | module | what it is |
//! |---|---|
//! | `rights` | what an access token, or a service, allows the client |
//! | `sessions` | what a request for a running session has to show |
//! | `token` | where a request has its access token; the page's cookie |
//! | `auth_service` | the service of `--auth-http` |
//! | `decisions` | what that service has decided, and what it is being asked |
//! | `jwks` | public keys that are fetched from a URL |
//! | `http_client` | our own requests to such services |

mod auth_service;
mod decisions;
pub(crate) mod http_client;
pub(crate) mod jwks;
mod rights;
mod sessions;
mod token;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse};

pub(crate) use self::auth_service::AuthService;
pub(super) use self::sessions::Credential;
use self::sessions::WrongIds;
pub(super) use self::token::{access_token, bearer, check, exchange};
use super::client_address::forwarded_client;
use super::failed;
use crate::config::access::{Access, Admin};
use crate::config::proxies::TrustedProxies;
use crate::telemetry::{self, audit};

/// The answer to a request that may not be made.
pub(super) type Refused = Box<HttpResponse>;

/// Decides for one port.
#[derive(Clone)]
pub(crate) struct Gate {
    access: Access,
    proxies: Arc<TrustedProxies>,
    /// The service that decides.
    auth_service: Option<Arc<AuthService>>,
    /// Requests come from other gateways, which have looked at them already.
    inside: bool,
    wrong_ids: Arc<WrongIds>,
}

impl Gate {
    /// `auth_service`: where `access` says that a service decides.
    pub(crate) fn new(
        access: Access,
        auth_service: Option<Arc<AuthService>>,
        proxies: Arc<TrustedProxies>,
        max_wrong_ids: u32,
    ) -> Self {
        let wrong_ids = Arc::new(WrongIds::new(max_wrong_ids));
        Self { access, proxies, auth_service, inside: false, wrong_ids }
    }

    /// For requests that another gateway has let pass.
    pub(crate) fn for_peers(&self) -> Self {
        Self { inside: true, ..self.clone() }
    }

    pub(super) fn is_for_peers(&self) -> bool {
        self.inside
    }

    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    fn unauthorized(&self, request: &HttpRequest, problem: &str) -> Refused {
        self.refused(request, StatusCode::UNAUTHORIZED, "unauthorized", problem)
    }

    /// The client's address, also where another gateway has forwarded its request.
    pub(super) fn client(&self, request: &HttpRequest) -> Option<IpAddr> {
        if self.inside { forwarded_client(request) } else { self.proxies.client(request) }
    }

    /// Whose request it is, for what one client may have; `None`: of a program on this machine, or
    /// another gateway has looked already.
    pub(super) fn limited(&self, request: &HttpRequest) -> Option<IpAddr> {
        self.proxies.limited(request).filter(|_| !self.inside)
    }

    /// The answer to a request that may not be made; counted, and in the audit log.
    pub(super) fn refused(
        &self,
        request: &HttpRequest,
        status: StatusCode,
        error: &'static str,
        problem: &str,
    ) -> Refused {
        telemetry::access_refused(error);
        let route = request.match_pattern().unwrap_or_default();
        audit::refused(&route, self.client(request), problem);
        Box::new(challenged(failed(status, error, Some(problem.to_owned()))))
    }
}

/// Whether a request to `/api/sessions` of the admin port may be made.
///
/// # Errors
/// The answer that refuses it.
pub(super) fn require_operator(
    access: &Admin,
    client: Option<IpAddr>,
    request: &HttpRequest,
) -> Result<(), Refused> {
    let (status, error, problem) = match access {
        Admin::Local => return Ok(()),
        Admin::Token(secret) => match bearer(request) {
            Ok(Some(given)) if secret.current().is(given) => return Ok(()),
            _ => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "the token of --admin-token-file is needed: `Authorization: Bearer TOKEN`",
            ),
        },
        Admin::Closed => (
            StatusCode::FORBIDDEN,
            "forbidden",
            "closed, as this port can be reached from other machines: start the gateway with --admin-token-file",
        ),
    };
    telemetry::access_refused(error);
    let route = request.match_pattern().unwrap_or_default();
    audit::refused(&route, client, problem);
    Err(Box::new(challenged(failed(status, error, Some(problem.to_owned())))))
}

/// A 401 says how to do better (RFC 9110, 11.6.1).
fn challenged(mut response: HttpResponse) -> HttpResponse {
    if response.status() == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// Seconds since 1970. An error means a clock before that, with which no token is valid.
#[expect(
    clippy::disallowed_methods,
    reason = "tokens and TURN credentials have times of the wall clock"
)]
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
