//! Panics, one line each, and few of those: a stranger who found one can cause it again and again,
//! and a backtrace costs a fifth of a second of CPU and a page of the log.

use std::any::Any;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tracing::error;

use crate::lines::STRANGER;

/// From now on the first panic of this process is told as before, with a backtrace where
/// `RUST_BACKTRACE` asks for one, and every further one by a bounded line.
///
/// For programs that strangers speak with: who wrote a hook of their own gets the first panic
/// alone.
pub fn bound_panics() {
    static TOLD: AtomicBool = AtomicBool::new(false);
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !TOLD.swap(true, Ordering::Relaxed) {
            return before(panic);
        }
        let (thread, text) = (thread::current(), text(panic.payload()));
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        error!(target: STRANGER, thread = thread.name().unwrap_or("?"), place, "panicked: {text}");
    }));
}

fn text(payload: &dyn Any) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}
