//! Somebody watches a session.

use std::net::IpAddr;

use actix::{Context, Handler, Message, ResponseFuture};

use super::Gateway;
use crate::browser::offer::{OfferError, Parsed};
use crate::media::refused::OfferRefused;
use crate::media::session_id::SessionId;

/// Answer the offer of a viewer of a session; the answer is SDP.
#[derive(Message)]
#[rtype(result = "Result<String, WatchRefused>")]
pub(crate) struct Watch {
    /// The session that is watched.
    pub(crate) session: SessionId,
    /// The viewer's own id, which we have drawn.
    pub(crate) viewer: SessionId,
    /// Of a client that receives video.
    pub(crate) offer: Parsed,
    /// Whose it is, for the log and for the answer's turn.
    pub(crate) client: Option<IpAddr>,
    /// Whose it is, for what one client may have; `None`: a program on this machine.
    pub(crate) limited: Option<IpAddr>,
    /// The subject of its access token.
    pub(crate) subject: Option<String>,
}

/// Why a viewer is not taken.
#[derive(Debug)]
pub(crate) enum WatchRefused {
    /// No session of this gateway has this id.
    UnknownSession,
    /// The session's stream shows nothing: its mode is `send`.
    NothingShown,
    /// The session has no picture yet.
    NoPicture,
    /// As many watch as may (`--max-viewers`).
    TooMany(u32),
    /// The offer cannot be answered.
    Offer(OfferError),
    /// The gateway takes nobody now.
    Refused(OfferRefused),
}

impl Handler<Watch> for Gateway {
    type Result = ResponseFuture<Result<String, WatchRefused>>;

    fn handle(&mut self, _: Watch, _: &mut Context<Self>) -> Self::Result {
        Box::pin(async { Err(WatchRefused::UnknownSession) })
    }
}
