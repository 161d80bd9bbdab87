//! Those who watch the session.

use std::sync::Arc;
use std::time::Duration;

use actix::{Context, Handler, Message};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Session;
use super::core::Event;
use crate::codec::Format;
use crate::media::event::EndReason;
use crate::pipeline::fanout::Output;

/// A broadcast ends when nobody has watched for so long: longer than a viewer takes to connect, and
/// than one that reloads its page is away.
const UNWATCHED_WITHIN: Duration = Duration::from_secs(20);

/// Show the session to a viewer, whose connection takes `format`. The answer is cancelled when the
/// session ends; `None`: it shows nothing.
#[derive(Message)]
#[rtype(result = "Option<CancellationToken>")]
pub(crate) struct AddViewer {
    pub(crate) format: Format,
    pub(crate) output: Arc<Output>,
}

/// Of a broadcast: since when nobody watches, and who waits for it to begin. There are no more of
/// these than viewers.
#[derive(Default)]
pub(super) struct Unwatched {
    since: Option<Instant>,
    waiting: Vec<AddViewer>,
}

impl Handler<AddViewer> for Session {
    type Result = Option<CancellationToken>;

    fn handle(&mut self, viewer: AddViewer, _: &mut Context<Self>) -> Self::Result {
        match &mut self.held {
            Some(held) => held.renditions.add(viewer.format, viewer.output),
            None if self.peer.is_none() => self.unwatched.waiting.push(viewer),
            None => return None,
        }
        Some(self.stop.clone())
    }
}

impl Session {
    /// Every second: moves viewers to the encoding that suits them, and ends a broadcast that
    /// nobody watches.
    pub(super) fn look_after_viewers(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        let mut watched = !self.unwatched.waiting.is_empty();
        if let Some(held) = &mut self.held {
            for AddViewer { format, output } in self.unwatched.waiting.drain(..) {
                held.renditions.add(format, output);
            }
            watched |= held.renditions.look(now);
        }
        if self.peer.is_some() {
            return;
        }
        let since = self.unwatched.since.get_or_insert(now);
        if watched {
            *since = now;
        } else if now >= *since + UNWATCHED_WITHIN {
            self.handle_event(Event::End(EndReason::Unwatched), ctx);
        }
    }
}
