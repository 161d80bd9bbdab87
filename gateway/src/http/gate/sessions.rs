//! What a request for a running session has to show.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::token::shows_token;
use super::{Gate, Refused};
use crate::access::{Action, Grant, SessionClaims, SessionTokenError, View};
use crate::config::access::Auth;
use crate::http::{invalid_request, try_again};
use crate::media::session_id::SessionId;
use crate::shares::Rates;
use crate::stream::live_session::LiveSession;
use crate::telemetry;

/// The shortest id that stands for a session by itself. 16 random characters cannot be guessed.
const MIN_LEGACY_ID: usize = 16;

/// The time in which one client network may make `--max-wrong-ids` requests with an id that no
/// session has, under `--legacy-ids`.
const WRONG_IDS_IN: Duration = Duration::from_secs(60);

/// Requests with an id that no session has.
pub(super) struct WrongIds {
    max: u32,
    of_networks: Mutex<Rates>,
}

impl WrongIds {
    pub(super) fn new(max: u32) -> Self {
        Self { max, of_networks: Mutex::new(Rates::new(max, WRONG_IDS_IN / max)) }
    }
}

/// What a request for a running session has shown.
pub(in crate::http) enum Credential {
    /// The token of a session of this id.
    Session(SessionClaims),
    /// An access token, which may have rights over the session's stream.
    Rights,
    /// Nothing but the id.
    Id,
}

impl Gate {
    /// What a request for the session `id` shows: its token; or, where that is enough, the id; or
    /// rights to do `action` with the sessions of a stream, by the name in the request's path.
    ///
    /// # Errors
    /// The answer that says what has to be shown.
    pub(in crate::http) async fn credential(
        &self,
        request: &HttpRequest,
        id: &SessionId,
        session_token: Option<&str>,
        action: Option<(Action, String)>,
    ) -> Result<Credential, Refused> {
        let takes_ids = self.takes_ids(request, session_token);
        if let Some(token) = session_token {
            match self.claims(token) {
                Ok(claims) if claims.sid == id.as_str() => return Ok(Credential::Session(claims)),
                // Another gateway may have signed it, which does not share our key: as without one.
                Err(_) if takes_ids => {}
                _ => return Err(self.wrong_token(request)),
            }
        }
        if takes_ids {
            return self.by_id(request, id);
        }
        if let Some((action, stream)) = action.filter(|_| shows_token(request)) {
            // Another gateway has asked, and what the session is of is asked by `suffices`.
            if self.inside {
                return Ok(Credential::Rights);
            }
            // Only its gateway knows the session's stream: if that is another one, it asks too.
            if self.auth_service.is_some() {
                self.allows(request, action, &stream).await?;
                return Ok(Credential::Rights);
            }
            if self.grant(request)?.has(action) {
                return Ok(Credential::Rights);
            }
        }
        let problem = "show the `session_token` of the answer to this session's offer; clients that \
                       cannot need --legacy-ids";
        Err(self.refused(request, StatusCode::UNAUTHORIZED, "session_token_missing", problem))
    }

    /// Whether the id of a session is all that its client has to show. From another gateway it is
    /// where no token is shown: that gateway takes ids. One that is shown must be right here too,
    /// as that gateway may have another key, and its own sessions of the same ids.
    pub(in crate::http) fn takes_ids(
        &self,
        request: &HttpRequest,
        session_token: Option<&str>,
    ) -> bool {
        matches!(self.access.auth, Auth::Local)
            || self.access.legacy_ids
            || self.inside && session_token.is_none() && !shows_token(request)
    }

    /// What a session's token says, whichever session it is of.
    ///
    /// # Errors
    /// No gateway with our cluster's key has signed it.
    pub(in crate::http) fn claims(&self, token: &str) -> Result<SessionClaims, SessionTokenError> {
        SessionClaims::read(token, &self.access.cluster.current())
    }

