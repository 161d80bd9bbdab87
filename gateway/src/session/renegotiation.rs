//! A renegotiation: a further offer of a client whose connection is up.

use std::sync::Arc;

use actix::{Context, Handler, Message, ResponseFuture};
use reframe_trace::STRANGER;
use tokio::time::Instant;
use tracing::{Span, debug, info};

use super::rate::Offers;
use super::{Answers, Session};
use crate::browser::offer::Parsed;
use crate::browser::peer::Peer;
use crate::media::refused::OfferRefused;

/// Answer a further offer of this session's browser.
#[derive(Message)]
#[rtype(result = "Result<String, OfferRefused>")]
pub(crate) struct Answer(pub(crate) Parsed);

/// What bounds the further offers of one connection.
pub(crate) struct Renegotiation {
    offers: Offers,
    answers: Arc<Answers>,
}

impl Renegotiation {
    /// `ufrag`: of the connection's first offer.
    pub(crate) fn new(now: Instant, ufrag: Option<&str>, answers: Arc<Answers>) -> Self {
        Self { offers: Offers::new(now, ufrag), answers }
    }

    /// The answer of a connection whose client has sent a signed check, or is connected.
    pub(crate) fn answer(
        &mut self,
        offer: &Parsed,
        peer: &Peer,
        checked: bool,
        connected: bool,
        span: &Span,
    ) -> ResponseFuture<Result<String, OfferRefused>> {
        let offer = match span.in_scope(|| peer.further(offer)) {
            Ok(offer) => offer,
            Err(error) => {
                span.in_scope(|| info!(target: STRANGER, %error, "further offer refused"));
                return Box::pin(async move { Err(OfferRefused::Unanswerable(error.to_string())) });
            }
        };
        if !self.offers.take(Instant::now(), offer.ufrag(), checked) {
            return Box::pin(async { Err(OfferRefused::Busy) });
        }
        let answers = Arc::clone(&self.answers);
        let Some(answered) = span.in_scope(|| peer.renegotiate(offer)) else {
            return Box::pin(async { Err(OfferRefused::Busy) });
        };
        let span = span.clone();
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

impl Handler<Answer> for Session {
    type Result = ResponseFuture<Result<String, OfferRefused>>;

    fn handle(&mut self, Answer(offer): Answer, _: &mut Context<Self>) -> Self::Result {
        let (checked, connected) = (self.core.is_checked(), self.live.status.is_connected());
        match &self.peer {
            Some(peer) => self.renegotiation.answer(&offer, peer, checked, connected, &self.span),
            // Nobody has its id.
            None => Box::pin(async { Err(OfferRefused::AlreadyExists) }),
        }
    }
}
