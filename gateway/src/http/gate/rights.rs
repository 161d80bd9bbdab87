//! What an access token, or a service, allows the client.

use std::collections::BTreeMap;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use reframe_trace::STRANGER;
use tokio::time::Instant;
use tracing::warn;

use super::auth_service::{AuthService, AuthServiceError};
use super::token::{access_token, shows_token};
use super::{Gate, Refused};
use crate::access::{Action, Grant, TokenError, is_subject, verify};
use crate::config::access::Auth;
use crate::http::{try_again, unavailable};
use crate::telemetry;

impl Gate {
    /// The rights of the client.
    ///
    /// # Errors
    /// The answer that says what has to be shown.
    pub(super) fn grant(&self, request: &HttpRequest) -> Result<Grant, Refused> {
        let refused =
            |status, error, problem: &str| Err(self.refused(request, status, error, problem));
        let unauthorized =
            |problem: &str| refused(StatusCode::UNAUTHORIZED, "unauthorized", problem);
        match &self.access.auth {
            Auth::Local | Auth::Everybody => Ok(Grant::open_only(None)),
            _ if self.inside && !shows_token(request) => Ok(Grant::open_only(None)),
            Auth::Link(secret) => match access_token(request) {
                Ok(Some(given)) if secret.is(given) => Ok(Grant::open_only(None)),
                Ok(Some(_)) => unauthorized("the token is not the one that the server has printed"),
                Ok(None) => unauthorized("open the address with `?t=` that the server has printed"),
                Err(problem) => unauthorized(problem),
            },
            // `allows` and `visible` ask it about each stream.
            Auth::Http(_) => Ok(Grant::open_only(None)),
            Auth::Token { keys, jwks, audience } => match access_token(request) {
                Ok(Some(given)) => {
                    let mut refusal = TokenError::Signature;
                    for keys in keys.iter().chain(jwks.as_ref().map(|jwks| &jwks.keys)) {
                        match verify(given, &keys.current(), audience, super::now()) {
                            Ok(grant) => return Ok(grant),
                            Err(TokenError::Signature) => {}
                            Err(error) => refusal = error,
                        }
                    }
                    if let (TokenError::Signature, Some(jwks)) = (&refusal, jwks) {
                        if jwks.keys.current().is_empty() {
                            let problem =
                                "the keys of access tokens have not been read yet; try again";
                            return Err(Box::new(unavailable("auth_unavailable", problem)));
                        }
                        jwks.wanted.notify_one();
                    }
                    unauthorized(&refusal.to_string())
                }
                Ok(None) => unauthorized(
                    "a token is needed: `Authorization: Bearer TOKEN`, or open the page with \
                     `?t=TOKEN`",
                ),
                Err(problem) => unauthorized(problem),
            },
            Auth::Proxy(header) => {
                let peer = request.peer_addr().map(|peer| peer.ip().to_canonical());
                if !peer.is_some_and(|peer| self.proxies.trusts(peer)) {
                    let problem = "this server is used through a proxy: the address that asks is \
                                   not in --trusted-proxies";
                    return refused(StatusCode::FORBIDDEN, "forbidden", problem);
                }
                let mut named = request.headers().get_all(header);
                match (named.next().and_then(|name| name.to_str().ok()), named.next()) {
                    (Some(name), None) if is_subject(name) => {
                        Ok(Grant::open_only(Some(name.to_owned())))
                    }
                    _ => unauthorized(&format!(
                        "the proxy names nobody in `{header}` (--auth-header)"
                    )),
                }
            }
        }
    }

    /// The rights of the client, if they include this.
    ///
    /// # Errors
    /// The answer that says what is missing.
    pub(in crate::http) async fn allows(
        &self,
        request: &HttpRequest,
        action: Action,
        stream: &str,
    ) -> Result<Grant, Refused> {
        if let Some(service) =
            self.auth_service.as_ref().filter(|_| !self.inside || shows_token(request))
        {
            let refusal = "the service that decides (--auth-http) does not allow it";
            let granted = self.ask(service, request, action, stream).await?;
            return granted.ok_or_else(|| self.unauthorized(request, refusal));
        }
        let grant = self.grant(request)?;
        grant.may(action, stream).map_err(|problem| {
            self.refused(request, StatusCode::FORBIDDEN, "forbidden", &problem.to_string())
        })?;
        Ok(grant)
    }

