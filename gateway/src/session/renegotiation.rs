//! A renegotiation: a further offer of a browser whose session runs.

use std::sync::Arc;

use actix::{Context, Handler, Message, ResponseFuture};
use reframe_trace::STRANGER;
use tokio::time::Instant;
use tracing::{debug, info};

use super::Session;
use crate::browser::offer::Parsed;
use crate::media::refused::OfferRefused;

/// Answer a further offer of this session's browser.
#[derive(Message)]
#[rtype(result = "Result<String, OfferRefused>")]
pub(crate) struct Answer(pub(crate) Parsed);

impl Handler<Answer> for Session {
    type Result = ResponseFuture<Result<String, OfferRefused>>;

    fn handle(&mut self, Answer(offer): Answer, _: &mut Context<Self>) -> Self::Result {
        let offer = match self.span.in_scope(|| self.peer.further(&offer)) {
            Ok(offer) => offer,
            Err(error) => {
                self.span.in_scope(|| info!(target: STRANGER, %error, "further offer refused"));
                return Box::pin(async move { Err(OfferRefused::Unanswerable(error.to_string())) });
            }
        };
        if !self.offers.take(Instant::now(), offer.ufrag(), self.core.is_checked()) {
            return Box::pin(async { Err(OfferRefused::Busy) });
        }
        let answers = Arc::clone(&self.answers);
        let Some(answered) = self.span.in_scope(|| self.peer.renegotiate(offer)) else {
            return Box::pin(async { Err(OfferRefused::Busy) });
        };
        let (span, connected) = (self.span.clone(), self.live.status.is_connected());
        Box::pin(async move {
            let Some(_turn) = answers.turn(None).await else { return Err(OfferRefused::Busy) };
            let answered = answered.await;
            let _in_span = span.enter();
            match &answered {
                Ok(_) if connected => info!("renegotiated"),
                Ok(_) => debug!("renegotiated before it was connected"),
                Err(error) => info!(target: STRANGER, %error, "further offer refused"),
            }
            answered.map_err(|error| OfferRefused::Unanswerable(error.to_string()))
        })
    }
}
