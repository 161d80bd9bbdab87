//! The thread of a session's actor: what surrounds its life, and what polls the actor on it.
//!
//! The actor has a thread of its own because the author's code in it may block for as long as it
//! likes; on an arbiter one session's handler would stop the others'. No actix `System` runs there.
//! It is a tokio runtime, and inside one tokio forbids to block on another: a handler could not
//! wait for an async client of its author's, and the actor could not wait for room for its replies.
//! `actix::SyncArbiter` has such threads, but its queue has no bound.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::stream::{ThreadBody, ThreadWrapper};

/// Starts a thread that does nothing but `body`, within the stream's wrapper.
///
/// A wrapper that does not call the body drops it, and with it all that the session holds.
///
/// # Errors
/// The system refuses another thread.
pub(super) fn spawn(name: String, wrapper: ThreadWrapper, body: ThreadBody) -> io::Result<()> {
    thread::Builder::new().name(name).spawn(move || wrapper(body)).map(drop)
}

/// Wakes a thread that waits in [`block_on`].
struct Signal {
    thread: Thread,
    /// The thread's own token is not enough: the author's code, which runs within a poll, may take
    /// it in a wait of its own.
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
