//! The stream to one worker, for one session: hops 4 ([`send`]) and 7 ([`recv`]).
//!
//! > The mailbox is the back-pressure. It holds one nudge, and the handler is atomic: it keeps the actor busy until the
//! > worker has credit for the frame. So a full mailbox says exactly "the worker is behind", and meanwhile the frame
//! > that waits in the queue can still be replaced by a newer one.
//!
//! That only holds while each producer keeps ONE address: actix grants every fresh clone of an `Addr` a slot of its
//! own beyond the capacity.
//!
//! A generator has no frames to wait for: it is asked for an item with each credit, and a credit comes back when a
//! picture has been shown ([`Flight::shown`]). So it runs at the rate of the screen, a few pictures ahead.

mod convert;
mod recv;
mod send;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use actix::{Actor, Addr, ArbiterHandle, AtomicResponse, Context, Handler, Recipient, WrapFuture};
use reframe_proto::v1::ToWorker;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::controls::Controls;
use crate::frame::{Frame, FrameQueue};
use crate::pacer::ResultWaiting;
use crate::placement::Slot;
use crate::pool::Client;
use crate::session::{FrameWaiting, SessionEvent};
use crate::spec::Mode;

/// Nudges that may wait: one in work, one waiting.
const MAILBOX: usize = 1;
/// Messages between this actor and the gRPC stream. Credits bound the frames already, and inputs wait until there is
/// room, where a newer set takes their place.
const OUTBOUND: usize = 4;

/// The actor that feeds the worker.
pub(crate) struct Link {
    waiting: Arc<FrameQueue>,
    outbound: mpsc::Sender<ToWorker>,
    flight: Arc<Flight>,
    stop: CancellationToken,
}

/// What both directions share.
pub(crate) struct Flight {
    /// Frames that the worker will take now, or items that its generator may be asked for. Starts at none, until the
    /// worker says `Opened`.
    credits: Semaphore,
    /// Frames at the worker, oldest first; bounded by the credits it gave.
    frames: Mutex<VecDeque<Frame>>,
    /// Mode receive: answers without a picture whose credit is still to be given back.
    unshown: AtomicUsize,
}

/// Where a link's results go.
pub(crate) struct Sinks {
    pub(crate) results: Arc<FrameQueue>,
    pub(crate) nudge: Recipient<ResultWaiting>,
    pub(crate) events: mpsc::Sender<SessionEvent>,
}

/// Where the frames come from.
pub(crate) struct Source {
    pub(crate) session_id: String,
    pub(crate) waiting: Arc<FrameQueue>,
    pub(crate) controls: Arc<Controls>,
    pub(crate) flight: Arc<Flight>,
}

/// Opens the stream in the background; our slot on the worker is held until it has closed the stream. Whatever goes
/// wrong comes as a [`SessionEvent`]. The actor that is to be nudged is `None` for a generator.
pub(crate) fn open(
    (client, slot): (Client, Slot),
    source: Source,
    sinks: Sinks,
    stop: CancellationToken,
    arbiter: &ArbiterHandle,
    media: &tokio::runtime::Handle,
) -> Option<Addr<Link>> {
    let Source { session_id, waiting, controls, flight } = source;
    let (outbound, messages) = mpsc::channel(OUTBOUND);
    let mut values = controls.values();
    // Cannot be full: it is the first.
    drop(outbound.try_send(convert::open(&session_id, &values.borrow_and_update())));
    let inputs = stop.clone().run_until_cancelled_owned(send::inputs(values, outbound.clone()));
    media.spawn(inputs);
    let receive = recv::Receive { controls: Arc::clone(&controls), flight: Arc::clone(&flight), sinks };
    media.spawn(receive.run(client, messages, slot, stop.clone()).in_current_span());
    if controls.spec.mode == Mode::Receive {
        media.spawn(stop.run_until_cancelled_owned(send::pull(outbound, flight, controls)));
        return None;
    }
    let link = Link { waiting, outbound, flight, stop };
    Some(Link::start_in_arbiter(arbiter, |_| link))
}

impl Actor for Link {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<FrameWaiting> for Link {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: FrameWaiting, _: &mut Self::Context) -> Self::Result {
        let (waiting, outbound) = (Arc::clone(&self.waiting), self.outbound.clone());
        let (flight, stop) = (Arc::clone(&self.flight), self.stop.clone());
        let send = async move {
            // Stopped: what waits and what is in flight is counted as it is dropped.
            stop.run_until_cancelled(send::drain(&waiting, &outbound, &flight)).await;
        };
        AtomicResponse::new(Box::pin(send.into_actor(self)))
    }
}

impl Flight {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { credits: Semaphore::new(0), frames: Mutex::default(), unshown: AtomicUsize::new(0) })
    }

    /// Mode receive, at every tick of the metronome: asks the generator for as many items as were used up since, which
    /// are `pictures` and the answers without one. So a generator that only fails runs no faster than one that works.
    pub(crate) fn shown(&self, pictures: usize) {
        self.credits.add_permits(pictures + self.unshown.swap(0, Ordering::Relaxed));
    }

    /// Whether answers without a picture wait for their tick.
    pub(crate) fn has_unshown(&self) -> bool {
        self.unshown.load(Ordering::Relaxed) > 0
    }

    fn frames(&self) -> std::sync::MutexGuard<'_, VecDeque<Frame>> {
        // Only push and pop run under the lock.
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
