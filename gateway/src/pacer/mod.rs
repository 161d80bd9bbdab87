//! Hop 8 of 10: results in, releases at the target frame rate out.
//! In:    a `FrameQueue` of results.   Out: `egress::Releases`, one waiting.
//! Runs:  the pacer arbiter, which all sessions share and where nothing else runs: its timers are on time.
//! Full:  a newer result takes the waiting one's place, `frames_dropped_total{hop="pacer",reason="skipped"}`.
//! Clock: monotonic; the core takes `now`, and time stamps follow the browser's capture clock.

mod core;

use std::sync::Arc;

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, SpawnHandle, WrapFuture};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::core::{Action, Pacer};
use crate::codec::Picture;
use crate::egress::{Release, Releases};
use crate::frame::FrameQueue;
use crate::telemetry::{self, Stage};

/// Nudges that may wait: one is enough, since each makes the actor look at the queue itself.
const MAILBOX: usize = 1;

/// A result was put into the queue. Losing one is harmless when another waits.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ResultWaiting;

/// The actor around [`core::Pacer`].
pub(crate) struct PacerActor {
    core: Pacer,
    results: Arc<FrameQueue>,
    releases: Arc<Releases>,
    /// What a re-emission shows.
    last: Option<Picture>,
    timer: Option<(Instant, SpawnHandle)>,
    stop: CancellationToken,
}

impl PacerActor {
    pub(crate) fn new(fps: f64, results: Arc<FrameQueue>, releases: Arc<Releases>, stop: CancellationToken) -> Self {
        Self { core: Pacer::new(fps), results, releases, last: None, timer: None, stop }
    }

    fn step(&mut self, ctx: &mut Context<Self>) {
        loop {
            let now = Instant::now();
            match self.core.poll(now, !self.results.is_empty()) {
                Action::Release => {
                    let Some(frame) = self.results.pop() else { continue };
                    telemetry::stage(Stage::Pace, now.saturating_duration_since(frame.since));
                    let pts = self.core.released(now, frame.captured);
                    self.last = Some(frame.picture.clone());
                    self.releases.push(Release { picture: frame.picture, pts, ticket: Some(frame.ticket) });
                }
                Action::Repeat { pts } => {
                    if let Some(picture) = self.last.clone() {
                        self.releases.push(Release { picture, pts, ticket: None });
                    }
                }
                Action::Wait(until) => return self.arm(ctx, until),
            }
        }
    }

    /// One timer, for the instant that the core named last.
    fn arm(&mut self, ctx: &mut Context<Self>, until: Option<Instant>) {
        if self.timer.as_ref().map(|(at, _)| *at) == until {
            return;
        }
        if let Some((_, handle)) = self.timer.take() {
            ctx.cancel_future(handle);
        }
        self.timer = until.map(|at| {
            let handle = ctx.run_later(at.saturating_duration_since(Instant::now()), |pacer, ctx| {
                pacer.timer = None;
                pacer.step(ctx);
            });
            (at, handle)
        });
    }
}

impl Actor for PacerActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        // Its own timer would keep it alive for ever: actix waits for an actor's futures after its last address is gone.
        let stopped = self.stop.clone().cancelled_owned().into_actor(self);
        ctx.spawn(stopped.map(|(), _, ctx| ctx.stop()));
    }
}

impl Handler<ResultWaiting> for PacerActor {
    type Result = ();

    fn handle(&mut self, _: ResultWaiting, ctx: &mut Self::Context) {
        self.step(ctx);
    }
}
