//! A first offer: whether it may begin a session, its answer, and the session that then waits for
//! its browser.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix::{
    ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseActFuture, WrapFuture,
};
use reframe_trace::STRANGER;
use tokio::time::Instant;
use tracing::{Instrument, error, info_span};

use super::candidate::Opening;
use super::client_limits::NewOffer;
use super::{Entry, Gateway};
use crate::browser::offer::{Offer, Parsed};
use crate::media::refused::OfferRefused;
use crate::media::session_id::SessionId;
use crate::session::{AddCandidate, PendingSession, open};
use crate::stream::inputs::Values;
use crate::stream::live_session::Owner;
use crate::stream::spec::Spec;

/// Start a session of a stream; the answer is SDP. It takes its slot when the browser has shown
/// that it is there.
#[derive(Message)]
#[rtype(result = "Result<String, OfferRefused>")]
pub(crate) struct StartSession {
    /// The declaration that its offer was read by.
    pub(crate) spec: Arc<Spec>,
    /// Its client was made for another one.
    pub(crate) outdated: bool,
    pub(crate) id: SessionId,
    /// Whose it is, for the log and for the answer's turn.
    pub(crate) client: Option<IpAddr>,
    /// Whose it is, for what one client may have; `None`: a program on this machine.
    pub(crate) limited: Option<IpAddr>,
    pub(crate) offer: Offer,
    /// What the client has set already.
    pub(crate) inputs: Values,
    pub(crate) owner: Owner,
    /// Sessions that the owner's subject may have at once.
    pub(crate) max_sessions: Option<u32>,
    /// The id of the session whose place it takes, which does not count for its client's limits.
    pub(crate) replaces: Option<String>,
    /// The client's own offer, where it changes the session as a resource of HTTP.
    pub(crate) resource: Option<Parsed>,
}

impl Handler<StartSession> for Gateway {
    type Result = ResponseActFuture<Self, Result<String, OfferRefused>>;

    fn handle(&mut self, mut start: StartSession, _: &mut Context<Self>) -> Self::Result {
        if let Err(refused) = self.check_offer(&start) {
            return Box::pin(async move { Err(refused) }.into_actor(self));
        }
        let (id, resource) = (start.id.clone(), start.resource.take());
        let opening = Opening::new(&start.owner.nonce, self.early.take(&id));
        self.sessions.insert(id.clone(), Entry::Opening(opening));
        self.count.send_replace(self.sessions.len());
        let span = info_span!(
            "session",
            session = id.digest(),
            client = start.client.map(tracing::field::display),
            codec = start.offer.codec.codec.name()
        );
        let answering = self.answer(start, span.clone()).instrument(span);
        // The connection's driver lives on the runtime that builds it.
        let answering = self.media.spawn(answering).into_actor(self);
        Box::pin(answering.map(move |answered, gateway, ctx| {
            let answered = answered.unwrap_or_else(|panic| {
                let session = id.digest();
                error!(target: STRANGER, session, %panic, "an offer was not answered");
                Err(OfferRefused::Unanswerable("our own fault; see the log".to_owned()))
            });
            // Began before `Shutdown` and would miss it.
            let draining = gateway.draining.load(Ordering::Relaxed);
            let answered = answered.and_then(|answered| {
                if draining { Err(OfferRefused::Draining) } else { Ok(answered) }
            });
            match answered {
                Ok((sdp, pending)) => {
                    gateway.open(pending, ctx);
                    if let Some(offer) = resource {
                        gateway.resources.keep(id, None, offer, &sdp);
                    }
                    Ok(sdp)
                }
                Err(refused) => {
                    gateway.forget(&id);
                    Err(refused)
                }
            }
        }))
    }
}

impl Gateway {
    /// Whether there is room for a session that now offers. Here and now: other gateways and
    /// workers are not asked yet.
    fn check_offer(&mut self, start: &StartSession) -> Result<(), OfferRefused> {
        let StartSession { id, client, limited, owner, max_sessions, replaces, .. } = start;
        if self.draining.load(Ordering::Relaxed) {
            return Err(OfferRefused::Draining);
        }
        if self.sessions.contains_key(id) {
            return Err(OfferRefused::AlreadyExists);
        }
        // Free again at once: it is taken when the browser has shown that it is there.
        self.codec_place(true).map(drop)?;
        // Before the placement is asked: that costs as much as the answer does.
        let (now, subject) = (Instant::now(), owner.subject.as_deref());
        let (max_sessions, replaces) = (*max_sessions, replaces.as_deref());
        let offer = NewOffer { id, address: *limited, subject, max_sessions, replaces };
        self.clients.take_offer(now, &offer)?;
        // Last: a client that is over a limit of its own takes nothing from others on its network.
        if client.is_some_and(|client| !self.new_sessions.take(now, client)) {
            self.clients.ended(id);
            return Err(OfferRefused::RateLimited);
        }
        Ok(())
    }

    /// The connection is there, or none is needed: make the session around it.
    pub(super) fn open(&mut self, pending: PendingSession, ctx: &mut Context<Self>) {
        let (id, live) = (pending.id.clone(), Arc::clone(&pending.live));
        let offer = pending.connection.as_ref().map(|(offer, _)| offer);
        let origin = offer.and_then(|offer| offer.origin.clone());
        let codec = offer.map(|offer| offer.codec.codec);
        // All of whom nothing is known are one client.
        let client = pending.client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let crowded_out = self.admission.answered(&id, client);
        self.crowd_out(crowded_out);
        let session = open(pending, &self.arbiters, &self.media, &ctx.address());
        let running = Entry::Running { session: session.clone(), live, codec, origin };
        if let Some(Entry::Opening(opening)) = self.sessions.insert(id, running) {
            for candidate in opening.into_candidates() {
                // The mailbox is new; candidates beyond it are paths that the answer makes
                // redundant.
                drop(session.try_send(AddCandidate(candidate)));
            }
        }
    }
}
