//! The session of a broadcast stream: one for all gateways, which begins with its first viewer and
//! has no client of its own.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix::{ActorFutureExt, Context, ResponseActFuture, WrapFuture};
use tokio::sync::oneshot;
use tracing::{Instrument, info_span};

use super::{Entry, Gateway};
use crate::media::event::SessionEvent;
use crate::media::refused::OfferRefused;
use crate::media::session_id::SessionId;
use crate::stream::inputs::Values;
use crate::stream::live_session::{LiveSession, Owner};
use crate::stream::spec::Spec;

impl Gateway {
    /// Resolves when it has begun, for all who want to watch it; `None`: it runs. An error for
    /// each: another gateway has it ([`OfferRefused::AlreadyExists`]), or it cannot begin.
    pub(super) fn broadcast(
        &mut self,
        id: SessionId,
        spec: Arc<Spec>,
    ) -> Option<ResponseActFuture<Self, Result<(), OfferRefused>>> {
        match self.sessions.get_mut(&id) {
            // No more wait than may ask at once: HTTP bounds its connections.
            Some(Entry::Beginning(waiting)) => {
                let (begun, waits) = oneshot::channel();
                waiting.push(begun);
                let waits = async { waits.await.unwrap_or(Err(OfferRefused::Draining)) };
                Some(Box::pin(waits.into_actor(self)))
            }
            Some(_) => None,
            None => Some(self.begin_broadcast(id, spec)),
        }
    }

    fn begin_broadcast(
        &mut self,
        id: SessionId,
        spec: Arc<Spec>,
    ) -> ResponseActFuture<Self, Result<(), OfferRefused>> {
        // Whether there is time for it is asked when it is known to be here.
        let span = info_span!("session", session = id.digest());
        self.sessions.insert(id.clone(), Entry::Beginning(Vec::new()));
        self.count.send_replace(self.sessions.len());
        let stream = spec.name.clone();
        let live = LiveSession::new(spec, false, Owner::default(), Values::default());
        let prepared = self.prepare(live, id.clone(), None, span.clone());
        let pending = self.media.spawn(prepared.look(false).instrument(span)).into_actor(self);
        Box::pin(pending.map(move |pending, gateway: &mut Self, ctx: &mut Context<Self>| {
            let waiting = match gateway.sessions.get_mut(&id) {
                Some(Entry::Beginning(waiting)) => std::mem::take(waiting),
                _ => Vec::new(),
            };
            // An error: the media runtime is going down. One that a stop would miss does not begin.
            let draining = gateway.draining.load(Ordering::Relaxed);
            let pending = pending.unwrap_or(Err(OfferRefused::Draining));
            if draining {
                // Others would send their viewers here until the store forgets it.
                let (placement, id) = (Arc::clone(&gateway.placement), id.clone());
                gateway.media.spawn(async move { placement.disown(&id, &stream).await });
            }
            let begun = match pending.and_then(|pending| {
                if draining { Err(OfferRefused::Draining) } else { Ok(pending) }
            }) {
                Ok(pending) => {
                    let events = pending.channels.events();
                    gateway.open(pending, ctx);
                    // Nobody has to connect. Its mailbox is new: this is the first message.
                    drop(events.try_send(SessionEvent::Connected));
                    Ok(())
                }
                Err(refused) => {
                    gateway.forget(&id);
                    Err(refused)
                }
            };
            for waits in waiting {
                // An error is a client that no longer waits.
                waits.send(begun.clone()).ok();
            }
            begun
        }))
    }
}
