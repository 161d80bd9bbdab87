//! Hop 5 of 10: gRPC messages in, frames for the handler's actor out; and its replies back.
//! In:    the gateway's `link`, <= `credits` frames or pulls a session.
//! Out:   the mailbox of the session's actor (`runner`), <= `credits` of them.
//! Runs:  tokio, one task per session.
//! Full:  a frame that the mailbox refuses came without a credit, is counted, and ends its session.
//!        Inputs do not queue: the newest replace the last.
//! Clock: the runtime's, for handlers that do not return.

use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix::prelude::SendError;
use reframe_proto::exchange::Exchange;
use reframe_proto::location::Location;
use reframe_proto::v1::frame_worker_server::FrameWorker;
use reframe_proto::v1::{DescribeRequest, FromWorker, Open, StreamSpec, ToWorker};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument;

use crate::convert::{self, Message, Process};
use crate::inputs::Inputs;
use crate::message::{NOTICES, REPLIES};
use crate::mode::Mode;
use crate::runner::{Call, Inbox, Pool};
use crate::server::readiness::Readiness;
use crate::session::Session;
use crate::stream::Stream;

/// Credits, never zero: the mailbox has as many places, and there zero means no bound.
///
/// When frames are skipped: none waits here, so that the waiting one stays in the gateway, where a
/// newer replaces it. A session that calls a model which works on batches is given more, and its
/// newest frame waits here, beside the mailbox (`newest`).
const CREDITS_SKIPPING: u32 = 1;

/// Credits when no frame is skipped: one more, so that the next frame travels while the handler has
/// this one.
const CREDITS_IN_ORDER: u32 = 2;

/// Credits in mode receive: items made ahead. The gateway gives a credit back when a picture has
/// been shown, so this much of a generator's unevenness is hidden, 50 ms at 60 fps, and no more
/// memory is used.
const PULLS: u32 = 3;

/// How long a handler may go on after its session was closed before the log says that it does. Its
/// slot is taken until it returns.
const STUCK_AFTER: Duration = Duration::from_secs(5);

/// Why a call is refused or ended.
const SHUTTING_DOWN: &str = "this worker is shutting down";

/// One stream's handler as a gRPC service.
pub(crate) struct Service {
    stream: Arc<Stream>,
    /// What its sessions are taken into.
    pool: Arc<Pool>,
    process: Process,
    readiness: Readiness,
    ends: ShutdownTokens,
}

/// The two steps of a shutdown.
#[derive(Clone)]
pub(crate) struct ShutdownTokens {
    /// No new sessions.
    pub(crate) draining: CancellationToken,
    /// No sessions.
    pub(crate) closing: CancellationToken,
}

impl Service {
    /// Takes as many sessions at once as the pool has room for, until it drains.
    #[expect(
        clippy::disallowed_methods,
        reason = "the start is compared with that of workers on other hosts"
    )]
    pub(crate) fn new(
        stream: Arc<Stream>,
        pool: Arc<Pool>,
        location: Location,
        readiness: Readiness,
        ends: ShutdownTokens,
    ) -> Self {
        // From the operating system's randomness, by the standard library's own use of it for hash
        // maps.
        let random = || RandomState::new().hash_one(std::process::id());
        let instance = format!("{:016x}{:016x}", random(), random());
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started_unix_ms = u64::try_from(started.as_millis()).unwrap_or_default();
        let process = Process { instance, started_unix_ms, location };
        Self { stream, pool, process, readiness, ends }
    }
}

#[tonic::async_trait]
impl FrameWorker for Service {
    async fn describe(
        &self,
        request: Request<DescribeRequest>,
    ) -> Result<Response<StreamSpec>, Status> {
        self.readiness.hear(request.into_inner());
        Ok(Response::new(convert::spec(&self.stream, self.pool.capacity(), &self.process)))
    }

    type SessionStream =
        Pin<Box<dyn tokio_stream::Stream<Item = Result<FromWorker, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<ToWorker>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut inbound = request.into_inner();
        // How long it may take and how large it may be: `guard`.
        let first = inbound.message().await?;
        let Open { session_id: id, inputs, traceparent, exchange } = convert::open(first)?;
        let inputs = convert::inputs(&self.stream, inputs)?;
        let exchange = Exchange::join(exchange);

