//! From an answer to a session that runs: its browser's first check, DTLS, and what it takes meanwhile.

use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, Message, WrapFuture};
use tokio::time::Instant;
use tracing::{error, info};

use super::Session;
use super::watch::{Verdict, Watch};
use crate::media::event::EndReason;
use crate::media::refused::OfferRefused;
use crate::stream::spec::Mode;
use crate::threads::arbiters::CodecArbiter;
use crate::workers::placement::Slot;
use crate::workers::pool::Serving;

/// From the first signed check until DTLS is up: two round trips, and a packet that is lost twice (RFC 6347, section
/// 4.2.4.1: after one second, then after two).
const DTLS_WITHIN: Duration = Duration::from_secs(5);

/// A session's browser has sent its first signed check, or completed DTLS. `None`: nothing is to be done now.
#[derive(Message)]
#[rtype(result = "Option<Result<Admitted, OfferRefused>>")]
pub(crate) struct Admit {
    pub(crate) id: String,
    /// DTLS is up.
    pub(crate) encrypted: bool,
}

/// All that a session takes. Dropping it gives it back.
pub(crate) struct Admitted {
    pub(crate) codecs: CodecArbiter,
    pub(crate) worker: Serving,
    pub(crate) slot: Slot,
}

impl Session {
    /// The first signed check: somebody is there.
    pub(super) fn first_check(&mut self, ctx: &mut Context<Self>) {
        self.checked = true;
        ctx.run_later(DTLS_WITHIN, |session, ctx| {
            if !session.controls.is_connected() {
                session.end(&EndReason::NoDtls(session.peer.step()), ctx);
            }
        });
        self.ask(false, ctx);
    }

    /// DTLS is up.
    pub(super) fn connected(&mut self, ctx: &mut Context<Self>) {
        if self.controls.is_connected() {
            // Back after an interruption.
            return;
        }
        self.controls.set_connected();
        self.span.in_scope(|| info!(worker = self.controls.worker(), "connected"));
        let counts = self.controls.signs.counts(self.peer.heard());
        let sends = self.controls.spec.mode != Mode::Receive;
        self.watch = Some(Watch::new(Instant::now(), counts, sends, self.timeouts.idle));
        if let Some(limit) = self.controls.spec.time_limit {
            ctx.run_later(limit, move |session, ctx| session.end(&EndReason::TimeLimit(limit), ctx));
        }
        self.ask(true, ctx);
        // The sign for the client that it is in, if it is.
        self.tell_stats();
    }

    /// Asks for what it takes to run.
    fn ask(&self, encrypted: bool, ctx: &mut Context<Self>) {
        let asking = self.admission.send(Admit { id: self.id.clone(), encrypted });
        ctx.spawn(asking.into_actor(self).map(|admitted, session, ctx| match admitted {
            Ok(Some(Ok(admitted))) => session.admitted(admitted, ctx),
            Ok(Some(Err(refused))) => session.end(&EndReason::Refused(refused), ctx),
            // Later, or already; or the gateway is stopping, and ends us.
            Ok(None) | Err(_) => {}
        }));
    }

    fn admitted(&mut self, admitted: Admitted, ctx: &mut Context<Self>) {
        let Some(parts) = self.parts.take() else { return };
        if let Err(error) = self.begin(*parts, admitted, ctx) {
            self.span.in_scope(|| error!(%error, "no codec"));
            return self.end(&EndReason::Refused(OfferRefused::NoWorker), ctx);
        }
        self.tell_stats();
    }

    /// Once a second: whether the browser is still there, and sends.
    pub(super) fn look(&mut self, ctx: &mut Context<Self>) {
        let counts = self.controls.signs.counts(self.peer.heard());
        let Some(watch) = &mut self.watch else { return };
        let verdict = watch.look(Instant::now(), counts);
        // Before it had a frame it has not much longer, and is nobody to give way.
        self.controls.signs.set_idle(if counts.frames > 0 { watch.idle() } else { Duration::ZERO });
        let reason = match verdict {
            None => return,
            Some(Verdict::Silent) => EndReason::Silent,
            Some(Verdict::NoVideo { packets }) => EndReason::NoVideo { packets },
            Some(Verdict::Idle) => EndReason::Idle(self.timeouts.idle),
        };
        self.end(&reason, ctx);
    }
}
