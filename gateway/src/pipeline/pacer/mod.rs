//! Hop 8 of 10: results in, releases at the target frame rate out.
//! In:    a `FrameQueue` of results.
//! Out:   `egress::PacedQueue`.
//! Runs:  the pacer arbiter, which all sessions share and where nothing else runs: its timers are
//!        on time.
//! Full:  a newer result takes the waiting one's place,
//!        `frames_dropped_total{hop="pacer",reason="skipped"}`. No result of a generator is lost
//!        here: credits bound them.
//! Clock: monotonic; the cores take `now`. Time stamps follow the browser's capture clock, or a
//!        generator's grid.

mod core;
mod metronome;

use std::sync::Arc;

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, SpawnHandle, WrapFuture,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use self::core::{Action, Pacer};
use self::metronome::Metronome;
use crate::codec::Picture;
use crate::media::event::ResultWaiting;
use crate::media::frame::{Frame, FrameQueue};
use crate::pipeline::egress::{PacedPicture, PacedQueue};
use crate::telemetry::Stage;
use crate::workers::link::CreditWindow;

/// Nudges that may wait: one is enough, since each makes the actor look at the queue itself.
const MAILBOX: usize = 1;

/// The actor around the cores.
pub(crate) struct PacerActor {
    core: Core,
    results: Arc<FrameQueue>,
    releases: Arc<PacedQueue>,
    /// What a re-emission shows.
    last: Option<Picture>,
    timer: Option<(Instant, SpawnHandle)>,
    stop: CancellationToken,
}

enum Core {
    /// Results come by themselves.
    Results(Pacer),
    /// They are asked for: each tick orders the next.
    Metronome(Metronome, Arc<CreditWindow>),
}

impl PacerActor {
    /// For results that come by themselves.
    pub(crate) fn new(
        fps: f64,
        results: Arc<FrameQueue>,
        releases: Arc<PacedQueue>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            core: Core::Results(Pacer::new(fps)),
            results,
            releases,
            last: None,
            timer: None,
            stop,
        }
    }

    /// For a generator, which is asked for its next picture when one is shown.
    pub(crate) fn metronome(
        fps: f64,
        window: Arc<CreditWindow>,
        results: Arc<FrameQueue>,
        releases: Arc<PacedQueue>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            core: Core::Metronome(Metronome::new(fps), window),
            ..Self::new(fps, results, releases, stop)
        }
    }

    fn step(&mut self, ctx: &mut Context<Self>) {
        loop {
            let now = Instant::now();
            let waits = !self.results.is_empty();
            let action = match &mut self.core {
                Core::Results(pacer) => pacer.poll(now, waits),
                Core::Metronome(metronome, window) => {
                    if window.has_blanks() {
                        metronome.begin(now);
                    }
                    metronome.poll(now, waits)
                }
            };
            match action {
                Action::Release => {
                    let Some(mut frame) = self.results.pop() else { continue };
                    let (pts, leave_at) = match &mut self.core {
                        Core::Results(pacer) => {
                            frame.ticket.stage(Stage::Pace, frame.since, now);
                            (pacer.released(now, frame.captured), None)
                        }
                        Core::Metronome(metronome, window) => {
                            window.shown(1);
                            // It was early on purpose: its time on the way counts from now.
                            frame.ticket.complete(now);
                            let (pts, leave_at) = metronome.ticked();
                            (pts, Some(leave_at))
                        }
                    };
                    self.last = Some(frame.picture.clone());
                    let Frame { picture, stamp, ticket, .. } = frame;
                    let ticket = Some(ticket);
                    self.releases.push(PacedPicture {
                        picture,
                        pts,
                        released: now,
                        leave_at,
                        stamp,
                        new: true,
                        ticket,
                    });
                }
                Action::Repeat { pts, leave_at } => {
                    if let Core::Metronome(_, window) = &self.core {
                        window.shown(0);
                    }
                    if let Some(picture) = self.last.clone() {
                        let release = PacedPicture {
                            picture,
                            pts,
                            released: now,
                            leave_at,
                            stamp: None,
                            new: false,
                            ticket: None,
                        };
                        self.releases.push(release);
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
            let handle =
                ctx.run_later(at.saturating_duration_since(Instant::now()), |pacer, ctx| {
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
        // Its own timer would keep it alive forever: actix waits for an actor's futures after its
        // last address is gone.
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