        if let Some(problem) = self.pool.health().problem() {
            return Err(Status::unavailable(problem));
        }
        if self.ends.draining.is_cancelled() {
            return Err(Status::unavailable(SHUTTING_DOWN));
        }
        let slot = self.pool.claim().ok_or_else(|| {
            let capacity = self.pool.capacity();
            let full = format!("all {capacity} session slots of this worker are taken");
            Status::resource_exhausted(full)
        })?;
        let (replies, replies_out) = mpsc::channel(REPLIES + NOTICES);
        let (inputs, inputs_out) = watch::channel(inputs);

        let span = tracing::info_span!("session", session = id);
        reframe_trace::follow(&span, &traceparent);
        // The line is that of its end, which says whether anything came of it: opening one takes no
        // more than an offer.
        span.in_scope(|| tracing::debug!("session opened"));
        let skips = self.stream.mode != Mode::Receive && self.stream.handler.skips();
        let health = self.pool.health().clone();
        let session = Session::new(id, inputs_out, &replies, skips, health);
        let (granted, to_gateway) = (credits(&self.stream), replies.clone());
        let Call { inbox, returned } = span
            .in_scope(|| self.pool.start(slot, session, granted, to_gateway))
            .map_err(|error| Status::unavailable(format!("no thread for the handler: {error}")))?;

        let (stream, exchange_in) = (Arc::clone(&self.stream), exchange.clone());
        let has_returned = returned.clone();
        let receiver = Receiver { stream, inbox, inputs, exchange: exchange_in, has_returned };
        let closing = self.ends.closing.clone();
        let receiving = async move {
            if let Err(status) = receiver.receive(inbound, closing).await {
                tracing::warn!(code = ?status.code(), reason = status.message(), "session cut off");
                // A receiver that is gone is a gateway that is gone.
                replies.send(Err(status)).await.ok();
            }
            drop(replies);
            await_return(&returned).await;
        };
        tokio::spawn(receiving.instrument(span));
        let outbound = ReceiverStream::new(replies_out)
            .map(move |reply| reply.map(|reply| convert::reply(reply, exchange.as_deref())));
        Ok(Response::new(Box::pin(outbound)))
    }
}

fn credits(stream: &Stream) -> u32 {
    match stream.mode {
        Mode::Receive => PULLS,
        Mode::SendReceive | Mode::Send if stream.handler.skips() => CREDITS_SKIPPING,
        Mode::SendReceive | Mode::Send => CREDITS_IN_ORDER,
    }
}

/// What a session's task passes on. Dropping it is what tells the actor, and the handler, that the
/// session is over.
struct Receiver {
    stream: Arc<Stream>,
    inbox: Inbox,
    inputs: watch::Sender<Inputs>,
    exchange: Option<Arc<Exchange>>,
    /// Cancelled when the session was ended by its handler.
    has_returned: CancellationToken,
}

impl Receiver {
    /// Passes messages on until the session is over, whoever ends it.
    async fn receive(
        self,
        mut inbound: Streaming<ToWorker>,
        closing: CancellationToken,
    ) -> Result<(), Status> {
        loop {
            let message = tokio::select! {
                message = inbound.message() => message?,
                () = self.has_returned.cancelled() => return Ok(()),
                () = closing.cancelled() => return Err(Status::unavailable(SHUTTING_DOWN)),
            };
            let Some(message) = message else { return Ok(()) };
            let job = match convert::message(message, self.stream.mode, self.exchange.as_deref())? {
                Message::Job(job) => job,
                Message::Inputs(set) => {
                    self.inputs.send_replace(convert::inputs(&self.stream, set)?);
                    continue;
                }
            };
            match self.inbox.try_send(job) {
                Ok(()) => {}
                Err(SendError::Full(job)) => {
                    let (kind, seq) = job.number();
                    let refused = format!("{kind} {seq} came without a credit");
                    return Err(Status::failed_precondition(refused));
                }
                // The actor has just ended the session.
                Err(SendError::Closed(_)) => return Ok(()),
            }
        }
    }
}

/// Says so when the author's code does not return from a closed session: that slot is taken, and
/// nothing but the code itself can free it.
async fn await_return(returned: &CancellationToken) {
    if timeout(STUCK_AFTER, returned.cancelled()).await.is_ok() {
        return;
    }
    tracing::warn!(after = ?STUCK_AFTER, "the handler has not returned from its closed session \
        and keeps its slot");
    returned.cancelled().await;
    tracing::warn!("the handler has returned at last, its slot is free");
}
