//! The threads that actors and codecs run on.

use std::future::Future;
use std::sync::Arc;

use actix::{Arbiter, ArbiterHandle};
use tracing::error;

/// All of a gateway's arbiters. Each is one OS thread.
pub(crate) struct Arbiters {
    /// Sessions and links: many small messages, nothing that takes long.
    pub(crate) session: ArbiterHandle,
    /// Pacers: timers that must be on time.
    pub(crate) pacer: ArbiterHandle,
    /// Decoders and encoders, nothing else; a session keeps the one it got.
    codecs: Vec<Arc<ArbiterHandle>>,
}

/// A session's place on a codec arbiter; its load is how many of these exist.
#[derive(Clone)]
pub(crate) struct CodecArbiter(Arc<ArbiterHandle>);

impl Arbiters {
    /// Starts `codecs` codec threads and one each of the others. Call inside the actix system.
    pub(crate) fn start(codecs: usize) -> Self {
        Self {
            session: Arbiter::new().handle(),
            pacer: Arbiter::new().handle(),
            codecs: (0..codecs.max(1)).map(|_| Arc::new(Arbiter::new().handle())).collect(),
        }
    }

    /// The codec arbiter with the fewest sessions.
    pub(crate) fn codec(&self) -> CodecArbiter {
        let least = self.codecs.iter().min_by_key(|arbiter| Arc::strong_count(arbiter));
        CodecArbiter(Arc::clone(least.unwrap_or(&self.codecs[0])))
    }
}

impl CodecArbiter {
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if !self.0.spawn(task) {
            error!("a codec thread is gone");
        }
    }
}
