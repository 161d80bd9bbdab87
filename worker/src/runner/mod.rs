//! Hop 6 of 10: frames in, what the handler made of them out.
//! In:    `service`, <= the credits of the session.   Out: `service`, <= REPLIES (5 messages).
//! Runs:  one thread per session, with the handler and both pixel conversions.   Full: the handler waits.
//! Clock: monotonic, around the handler's call only.

mod core;

use std::{io, iter, ops::ControlFlow, sync::Arc, thread, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::Instant,
};
use tonic::Status;

use crate::{
    handler::{Handler, HandlerError},
    i420::I420,
};

/// Replies of one session that wait for the transport.
///
/// Room for all that a gateway with two credits can have unread (`Opened`, two results, an error and the end), so only
/// one that does not read its replies yet sends on makes the handler wait.
pub(crate) const REPLIES: usize = 5;

/// A frame of the browser's.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) seq: u64,
    pub(crate) capture_time: Duration,
    pub(crate) picture: I420,
}

/// What a session says to its gateway.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// First, once.
    Opened { credits: u32 },
    /// What became of one frame; gives its credit back.
    Result { seq: u64, handler_time: Duration, outcome: Result<I420, HandlerError> },
    /// For the client, outside of any frame.
    Error { message: String },
    /// Last: the session ends by a fault.
    Failed { message: String },
}

/// What a session's thread owns.
pub(crate) struct Session {
    pub(crate) id: String,
    /// Held until the author's code has really returned, however the call ended: `capacity` bounds threads, not calls.
    pub(crate) slot: OwnedSemaphorePermit,
    /// Closed by the other end when the session is over. Frames that wait then are dropped.
    pub(crate) frames: mpsc::Receiver<Incoming>,
    pub(crate) replies: mpsc::Sender<Result<Reply, Status>>,
    /// Permits are credits that the gateway has.
    pub(crate) credits: Arc<Semaphore>,
}

/// Starts the session's thread.
///
/// # Errors
///
/// When the system refuses another thread.
pub(crate) fn spawn(make: impl FnOnce() -> Box<dyn Handler> + Send + 'static, session: Session) -> io::Result<()> {
    // Linux shows 15 bytes. The id comes from outside, and a NUL in a name would panic.
    let prefix: String = session.id.chars().filter(char::is_ascii_alphanumeric).take(7).collect();
    thread::Builder::new().name(format!("handler-{prefix}")).spawn(move || run(make, session)).map(drop)
}

fn run(make: impl FnOnce() -> Box<dyn Handler>, session: Session) {
    let Session { id, slot, mut frames, replies, credits } = session;
    let span = tracing::info_span!("session", session = ?id).entered();
    let mut reported = false;

    let next = iter::from_fn(|| frames.blocking_recv().filter(|_| !frames.is_closed()));
    let reply = |reply| {
        if let Reply::Result { outcome, .. } = &reply {
            // Before the gateway can see the result: it may answer with a frame at once.
            credits.add_permits(1);
            // One line a session: an error in every frame is common, and the summary has the count.
            if let (Err(error), false) = (outcome, reported) {
                reported = true;
                tracing::warn!(error = error.message(), "the handler failed on a frame; more are only counted");
            }
        }
        replies.blocking_send(Ok(reply)).map_or(ControlFlow::Break(()), ControlFlow::Continue)
    };
    let summary = core::run(make, next, reply, Instant::now);

    // The panic hook is the author's and stays untouched: the default one has printed where the panic was, under this
    // thread's name. This line adds the session.
    for fault in &summary.faults {
        tracing::error!(%fault);
    }
    tracing::info!(frames = summary.frames, errors = summary.errors, "session ended");
    drop(span);
    // In this order: whoever sees the call end finds the slot free.
    drop(slot);
    drop((frames, replies));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;
    use std::sync::mpsc as blocking;

    /// A slow machine's, not an expectation.
    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn frames_that_wait_when_the_session_ends_are_dropped() {
        let (entered, entries) = blocking::channel();
        let (release, gate) = blocking::channel::<()>();
        let handler = move |frame: Frame| {
            entered.send(frame.seq()).unwrap();
            gate.recv_timeout(PATIENCE).unwrap();
            Ok(frame)
        };
        let (slots, credits) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(0)));
        let (frames, frames_out) = mpsc::channel(2);
        let (replies, mut replies_out) = mpsc::channel(REPLIES);
        let session = Session {
            id: "\0nul".into(),
            slot: Arc::clone(&slots).try_acquire_owned().unwrap(),
            frames: frames_out,
            replies,
            credits: Arc::clone(&credits),
        };
        for seq in 0..2 {
            let picture = I420::from_frame(&Frame::filled(2, 2, [0; 3]).unwrap());
            frames.try_send(Incoming { seq, capture_time: Duration::ZERO, picture }).unwrap();
        }
        spawn(|| Box::new(handler), session).unwrap();
        assert_eq!(entries.recv_timeout(PATIENCE), Ok(0));
        assert_eq!(slots.available_permits(), 0);

        // The first frame is in the handler, the second waits; the session ends now.
        drop(frames);
        release.send(()).unwrap();
        assert!(matches!(replies_out.blocking_recv(), Some(Ok(Reply::Result { seq: 0, outcome: Ok(_), .. }))));
        assert!(replies_out.blocking_recv().is_none(), "the second frame was dropped");
        assert_eq!(entries.recv_timeout(PATIENCE), Err(blocking::RecvTimeoutError::Disconnected));
        // The end of the replies is what a gateway sees, so all must have been given back before.
        assert_eq!((slots.available_permits(), credits.available_permits()), (1, 1));
    }
}
