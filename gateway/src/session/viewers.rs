//! Those who watch the session.

use std::sync::Arc;

use actix::{Context, Handler, Message};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Session;
use crate::codec::Format;
use crate::pipeline::fanout::Output;

/// Show the session to a viewer, whose connection takes `format`. The answer is cancelled when the
/// session ends; `None`: it shows nothing yet.
#[derive(Message)]
#[rtype(result = "Option<CancellationToken>")]
pub(crate) struct AddViewer {
    pub(crate) format: Format,
    pub(crate) output: Arc<Output>,
}

impl Handler<AddViewer> for Session {
    type Result = Option<CancellationToken>;

    fn handle(
        &mut self,
        AddViewer { format, output }: AddViewer,
        _: &mut Context<Self>,
    ) -> Self::Result {
        self.held.as_mut()?.renditions.add(format, output);
        Some(self.stop.clone())
    }
}

impl Session {
    /// Moves viewers to the encoding that suits them, every second.
    pub(super) fn look_after_viewers(&mut self) {
        if let Some(held) = &mut self.held {
            held.renditions.look(Instant::now());
        }
    }
}
