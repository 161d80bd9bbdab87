//! A further offer finds its session.

use actix::{Addr, Handler, Message, Recipient, ResponseFuture};

use super::Gateway;
use crate::browser::offer::Parsed;
use crate::media::refused::OfferRefused;
use crate::media::session_id::SessionId;
use crate::session::Answer;

/// Answer a further offer of the browser whose session this is; `None` when it is not: no such
/// session, or an offer of another connection.
#[derive(Message)]
#[rtype(result = "Option<Result<String, OfferRefused>>")]
pub(crate) struct Renegotiate {
    pub(crate) id: SessionId,
    pub(crate) offer: Parsed,
    /// The nonce in the session's token, where one was shown.
    pub(crate) nonce: Option<String>,
}

impl Handler<Renegotiate> for Gateway {
    type Result = ResponseFuture<Option<Result<String, OfferRefused>>>;

    fn handle(
        &mut self,
        Renegotiate { id, offer, nonce }: Renegotiate,
        _: &mut Self::Context,
    ) -> Self::Result {
        let (origin, nonce) = (offer.origin(), nonce.as_deref());
        let session = self.of_origin(&id, origin.as_deref(), nonce).map(Addr::recipient);
        let viewer = || self.viewer_of_origin(&id, origin.as_deref(), nonce).map(Addr::recipient);
        let whose: Option<Recipient<Answer>> = session.or_else(viewer);
        // Closed: it ended a moment ago.
        Box::pin(async move { whose?.send(Answer(offer)).await.ok() })
    }
}
