//! Panics are logged as one line each, at a bounded rate: a stranger who has found one can cause it
//! repeatedly, and a backtrace costs a fifth of a second of CPU and a page of the log.

use std::any::Any;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tracing::error;

use crate::lines::STRANGER;

/// Installs a panic hook. The first panic of this process is reported by the previous hook, with a
/// backtrace if `RUST_BACKTRACE` asks for one; every further one only by a rate-limited line.
///
/// For programs that talk to strangers. A program's own hook is called for the first panic only.
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
