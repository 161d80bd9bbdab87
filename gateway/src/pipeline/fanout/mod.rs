//! One encoding for everybody who watches it: each unit is encoded once and forwarded to each.
//! In:    units from `egress`.
//! Out:   each viewer's queue of `OutFrame`s.
//! Runs:  the session's codec arbiter, within `egress`: a viewer costs it the handles of a unit's
//!        payloads. Packets are made on the media runtime, as those of all browsers.
//! Full:  that viewer's frame is left out, `reframe_viewer_frames_total{outcome="overflow"}`, and
//!        what it can then not decode too; nobody else notices.

mod core;
mod output;
mod renditions;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

pub(crate) use self::core::Quality;
pub(crate) use self::output::Output;
pub(crate) use self::renditions::{Recipe, Renditions};

/// Between two keyframes of one encoding that viewers ask for. All who ask meanwhile get the same
/// one; each costs several frames' worth of everybody's bitrate.
const KEYFRAMES_EVERY: Duration = Duration::from_millis(500);

/// What a unit is to those who receive it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Decodable without any earlier unit.
    pub(crate) keyframe: bool,
    /// No later unit refers to it.
    pub(crate) droppable: bool,
}

/// A unit on its way to all viewers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unit<'a> {
    /// As in [`OutFrame`](crate::media::encoded::OutFrame).
    pub(crate) payloads: &'a [Bytes],
    /// Of all payloads.
    pub(crate) bytes: usize,
    pub(crate) kind: Kind,
    pub(crate) timestamp: u32,
    pub(crate) leave_at: Option<Instant>,
}

/// See the module. One for each encoding.
#[derive(Debug, Default)]
pub(crate) struct Fanout {
    outputs: Mutex<Vec<Arc<Output>>>,
    /// There are some. So that a session without viewers pays for a look at a flag.
    watched: AtomicBool,
    keyframe: Mutex<KeyframeRequests>,
    /// Pictures that the path to the session's own browser has made fewer or smaller than the
    /// stream's bitrate would, since the last look.
    limited: AtomicU32,
}

/// Requests for a keyframe, of all viewers together.
#[derive(Debug, Default)]
struct KeyframeRequests {
    wanted: bool,
    made: Option<Instant>,
}

impl Fanout {
    pub(crate) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    /// Whether the next unit has to be a keyframe, because a viewer needs one. True once for all
    /// who asked.
    pub(super) fn takes_keyframe(&self, now: Instant) -> bool {
        if !self.is_watched() {
            return false;
        }
        let mut keyframe = self.keyframe.lock();
        let early = keyframe.made.is_some_and(|made| now < made + KEYFRAMES_EVERY);
        if !keyframe.wanted || early {
            return false;
        }
        (keyframe.wanted, keyframe.made) = (false, Some(now));
        true
    }

    /// The path to the session's own browser has made a picture worse, or left one out.
    pub(super) fn limited(&self) {
        self.limited.fetch_add(1, Ordering::Relaxed);
    }

    /// How often since the last call.
    fn take_limited(&self) -> u32 {
        self.limited.swap(0, Ordering::Relaxed)
    }

    /// Forwards a unit to every viewer.
    pub(super) fn forward(&self, now: Instant, unit: Unit<'_>) {
        if !self.is_watched() {
            return;
        }
        let mut wanted = false;
        for output in self.outputs.lock().iter() {
            wanted |= output.forward(now, unit);
        }
        if wanted {
            self.keyframe.lock().wanted = true;
        }
    }

    /// Forwards to one viewer more. It gets a keyframe with the next picture, if none was made just
    /// now.
    fn add(&self, output: Arc<Output>) {
        let mut outputs = self.outputs.lock();
        outputs.push(output);
        self.watched.store(true, Ordering::Relaxed);
        self.keyframe.lock().wanted = true;
    }

    /// Takes out those that `leave` says so of, and forgets those that have ended.
    fn take(&self, mut leave: impl FnMut(&Output) -> bool) -> Vec<Arc<Output>> {
        let mut outputs = self.outputs.lock();
        outputs.retain(|output| !output.has_ended());
        let leaving = outputs.extract_if(.., |output| leave(output)).collect();
        self.watched.store(!outputs.is_empty(), Ordering::Relaxed);
        leaving
    }
}

#[cfg(test)]
mod tests;
