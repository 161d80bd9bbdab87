//! A further offer of a browser whose session runs.

use std::sync::Arc;

use actix::{Context, Handler, Message, ResponseFuture};
use rtc::peer_connection::sdp::RTCSessionDescription;
use tokio::time::Instant;
use tracing::{debug, info};

use super::Session;
use super::refused::OfferRefused;
use super::registry::Gateway;
use crate::browser::offer;

/// Answer a further offer of the browser whose session this is; `None` when it is not: no such session, or an offer of
/// another connection.
#[derive(Message)]
#[rtype(result = "Option<Result<String, OfferRefused>>")]
pub(crate) struct Renegotiate {
    pub(crate) id: String,
    pub(crate) offer: RTCSessionDescription,
}

/// The same, for the session.
#[derive(Message)]
#[rtype(result = "Result<String, OfferRefused>")]
pub(super) struct Answer(RTCSessionDescription);

impl Handler<Renegotiate> for Gateway {
    type Result = ResponseFuture<Option<Result<String, OfferRefused>>>;

    fn handle(&mut self, Renegotiate { id, offer }: Renegotiate, _: &mut Self::Context) -> Self::Result {
        let session = self.of_origin(&id, offer::origin(&offer.sdp).as_deref());
        // Closed: it ended a moment ago.
        Box::pin(async move { session?.send(Answer(offer)).await.ok() })
    }
}

impl Handler<Answer> for Session {
    type Result = ResponseFuture<Result<String, OfferRefused>>;

    fn handle(&mut self, Answer(offer): Answer, _: &mut Context<Self>) -> Self::Result {
        if !self.offers.take(Instant::now(), offer::ice_ufrag(&offer.sdp), self.checked) {
            return Box::pin(async { Err(OfferRefused::Busy) });
        }
        let answers = Arc::clone(&self.answers);
        let Some(answered) = self.span.in_scope(|| self.peer.renegotiate(offer)) else {
            return Box::pin(async { Err(OfferRefused::Busy) });
        };
        let (span, connected) = (self.span.clone(), self.controls.is_connected());
        Box::pin(async move {
            let Some(_turn) = answers.turn(None).await else { return Err(OfferRefused::Busy) };
            let answered = answered.await;
            let _in_span = span.enter();
            match &answered {
                Ok(_) if connected => info!("renegotiated"),
                Ok(_) => debug!("renegotiated before it was connected"),
                Err(error) => debug!(%error, "further offer not answerable"),
            }
            answered.map_err(|_| OfferRefused::Unanswerable)
        })
    }
}
