//! The thread of a session's actor.
//!
//! The actor has its own thread because the author's code may block for any time; on an arbiter one
//! session's handler would stop the others. The thread has no actix `System`. A `System` is a tokio
//! runtime, and tokio forbids to block on another runtime inside one: a handler could not wait for
//! its author's async client, and the actor could not wait for room for its replies.
//! `actix::SyncArbiter` has such threads, but its queue is unbounded.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::session::STACK_BYTES;
use crate::stream::{ThreadBody, ThreadWrapper};

/// Starts a thread that does nothing but `body`, within the stream's wrapper.
///
/// A wrapper that does not call the body drops it, and with it everything that the session holds.
///
/// # Errors
/// The system refuses another thread.
pub(super) fn spawn(name: String, wrapper: ThreadWrapper, body: ThreadBody) -> io::Result<()> {
    thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn(move || wrapper(body)).map(drop)
}

/// Wakes a thread that waits in [`block_on`].
struct Signal {
    thread: Thread,
    /// The thread's park token is not enough: the author's code, which runs within a poll, may
    /// consume it.
    woken: AtomicBool,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Polls a future on this thread until it is ready.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let signal = Arc::new(Signal { thread: thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&signal));
    let (mut future, mut context) = (pin!(future), Context::from_waker(&waker));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        while !signal.woken.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}
