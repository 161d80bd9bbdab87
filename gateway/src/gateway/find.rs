//! Sessions that run, for those who ask about them or end them.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::{Context, Handler, Message, MessageResult, ResponseFuture};

use super::{Entry, Gateway};
use crate::media::event::EndReason;
use crate::media::session_id::SessionId;
use crate::session::End;
use crate::stream::live_session::LiveSession;

/// What may be done with a session that runs.
#[derive(Message)]
#[rtype(result = "Option<Arc<LiveSession>>")]
pub(crate) struct FindSession(pub(crate) SessionId);

/// Every session that runs, by id.
#[derive(Message)]
#[rtype(result = "BTreeMap<SessionId, Arc<LiveSession>>")]
pub(crate) struct ListSessions;

/// End a session, as its operator; false if there is no session with this id.
#[derive(Message)]
#[rtype(result = "bool")]
pub(crate) struct CloseSession(pub(crate) SessionId);

impl Handler<FindSession> for Gateway {
    type Result = Option<Arc<LiveSession>>;

    fn handle(&mut self, FindSession(id): FindSession, _: &mut Context<Self>) -> Self::Result {
        match self.sessions.get(&id)? {
            Entry::Running { live, .. } => Some(Arc::clone(live)),
            Entry::Opening(_) | Entry::Beginning(_) => None,
        }
    }
}

impl Handler<ListSessions> for Gateway {
    type Result = MessageResult<ListSessions>;

    fn handle(&mut self, _: ListSessions, _: &mut Context<Self>) -> Self::Result {
        let listed = |(id, entry): (&SessionId, &Entry)| match entry {
            Entry::Running { live, .. } => Some((id.clone(), Arc::clone(live))),
            Entry::Opening(_) | Entry::Beginning(_) => None,
        };
        MessageResult(self.sessions.iter().filter_map(listed).collect())
    }
}

impl Handler<CloseSession> for Gateway {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, CloseSession(id): CloseSession, _: &mut Context<Self>) -> Self::Result {
        let session = match self.sessions.get(&id) {
            Some(Entry::Running { session, .. }) => session.clone(),
            Some(Entry::Opening(_) | Entry::Beginning(_)) | None => {
                return Box::pin(async { false });
            }
        };
        // Closed: it ended a moment ago, by itself.
        Box::pin(async move { session.send(End(EndReason::Operator)).await.is_ok() })
    }
}