    /// The rights of a client that has a link to watch a session of the stream. Where tokens have
    /// no actions in them, or another gateway has looked at this already, the link is enough.
    ///
    /// # Errors
    /// The answer that says what is missing.
    pub(in crate::http) async fn watches(
        &self,
        request: &HttpRequest,
        stream: &str,
    ) -> Result<Grant, Refused> {
        match &self.access.auth {
            Auth::Token { .. } | Auth::Http(_) if !self.inside || shows_token(request) => {
                self.allows(request, Action::View, stream).await
            }
            _ => self.grant(request),
        }
    }

    /// Whether access tokens say who may do what.
    pub(in crate::http) fn decides_by_tokens(&self) -> bool {
        matches!(self.access.auth, Auth::Token { .. } | Auth::Http(_))
    }

    /// Whether there is anything to decide by: a token, or nobody needs one.
    pub(in crate::http) fn may_ask(&self, request: &HttpRequest) -> bool {
        shows_token(request)
            || matches!(self.access.auth, Auth::Local | Auth::Everybody | Auth::Proxy(_))
    }

    /// Those of these streams that the client may see, with its rights to each.
    ///
    /// # Errors
    /// The answer that says what has to be shown.
    pub(in crate::http) async fn visible(
        &self,
        request: &HttpRequest,
        streams: impl Iterator<Item = String>,
    ) -> Result<BTreeMap<String, Grant>, Refused> {
        let Some(service) = &self.auth_service else {
            let grant = self.grant(request)?;
            let seen = streams.filter(|stream| grant.sees(stream));
            return Ok(seen.map(|stream| (stream, grant.clone())).collect());
        };
        let (mut visible, mut refused) = (BTreeMap::new(), false);
        for stream in streams {
            match self.ask(service, request, Action::Open, &stream).await? {
                Some(grant) => drop(visible.insert(stream, grant)),
                None => refused = true,
            }
        }
        if visible.is_empty() && refused {
            let problem = "the service that decides (--auth-http) allows no stream: a token is \
                           needed, or another one";
            return Err(self.unauthorized(request, problem));
        }
        Ok(visible)
    }

    /// The rights of the client, if they open any of these streams.
    ///
    /// # Errors
    /// The answer that says what is missing.
    pub(in crate::http) async fn opens(
        &self,
        request: &HttpRequest,
        streams: impl Iterator<Item = String>,
    ) -> Result<Grant, Refused> {
        let grant = match &self.auth_service {
            None => Some(self.grant(request)?),
            Some(_) => self.visible(request, streams).await?.into_values().next(),
        };
        grant.filter(|grant| grant.has(Action::Open)).ok_or_else(|| {
            let problem = "the token opens no stream that is served here";
            self.refused(request, StatusCode::FORBIDDEN, "forbidden", problem)
        })
    }

    async fn ask(
        &self,
        service: &AuthService,
        request: &HttpRequest,
        action: Action,
        stream: &str,
    ) -> Result<Option<Grant>, Refused> {
        let token = access_token(request).map_err(|problem| self.unauthorized(request, problem))?;
        let (now, client, charged) = (Instant::now(), self.client(request), self.charged(request));
        service.ask(now, charged, client, action, stream, token).await.map_err(|error| {
            if let AuthServiceError::Often = *error {
                telemetry::access_refused("rate_limited");
                let problem = "too many tokens from your network lately";
                let status = StatusCode::TOO_MANY_REQUESTS;
                return Box::new(try_again(status, "rate_limited", problem));
            }
            telemetry::access_refused("auth_unavailable");
            let error = &*error as &dyn std::error::Error;
            warn!(target: STRANGER, error, "--auth-http does not decide");
            let problem = "the service that decides who may do what does not answer; try again";
            Box::new(unavailable("auth_unavailable", problem))
        })
    }
}
