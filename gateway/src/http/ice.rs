//! The STUN and TURN servers for a browser.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use rand::distr::{Alphanumeric, SampleString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::HttpState;
use super::gate::now;
use crate::access::Grant;

/// Enough digits to tell the browsers of an hour apart.
const NAME_LETTERS: usize = 12;

/// The query of `/webrtc/ice_servers`.
#[derive(Deserialize)]
pub(super) struct Query {
    /// Of the session whose place the next one takes.
    session_token: Option<String>,
}

/// `GET /webrtc/ice_servers`: requested before each connection, because credentials expire. Any
/// gateway answers.
pub(super) async fn servers(
    shared: web::Data<HttpState>,
    request: HttpRequest,
    query: web::Query<Query>,
) -> HttpResponse {
    let known = shared.pool.streams().into_keys();
    let token = query.session_token.as_deref();
    let claims = token.and_then(|token| shared.gate.claims(token).ok());
    let now = now();
    let granted = match claims.filter(|claims| claims.reopens(now)) {
        Some(claims) => Ok(Grant::from_session(claims)),
        None => shared.gate.opens(&request, known).await,
    };
    let grant = match granted {
        Ok(grant) => grant,
        Err(refused) => return *refused,
    };
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(json!({ "iceServers": for_client(&shared, grant.subject.as_deref(), now) }))
}

/// The servers, with credentials for this client.
pub(super) fn for_client(shared: &HttpState, subject: Option<&str>, now: u64) -> Value {
    // By the subject the TURN server's quotas hold.
    let drawn = || Alphanumeric.sample_string(&mut rand::rng(), NAME_LETTERS);
    let name = subject.map_or_else(drawn, str::to_owned);
    shared.ice_servers.at(now, &name)
}
