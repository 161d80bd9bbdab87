//! How a gateway stops: no new sessions, then no sessions.

use std::sync::atomic::Ordering;

use actix::{Context, Handler, Message, MessageResult, ResponseFuture};
use tokio::sync::watch;

use super::Gateway;
use crate::media::event::EndReason;
use crate::session::{End, Reconnect};

/// Take no more sessions, and tell those that run to go to another gateway. The answer counts those
/// that are left.
#[derive(Message)]
#[rtype(result = "watch::Receiver<usize>")]
pub(crate) struct Drain;

/// End every session and take no more; answers when the last one has been told.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Shutdown;

impl Handler<Drain> for Gateway {
    type Result = MessageResult<Drain>;

    fn handle(&mut self, _: Drain, _: &mut Context<Self>) -> Self::Result {
        self.draining.store(true, Ordering::Relaxed);
        for viewer in self.running_viewers() {
            actix::spawn(async move {
                viewer.send(Reconnect).await.ok();
            });
        }
        for session in self.running() {
            actix::spawn(async move {
                // Closed: it ended by itself.
                session.send(Reconnect).await.ok();
            });
        }
        MessageResult(self.count.subscribe())
    }
}

impl Handler<Shutdown> for Gateway {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Shutdown, _: &mut Context<Self>) -> Self::Result {
        self.draining.store(true, Ordering::Relaxed);
        let (running, viewers) = (self.running(), self.running_viewers());
        Box::pin(async move {
            for viewer in viewers {
                viewer.send(End(EndReason::Shutdown)).await.ok();
            }
            for session in running {
                // Closed: it ended by itself.
                session.send(End(EndReason::Shutdown)).await.ok();
            }
        })
    }
}