    /// The token for the answer to a session's first offer.
    pub(in crate::http) fn sign(&self, claims: &SessionClaims) -> String {
        claims.sign(&self.access.cluster.current())
    }

    /// Whether the id is long enough where it stands for its session by itself.
    pub(in crate::http) fn check_id_length(&self, id: &SessionId) -> Result<(), String> {
        if self.access.legacy_ids && id.as_str().len() < MIN_LEGACY_ID {
            return Err(format!("`webrtc_id` must have at least {MIN_LEGACY_ID} characters here"));
        }
        Ok(())
    }

    /// Refuses one whose ids were wrong too often, where ids could be tried out.
    fn by_id(&self, request: &HttpRequest, id: &SessionId) -> Result<Credential, Refused> {
        if !self.access.legacy_ids || self.inside {
            return Ok(Credential::Id);
        }
        self.check_id_length(id).map_err(|problem| Box::new(invalid_request(problem)))?;
        self.unless_guessing(request)?;
        Ok(Credential::Id)
    }

    /// Refuses one who has asked too often for what does not exist.
    pub(in crate::http) fn unless_guessing(&self, request: &HttpRequest) -> Result<(), Refused> {
        let WrongIds { max, of_networks } = &*self.wrong_ids;
        let empty = |client| of_networks.lock().is_empty(Instant::now(), client);
        if self.limited(request).is_some_and(empty) {
            telemetry::access_refused("wrong_ids");
            telemetry::client_limited("wrong_ids_of_address");
            let problem = format!(
                "your network has asked for more than {max} sessions a minute that do not exist \
                 (--max-wrong-ids): wait a minute; behind a proxy that serves many people, the \
                 server needs --trusted-proxies"
            );
            let status = StatusCode::TOO_MANY_REQUESTS;
            return Err(Box::new(try_again(status, "rate_limited", &problem)));
        }
        Ok(())
    }

    /// Counts a request whose id no session has, where ids are enough.
    pub(in crate::http) fn wrong_id(&self, request: &HttpRequest) {
        if self.access.legacy_ids {
            self.guessed(request);
        }
    }

    /// Counts a request for what does not exist, where knowing its name is enough.
    pub(in crate::http) fn guessed(&self, request: &HttpRequest) {
        if let Some(client) = self.limited(request) {
            self.wrong_ids.of_networks.lock().take(Instant::now(), client);
        }
    }

    /// What stands for a session in a link to watch it; `nonce`: that in its token.
    pub(in crate::http) fn view(&self, session: &SessionId, nonce: &str, stream: &str) -> String {
        let (session, nonce) = (session.to_string(), nonce.to_owned());
        let view = View { session, nonce, stream: stream.to_owned() };
        view.seal(&self.access.cluster.current())
    }

    /// The session that a link is for; `None`: no gateway of this cluster has made it.
    pub(in crate::http) fn viewed(&self, text: &str) -> Option<View> {
        View::open(text, &self.access.cluster.current())
    }

    pub(in crate::http) fn wrong_token(&self, request: &HttpRequest) -> Refused {
        let problem = SessionTokenError.to_string();
        self.refused(request, StatusCode::FORBIDDEN, "session_token_wrong", &problem)
    }
}

impl Credential {
    /// Whether it is enough for this session. Gives the rights, where it is not the session's own
    /// client that asks.
    ///
    /// # Errors
    /// The answer that refuses it.
    pub(in crate::http) async fn suffices(
        &self,
        gate: &Gate,
        request: &HttpRequest,
        live: &LiveSession,
        action: Action,
    ) -> Result<Option<Grant>, Refused> {
        match self {
            Self::Session(claims) if claims.nonce == live.owner.nonce => Ok(None),
            Self::Session(_) => Err(gate.wrong_token(request)),
            Self::Rights => gate.allows(request, action, &live.spec.name).await.map(Some),
            Self::Id => Ok(None),
        }
    }
}
