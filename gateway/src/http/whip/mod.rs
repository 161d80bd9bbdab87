//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): a client posts an offer, and gets the answer
//! and the URL of its connection, by which it adds candidates, restarts ICE and ends it.
//!
//! | path | what it is |
//! |---|---|
//! | `/whip` | a client sends video to a stream |
//! | `/whep` | a client is shown a generator: a session of its own, or the broadcast |
//! | `/whep/VIEW` | a client watches somebody's session |
//! | `/whip/ID`, `/whep/ID`, `/whep/VIEW/VIEWER` | the connection of such a client |
//!
//! > Who knows the URL of a connection may change and end it, and nobody can guess one. What may be
//! > posted is decided as for any offer.
//!
//! | module | what it is |
//! |---|---|
//! | `endpoint` | offers that begin a session |
//! | `watch` | offers of viewers |
//! | `resource` | changes of a connection, and its end |
//! | `bare` | what paths take beside that: GET, HEAD, OPTIONS |
//! | `reply` | the heads of answers |
//! | `problem` | refusals as RFC 9457 has them |
//! | `condition` | the header `If-Match` |
//! | `fragment` | the body of a PATCH (RFC 8840) |
//!
//! The reasons: `docs/decisions/0032-whip-whep.md`.

mod bare;
mod condition;
mod endpoint;
mod fragment;
mod problem;
mod reply;
mod resource;
mod watch;

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};

pub(super) use self::condition::if_match;
pub(super) use self::problem::of as problem;
use super::gate::Refused;
use crate::access::View;
use crate::browser::offer::OfferError;
use crate::media::session_id::SessionId;

/// Of offers and answers.
pub(super) const SDP: &str = "application/sdp";
/// Of changes of ICE (RFC 8840, section 9).
pub(super) const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
/// Of refusals (RFC 9457, section 3).
pub(super) const PROBLEM: &str = "application/problem+json";

/// What endpoints take (Linked Data Platform 1.0, section 7.1).
pub(super) const ACCEPT_POST: (HeaderName, HeaderValue) =
    (HeaderName::from_static("accept-post"), HeaderValue::from_static(SDP));
/// What connections take (RFC 5789, section 3.1).
const ACCEPT_PATCH: (HeaderName, HeaderValue) =
    (HeaderName::from_static("accept-patch"), HeaderValue::from_static(FRAGMENT));

/// The routes of a stream, at the root and below its name.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/whip")
                .route(web::post().to(endpoint::ingest))
                .default_service(web::to(bare::endpoint)),
        )
        .service(
            web::resource("/whep")
                .route(web::post().to(endpoint::play))
                .default_service(web::to(bare::endpoint)),
        )
        .configure(forwarded_routes);
}

/// Those that another gateway may forward: of a session that there is.
pub(super) fn forwarded_routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/whip/{id}")
                .route(web::patch().to(resource::patch))
                .route(web::delete().to(resource::delete))
                .default_service(web::to(bare::connection)),
        )
        // A link to watch a session is an endpoint; and the id of a session, its client's
        // connection.
        .service(
            web::resource("/whep/{id}")
                .route(web::post().to(watch::watch))
                .route(web::patch().to(resource::patch))
                .route(web::delete().to(resource::delete))
                .default_service(web::to(bare::view)),
        )
        .service(
            web::resource("/whep/{view}/{id}")
                .route(web::patch().to(resource::patch))
                .route(web::delete().to(resource::delete))
                .default_service(web::to(bare::connection)),
        );
}

/// Whether a path is one of these, at the root or below a stream.
pub(super) fn is_path(path: &str) -> bool {
    path.split('/').skip(1).take(2).any(|part| ["whip", "whep"].contains(&part))
}

/// A part of the path; empty where its pattern has none of this name.
fn part<'a>(request: &'a HttpRequest, name: &str) -> &'a str {
    request.match_info().get(name).unwrap_or_default()
}

/// The session that a link is for.
fn session_of(view: &View) -> Option<SessionId> {
    let broadcast = SessionId::of_broadcast(&view.stream);
    if view.session == broadcast.as_str() {
        return Some(broadcast);
    }
    SessionId::parse(&view.session).ok()
}

/// The answer, or the refusal as a problem.
fn told(answer: Result<HttpResponse, Refused>) -> HttpResponse {
    answer.unwrap_or_else(|refused| problem(*refused))
}

/// The offer cannot be read, or it can be and is not fit.
fn is_malformed(error: &OfferError) -> bool {
    matches!(error, OfferError::NotSdp(_) | OfferError::TooMuch(_) | OfferError::Credential(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_paths_are_at_the_root_and_below_a_stream() {
        for path in ["/whip", "/whep/x", "/flip/whip", "/flip/whep/view/viewer"] {
            assert!(is_path(path), "{path}");
        }
        for path in ["/", "/flip/", "/whipped", "/webrtc/offer", "/a/b/whip", "whip"] {
            assert!(!is_path(path), "{path}");
        }
    }
}
