//! A further offer finds its session.

use actix::{Handler, Message, ResponseFuture};

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
        let session = self.of_origin(&id, offer.origin().as_deref(), nonce.as_deref());
        // Closed: it ended a moment ago.
        Box::pin(async move { session?.send(Answer(offer)).await.ok() })
    }
}
