//! The stream to one worker, for one session: hops 4 ([`send`]) and 7 ([`recv`]).
//!
//! > The mailbox is the back-pressure. It holds one nudge, and the handler is atomic: it keeps the
//! > actor busy until the worker has credit for the frame. So a full mailbox says exactly "the
//! > worker is behind", and meanwhile the frame that waits in the queue can still be replaced by a
//! > newer one.
//!
//! That only holds while each producer keeps ONE address: actix grants every fresh clone of an
//! `Addr` a slot of its own beyond the capacity.
//!
//! A generator has no frames to wait for: it is asked for an item with each credit, and a credit
//! comes back when a picture has been shown ([`CreditWindow::shown`]). So it runs at the rate of
//! the screen, a few pictures ahead.
//!
//! A session has one link at a time and may have several one after the other: [`dial()`] finds out
//! whether a worker takes it, [`open`] makes the link, [`Attached::leave`] lets it go when its
//! frames are back.

pub(crate) mod convert;
mod credit_window;
mod dial;
mod exchange;
mod recv;
mod send;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::SendError;
use actix::{Actor, Addr, ArbiterHandle, AtomicResponse, Context, Handler, Recipient, WrapFuture};
use reframe_proto::exchange::Exchange;
use reframe_proto::v1::ToWorker;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

pub(crate) use self::credit_window::CreditWindow;
pub(crate) use self::dial::{DialError, Dialed, dial};
use crate::media::event::{FrameWaiting, ResultWaiting, SessionEvent};
use crate::media::frame::FrameQueue;
use crate::stream::handler_times::HandlerTimes;
use crate::stream::latency::Latency;
use crate::stream::outputs::Outputs;
use crate::stream::spec::Mode;
use crate::stream::status::Status;
use crate::telemetry;
use crate::workers::pool::WorkerHandle;

/// Wake-ups: one is being handled, one may wait.
const MAILBOX: usize = 1;
/// How long a worker that is left may take to answer its outstanding frames. A slower handler is
/// not waited for: the frames are lost, and the next worker begins.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// The actor that feeds the worker.
pub(crate) struct Link {
    waiting: Arc<FrameQueue>,
    outbound: mpsc::Sender<ToWorker>,
    exchange: Option<Arc<Exchange>>,
    window: Arc<CreditWindow>,
    sending: CancellationToken,
}

/// The channel ends of a session that each of its links uses.
#[derive(Clone)]
pub(crate) struct LinkContext {
    /// The queue of frames.
    pub(crate) waiting: Arc<FrameQueue>,
    pub(crate) mode: Mode,
    /// The readers of outputs.
    pub(crate) outputs: Arc<Outputs>,
    /// For whether the browser is connected.
    pub(crate) status: Arc<Status>,
    /// What its frames take at the worker.
    pub(crate) times: Arc<HandlerTimes>,
    /// For the end of the setup, where no picture is sent.
    pub(crate) latency: Arc<Latency>,
    pub(crate) window: Arc<CreditWindow>,
    /// The queue of results.
    pub(crate) results: Arc<FrameQueue>,
    pub(crate) nudge: Recipient<ResultWaiting>,
    pub(crate) events: Recipient<SessionEvent>,
}

/// An open link. Dropping it after its receiving half has sent [`SessionEvent::Detached`] stops the
/// actor.
pub(crate) struct Attached {
    pub(crate) worker: WorkerHandle,
    /// The only address from which the link is woken; a generator's link needs none.
    link: Option<Addr<Link>>,
    window: Arc<CreditWindow>,
    /// Stops the sending half; a child of `stop`.
    sending: CancellationToken,
    /// Stops the whole link.
    stop: CancellationToken,
}

/// Creates the link. Its outcome arrives as a [`SessionEvent`]. Our slot on the worker is held
/// until the worker has closed the stream.
pub(crate) fn open(
    dialed: Dialed,
    context: &LinkContext,
    session: &CancellationToken,
    arbiter: &ArbiterHandle,
    media: &tokio::runtime::Handle,
) -> Attached {
    let Dialed { worker, slot, credits, exchange, outbound, stream, values } = dialed;
    let LinkContext { waiting, mode, status, window, .. } = context.clone();
    let stop = session.child_token();
    let sending = stop.child_token();
    window.begin(credits);

    let senders = TaskTracker::new();
    let inputs = sending.clone().run_until_cancelled_owned(send::inputs(values, outbound.clone()));
    senders.spawn_on(inputs, media);
    let link = if mode == Mode::Receive {
        let pull = send::pull(outbound, Arc::clone(&window), status);
        senders.spawn_on(sending.clone().run_until_cancelled_owned(pull.in_current_span()), media);
        None
    } else {
        let (exchange, window) = (exchange.clone(), Arc::clone(&window));
        let link = Link { waiting, outbound, exchange, window, sending: sending.clone() };
        let link = Link::start_in_arbiter(arbiter, |_| link);
        // No wake-up was sent for frames that already wait.
        nudge(&link);
        Some(link)
    };
    senders.close();
    let health = worker.health.clone();
    let (context, receiving) = (context.clone(), sending.clone());
    let receive = recv::Receive {
        context,
        stream: worker.spec.name.clone(),
        exchange,
        health,
        senders,
        sending: receiving,
        stop: stop.clone(),
    };
    media.spawn(receive.run(stream, slot).in_current_span());
    Attached { worker, link, window, sending, stop }
}

impl Attached {
    /// A frame was put into the queue.
    pub(crate) fn nudge(&self) {
        if let Some(link) = &self.link {
            nudge(link);
        }
    }

    /// Stops sending, waits until the worker has answered its outstanding frames, and then ends the
    /// link.
    pub(crate) fn leave(&self, media: &tokio::runtime::Handle) {
        self.sending.cancel();
        let (window, stop) = (Arc::clone(&self.window), self.stop.clone());
        media.spawn(async move {
            drop(timeout(LEAVE_WITHIN, window.landed()).await);
            stop.cancel();
        });
    }
}

/// Wakes the link for a waiting frame. The frame itself stays in the queue until there is credit.
fn nudge(link: &Addr<Link>) {
    match link.try_send(FrameWaiting) {
        // Waits until the worker has credit, which it may have now.
        Ok(()) => {}
        // The worker is behind, and a wake-up already waits. So does the frame: when frames are
        // skipped a newer one may replace it until it is sent, else it is sent in its turn.
        Err(SendError::Full(FrameWaiting)) => telemetry::mailbox_full("link"),
        // There is no link; the next one checks the queue when it starts.
        Err(SendError::Closed(FrameWaiting)) => {}
    }
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
        let (window, sending) = (Arc::clone(&self.window), self.sending.clone());
        let exchange = self.exchange.clone();
        let send = async move {
            // Stopped: waiting frames stay for the next worker, and outstanding ones are counted
            // when they are lost. Checked first, or the last worker's link might take a credit of
            // the next one's.
            tokio::select! {
                biased;
                () = sending.cancelled() => {}
                () = send::drain(&waiting, &outbound, exchange.as_deref(), &window) => {}
            }
        };
        AtomicResponse::new(Box::pin(send.into_actor(self)))
    }
}
