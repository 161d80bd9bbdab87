//! The way into a session's actor, bounded by its credits.
//!
//! > The mailbox has a place for every credit, so it refuses no job that came with one. It alone
//! > cannot tell that a job came without: a place is free when the actor takes the job out, a
//! > credit when the job is answered, and the job in the handler lies between the two. So the
//! > credit is asked for first.

use std::sync::Arc;

use actix::Addr;
use actix::dev::channel::{AddressReceiver, channel};
use actix::prelude::SendError;
use tokio::sync::mpsc;
use tonic::Status;

use super::SessionActor;
use super::credits::Credits;
use crate::error::Superseded;
use crate::message::{Job, Reply, Times};
use crate::newest::Put;
use crate::session::Session;

/// The receiving end, from which the actor is polled.
pub(super) type Mailbox = AddressReceiver<SessionActor>;

/// The sending end, for the service. Dropping it ends the session, and drops the jobs in the
/// mailbox.
///
/// It is the actor's only address, and not `Clone`: actix grants every clone of an address one
/// place beyond the capacity.
pub(crate) struct Inbox {
    actor: Addr<SessionActor>,
    pub(super) credits: Arc<Credits>,
    /// Whose newest frame may wait elsewhere (`newest`).
    session: Session,
    /// For frames that are answered before the actor sees them. Weak, because the end of the
    /// replies is the end of the call.
    replies: mpsc::WeakSender<Result<Reply, Status>>,
}

impl Inbox {
    /// An inbox for `granted` jobs, and the mailbox for the actor. `granted` must not be zero,
    /// which means unbounded to actix.
    pub(super) fn new(
        granted: u32,
        credits: Arc<Credits>,
        session: Session,
        replies: &mpsc::Sender<Result<Reply, Status>>,
    ) -> (Self, Mailbox) {
        let replies = replies.downgrade();
        let (address, mailbox) = channel(granted as usize);
        (Self { actor: Addr::new(address), credits, session, replies }, mailbox)
    }

    /// Sends a job without waiting.
    ///
    /// # Errors
    /// `Full`: the gateway sent more than its credits, which is counted. `Closed`: the actor has
    /// ended.
    pub(crate) fn try_send(&self, job: Job) -> Result<(), SendError<Job>> {
        let sent = match self.credits.take() {
            true => self.pass(job),
            false => Err(SendError::Full(job)),
        };
        if let Err(SendError::Full(_)) = &sent {
            self.credits.refuse();
        }
        sent
    }

    fn pass(&self, job: Job) -> Result<(), SendError<Job>> {
        match self.session.newest().put(job) {
            Put::Off(job) => self.actor.try_send(job),
            // There is room: the last such message was taken out before its frame was.
            Put::Waits => self.actor.try_send(Job::Newest),
            Put::Replaced(job) => {
                self.credits.give(1);
                let (_, seq) = job.number();
                let outcome = Err(Superseded.into());
                let (times, outputs) = (Times::default(), Vec::new());
                let reply = Reply::Result { seq, times, outcome, outputs, more_credits: 0 };
                // There is room: a place for each credit. Else the gateway is gone.
                if let Some(replies) = self.replies.upgrade() {
                    replies.try_send(Ok(reply)).ok();
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pull(seq: u64) -> Job {
        Job::Pull { seq, traceparent: String::new() }
    }

    fn inbox(granted: u32, credits: Arc<Credits>) -> (Inbox, Mailbox) {
        Inbox::new(granted, credits, Session::of_nobody("a"), &mpsc::channel(1).0)
    }

    /// How many of many jobs are accepted while the actor takes none.
    fn taken(granted: u32, given: u32) -> (usize, u64) {
        let credits = Arc::new(Credits::none());
        credits.give(given);
        let (inbox, _mailbox) = inbox(granted, Arc::clone(&credits));
        let sent = (0..10).filter(|seq| match inbox.try_send(pull(*seq)) {
            Ok(()) => true,
            Err(SendError::Full(Job::Pull { seq: refused, .. })) => {
                assert_eq!(refused, *seq);
                false
            }
            Err(error) => panic!("{error}"),
        });
        (sent.count(), credits.refused())
    }

    #[test]
    fn the_mailbox_has_a_place_for_every_credit_and_no_more() {
        for credits in 1..=3 {
            assert_eq!(taken(credits, credits), (credits as usize, 10 - u64::from(credits)));
            // If the credits were miscounted, the mailbox would still refuse.
            assert_eq!(taken(credits, 10), (credits as usize, 10 - u64::from(credits)));
        }
    }

    #[test]
    fn nothing_is_taken_before_the_handler_is_ready() {
        assert_eq!(taken(3, 0), (0, 10));
    }

    #[test]
    fn an_actor_that_has_ended_is_no_fault_of_the_gateways() {
        let credits = Arc::new(Credits::none());
        credits.give(1);
        let (inbox, mailbox) = inbox(1, Arc::clone(&credits));
        drop(mailbox);
        assert!(matches!(inbox.try_send(pull(0)), Err(SendError::Closed(_))));
        assert_eq!(credits.refused(), 0);
    }
}
