//! The STUN and TURN servers for a browser.

use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, web};
use rand::distr::{Alphanumeric, SampleString};
use serde_json::json;

use super::HttpState;

/// Enough digits to tell the browsers of an hour apart.
const NAME_LETTERS: usize = 12;

/// `GET /webrtc/ice_servers`: requested before each connection, because credentials expire. Any
/// gateway answers.
#[expect(clippy::disallowed_methods, reason = "the TURN server compares with its own wall clock")]
pub(super) async fn servers(shared: web::Data<HttpState>) -> HttpResponse {
    // An error means a clock before 1970, with which no credentials are valid.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let name = Alphanumeric.sample_string(&mut rand::rng(), NAME_LETTERS);
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(json!({ "iceServers": shared.ice_servers.at(now, &name) }))
}
