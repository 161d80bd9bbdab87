//! The stream to one worker, for one session: hops 4 ([`send`]) and 7 ([`recv`]).
//!
//! > The mailbox is the back-pressure. It holds one nudge, and the handler is atomic: it keeps the actor busy until the
//! > worker has credit for the frame. So a full mailbox says exactly "the worker is behind", and meanwhile the frame
//! > that waits in the queue can still be replaced by a newer one.
//!
//! That only holds while each producer keeps ONE address: actix grants every fresh clone of an `Addr` a slot of its
//! own beyond the capacity.

mod convert;
mod recv;
mod send;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use actix::{Actor, Addr, ArbiterHandle, AtomicResponse, Context, Handler, Recipient, WrapFuture};
use reframe_proto::v1::ToWorker;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::frame::{Frame, FrameQueue};
use crate::pacer::ResultWaiting;
use crate::placement::Slot;
use crate::pool::Client;
use crate::session::{FrameWaiting, SessionEvent};

/// Nudges that may wait: one in work, one waiting.
const MAILBOX: usize = 1;
/// Messages between this actor and the gRPC stream. Credits bound it already: it holds at most what the worker asked
/// for and the opening message.
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
    /// Frames that the worker will take now. Starts at none, until it says `Opened`.
    credits: Semaphore,
    /// Frames at the worker, oldest first; bounded by the credits it gave.
    frames: Mutex<VecDeque<Frame>>,
}

/// Where a link's results go.
pub(crate) struct Sinks {
    pub(crate) results: Arc<FrameQueue>,
    pub(crate) nudge: Recipient<ResultWaiting>,
    pub(crate) events: mpsc::Sender<SessionEvent>,
}

/// Opens the stream in the background and starts the actor; our slot on the worker is held until it has closed the
/// stream. Whatever goes wrong comes as a [`SessionEvent`].
pub(crate) fn open(
    (client, slot): (Client, Slot),
    session_id: &str,
    waiting: Arc<FrameQueue>,
    sinks: Sinks,
    stop: CancellationToken,
    arbiter: &ArbiterHandle,
    media: &tokio::runtime::Handle,
) -> Addr<Link> {
    let (outbound, messages) = mpsc::channel(OUTBOUND);
    let flight = Arc::new(Flight { credits: Semaphore::new(0), frames: Mutex::default() });
    // Cannot be full: it is the first.
    drop(outbound.try_send(convert::open(session_id)));
    let receive = recv::run(client, messages, Arc::clone(&flight), sinks, slot, stop.clone());
    media.spawn(receive.in_current_span());
    let link = Link { waiting, outbound, flight, stop };
    Link::start_in_arbiter(arbiter, |_| link)
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
    fn frames(&self) -> std::sync::MutexGuard<'_, VecDeque<Frame>> {
        // Only push and pop run under the lock.
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
