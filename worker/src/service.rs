//! Hop 5 of 10: gRPC messages in, frames for the handler's thread out; and its replies back.
//! In:    the gateway's `link`, <= `credits` frames a session.   Out: `runner`, <= `credits` frames.
//! Runs:  tokio, one task per session.   Full: cannot be: a frame without a credit ends its session.
//! Clock: none, but for the wait for `Open`.

use std::{pin::Pin, sync::Arc, time::Duration};

use reframe_proto::v1::{DescribeRequest, FromWorker, StreamSpec, ToWorker, frame_worker_server::FrameWorker};
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument;

use crate::{
    convert,
    runner::{self, Incoming, REPLIES, Reply, Session},
    stream::Stream,
};

/// Credits when frames are skipped: none waits here, so that the waiting one stays in the gateway, where a newer
/// replaces it.
const CREDITS_SKIPPING: u32 = 1;

/// Credits when no frame is skipped: one more, so that the next frame travels while the handler has this one.
const CREDITS_IN_ORDER: u32 = 2;

/// How long a call may be silent before its `Open`, which a gateway sends with the call. Such a call has no slot yet,
/// so without a bound there could be any number.
const OPEN_WAIT: Duration = Duration::from_secs(10);

/// One stream's handler as a gRPC service.
pub(crate) struct Service {
    stream: Stream,
    capacity: u32,
    slots: Arc<Semaphore>,
    closing: CancellationToken,
}

impl Service {
    /// Takes as many sessions at once as there are `slots`, until `closing`.
    pub(crate) fn new(stream: Stream, capacity: u32, slots: Arc<Semaphore>, closing: CancellationToken) -> Self {
        Self { stream, capacity, slots, closing }
    }
}

#[tonic::async_trait]
impl FrameWorker for Service {
    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<StreamSpec>, Status> {
        Ok(Response::new(convert::spec(&self.stream, self.capacity)))
    }

    type SessionStream = Pin<Box<dyn tokio_stream::Stream<Item = Result<FromWorker, Status>> + Send>>;

    async fn session(&self, request: Request<Streaming<ToWorker>>) -> Result<Response<Self::SessionStream>, Status> {
        let mut inbound = request.into_inner();
        let first = timeout(OPEN_WAIT, inbound.message());
        let first = first.await.map_err(|_| Status::deadline_exceeded("message: no open came"))??;
        let id = convert::open(first)?;

        let slot = Arc::clone(&self.slots).try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!("all {} session slots of this worker are taken", self.capacity))
        })?;
        let credits = if self.stream.skip_frames() { CREDITS_SKIPPING } else { CREDITS_IN_ORDER };
        let budget = Arc::new(Semaphore::new(credits as usize));
        let (frames, frames_out) = mpsc::channel(credits as usize);
        let (replies, replies_out) = mpsc::channel(REPLIES);
        replies.try_send(Ok(Reply::Opened { credits })).expect("the channel is new");

        let span = tracing::info_span!("session", session = ?id);
        span.in_scope(|| tracing::info!("session opened"));
        let session = Session { id, slot, frames: frames_out, replies: replies.clone(), credits: Arc::clone(&budget) };
        let handler = self.stream.handler.clone();
        runner::spawn(move || handler.make(), session)
            .map_err(|error| Status::unavailable(format!("no thread for the handler: {error}")))?;

        let closing = self.closing.clone();
        let receiving = async move {
            if let Err(status) = receive(inbound, frames, &budget, closing).await {
                tracing::warn!(code = ?status.code(), reason = status.message(), "session cut off");
                // A receiver that is gone is a gateway that is gone.
                replies.send(Err(status)).await.ok();
            }
        };
        tokio::spawn(receiving.instrument(span));
        let outbound = ReceiverStream::new(replies_out).map(|reply| reply.map(convert::reply));
        Ok(Response::new(Box::pin(outbound)))
    }
}

/// Passes frames on until the session is over, whoever ends it. Dropping `frames` is what tells the runner.
async fn receive(
    mut inbound: Streaming<ToWorker>,
    frames: mpsc::Sender<Incoming>,
    credits: &Semaphore,
    closing: CancellationToken,
) -> Result<(), Status> {
    loop {
        let message = tokio::select! {
            message = inbound.message() => message?,
            () = frames.closed() => return Ok(()),
            () = closing.cancelled() => return Err(Status::unavailable("this worker is shutting down")),
        };
        let Some(message) = message else { return Ok(()) };
        let frame = convert::frame(message)?;
        let seq = frame.seq;
        match credits.try_acquire() {
            Ok(credit) => credit.forget(),
            Err(_) => return Err(Status::failed_precondition(format!("frame {seq} came without a credit"))),
        }
        if frames.try_send(frame).is_err() {
            // There is room for every credit, so the runner has just ended the session.
            return Ok(());
        }
    }
}
