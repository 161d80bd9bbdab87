//! The decisions of a session about its connection, its slot, its worker and its end. Pure: it
//! takes `now`, awaits nothing and holds only values. The actor in `session/mod.rs` carries out
//! what it returns.
//!
//! Two processes run side by side. The connection is established ([`Connection`]), and a worker is
//! found, lost, replaced and left ([`State`]). A session that has ended stays [`State::Ended`] and
//! returns no more actions.
//!
//! > There is at most one link and one search at a time. A new link is made only when the last has
//! > said [`Detached`], after which nothing of it touches what they share.

use std::time::Duration;

use tokio::time::Instant;

use super::nearer::Looks;
use super::watch::{Verdict, Watch};
use crate::media::event::{ConnectStage, Detached, EndReason};
use crate::media::receive_stats::{Counts, Fault};
use crate::media::refused::OfferRefused;
use crate::telemetry::Failover;

/// A session whose browser sends no signed check ends after this. Browsers send their checks one
/// round trip after the answer; until then the session takes some 400 kB.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// From the first signed check until DTLS is up: two round trips, and one packet that is lost twice
/// (RFC 6347, section 4.2.4.1: resent after one second, then after two).
const DTLS_TIMEOUT: Duration = Duration::from_secs(5);
/// A worker lost within this time of taking the session may have been crashed by it.
const STABLE_AFTER: Duration = Duration::from_secs(10);
/// Workers that one session may lose in this way in a row. A frame that crashes the handler's
/// process must not crash every worker.
const MAX_LOSSES: u32 = 3;

/// Time limits, from the options and the stream's declaration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Without a worker.
    pub(super) reconnect: Duration,
    /// Without a frame, after there was one.
    pub(super) idle: Duration,
    /// Counted from when the browser is connected; `None`: no limit.
    pub(super) time: Option<Duration>,
    /// Between two looks for a nearer worker; `None`: it may not be moved for that.
    pub(super) nearer: Option<Duration>,
}

/// An event of a session. `W` is the actor's handle of a worker.
#[derive(Debug)]
pub(super) enum Event<W> {
    /// The first signed check of the browser has come.
    Checked,
    /// DTLS is up; the counts of what the browser has sent so far.
    Connected(Counts),
    /// The gateway has admitted it: it has a slot and a place on a codec thread.
    Admitted,
    /// The gateway refuses it.
    Refused(OfferRefused),
    /// A codec could not be created.
    NoCodec,
    /// The search has found a worker and started the handler there; the actor holds the connection.
    Found,
    /// The search has found that the worker that was to be left serves again, or that no nearer one
    /// took it, although one had room if `refused`; `draining`: it has begun to drain.
    Stay { draining: Option<W>, refused: bool },
    /// The search goes on without success.
    Waiting,
    /// The search has failed: the handler refuses the session, or the search itself ended.
    SearchFailed(EndReason),
    /// This session's worker drains.
    Draining(W),
    /// There is no link any more; to this worker it was.
    Detached(Detached, Option<W>),
    /// The frame queue is full.
    FallingBehind,
    /// A second has passed; the counts of what the browser has sent so far.
    Counted(Counts),
    /// The time of [`Core::deadline`] has come; the step that the connection has reached.
    Deadline(ConnectStage),
    /// A request to end it.
    End(EndReason),
}

/// An action for the actor. Actions are carried out in order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action<W> {
    /// Ask the gateway for a slot; `encrypted`: DTLS is up.
    AskAdmission { encrypted: bool },
    /// Note that the browser is connected.
    NoteConnected,
    /// Create the codecs, queues and tasks of an admitted session.
    Begin,
    /// Look for a worker.
    Search(Previous<W>),
    /// Look once for a nearer worker than the one that it has.
    SearchNearer,
    /// Create the link to the worker that was found.
    Attach,
    /// Send nothing more to the worker, and leave it when it has answered its outstanding frames.
    Leave,
    /// Tell the client.
    Notify(Notification),
    /// Count the outcome of a failover and its duration.
    Count(Failover, Duration),
    /// End the session.
    End(EndReason),
}

/// The session's last worker, for the search.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Previous<W> {
    /// There was none, or none to avoid.
    Nothing,
    /// It is lost, although it may still look as if it served.
    Lost(W),
    /// It serves until another one is found.
    Draining(W),
    /// It serves well, but far away.
    Far(W),
}

/// A message to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notification {
    /// The figures that only the server knows; the first also says that the session was admitted.
    Stats,
    /// The worker is lost, and there is no other yet.
    Reconnecting,
    /// There is a worker again.
    Reattached,
    /// Another worker took over from a lost one.
    TakenOver,
    /// Another worker took over from a draining or a far one.
    Moved,
    /// Frames arrive faster than the handler processes them.
    FallingBehind,
    /// No frame of the browser's video is decoded.
    NothingShown(Fault),
}

/// The state of the connection.
#[derive(Debug)]
enum Connection {
    /// Waiting for the first signed check.
    Answered { until: Instant },
    /// Signed checks arrive; waiting for DTLS.
    Checked { until: Instant },
    /// DTLS is up.
    Connected { watch: Watch, until: Option<Instant> },
}

/// The state of the session's worker.
#[derive(Clone, Copy, Debug)]
enum State {
    /// The session has no slot.
    Unadmitted,
    /// A search runs and there is no link. `lost`: since when there has been no worker; `None`
    /// until the search or a loss has reported it. `notified`: the client knows.
    Searching { lost: Option<Instant>, notified: bool },
    /// There is a link.
    Attached,
    /// There is a link to a worker that drains, or is far, and a search runs for one to move to,
    /// for this reason.
    Leaving(Failover),
    /// The next worker is ready; the link to the last one must end first.
    Moving(Failover),
    /// It has ended.
    Ended,
}

/// One session.
#[derive(Debug)]
pub(super) struct Core {
    limits: Limits,
    /// The browser is to send video.
    sends: bool,
    connection: Connection,
    state: State,
    /// When the last link was created; `None` before the first.
    attached: Option<Instant>,
    /// Workers lost in a row soon after they took the session.
    losses: u32,
    nearer: Looks,
}

impl Core {
    /// For a session whose answer has just been made. `sends`: the browser should send video.
    pub(super) fn new(now: Instant, limits: Limits, sends: bool) -> Self {
        let connection = Connection::Answered { until: now + CONNECT_TIMEOUT };
        let nearer = Looks::new(limits.nearer);
        let state = State::Unadmitted;
        Self { limits, sends, connection, state, attached: None, losses: 0, nearer }
    }

    /// Whether a signed check has arrived.
    pub(super) fn is_checked(&self) -> bool {
        !matches!(self.connection, Connection::Answered { .. })
    }

    /// For how long no frame has come, if there ever was one.
    pub(super) fn idle(&self) -> Duration {
        match &self.connection {
            Connection::Connected { watch, .. } => watch.idle(),
            _ => Duration::ZERO,
        }
    }

    /// When [`Event::Deadline`] is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let connection = match self.connection {
            Connection::Answered { until } | Connection::Checked { until } => Some(until),
            Connection::Connected { until, .. } => until,
        };
        let search = match self.state {
            State::Searching { lost: Some(lost), .. } => Some(lost + self.limits.reconnect),
            State::Attached => self.nearer.due(),
            State::Ended => return None,
            _ => None,
        };
        connection.into_iter().chain(search).min()
    }

    /// Handles an event.
    pub(super) fn handle<W>(&mut self, now: Instant, event: Event<W>) -> Vec<Action<W>> {
        if matches!(self.state, State::Ended) {
            return Vec::new();
        }
        match event {
            Event::Checked => self.checked(now),
            Event::Connected(counts) => self.connected(now, counts),
            Event::Admitted => self.admitted(),
            Event::Refused(refused) => self.end(EndReason::Refused(refused)),
            Event::NoCodec => self.end(EndReason::Refused(OfferRefused::NoCodec)),
            Event::Found => self.found(now),
            Event::Stay { draining, refused } => self.stay(now, draining, refused),
            Event::Waiting => self.waiting(now),
            Event::SearchFailed(reason) | Event::End(reason) => self.end(reason),
            Event::Draining(worker) => self.draining(worker),
            Event::Detached(why, worker) => self.detached(now, why, worker),
            // Without a worker the queue does not fill because of a slow handler.
            Event::FallingBehind if self.has_link() => {
                vec![Action::Notify(Notification::FallingBehind)]
            }
            Event::FallingBehind => Vec::new(),
            Event::Counted(counts) => self.counted(now, counts),
            Event::Deadline(step) => self.timed_out(now, step),
        }
    }

    fn has_link(&self) -> bool {
        matches!(self.state, State::Attached | State::Leaving(_) | State::Moving(_))
    }

    fn checked<W>(&mut self, now: Instant) -> Vec<Action<W>> {
        if self.is_checked() {
            return Vec::new();
        }
        self.connection = Connection::Checked { until: now + DTLS_TIMEOUT };
        vec![Action::AskAdmission { encrypted: false }]
    }

    fn connected<W>(&mut self, now: Instant, counts: Counts) -> Vec<Action<W>> {
        if matches!(self.connection, Connection::Connected { .. }) {
            // Connected again after an interruption.
            return Vec::new();
        }
        let watch = Watch::new(now, counts, self.sends, self.limits.idle);
        self.connection =
            Connection::Connected { watch, until: self.limits.time.map(|limit| now + limit) };
        vec![
            Action::NoteConnected,
            Action::AskAdmission { encrypted: true },
            Action::Notify(Notification::Stats),
        ]
    }

    /// The gateway is asked twice and may admit twice; the second admission returns its slot.
    fn admitted<W>(&mut self) -> Vec<Action<W>> {
        if !matches!(self.state, State::Unadmitted) {
            return Vec::new();
        }
        self.state = State::Searching { lost: None, notified: false };
        vec![Action::Begin, Action::Search(Previous::Nothing), Action::Notify(Notification::Stats)]
    }

    fn found<W>(&mut self, now: Instant) -> Vec<Action<W>> {
        match self.state {
            State::Searching { lost, notified } => self.attach(now, lost, notified, None),
            State::Leaving(why) => {
                self.state = State::Moving(why);
                vec![Action::Leave]
            }
            // No search runs: the actor found nothing for us.
            State::Unadmitted | State::Attached | State::Moving(_) | State::Ended => Vec::new(),
        }
    }

    fn attach<W>(
        &mut self,
        now: Instant,
        lost: Option<Instant>,
        notified: bool,
        moved: Option<Failover>,
    ) -> Vec<Action<W>> {
        self.state = State::Attached;
        self.nearer.attached(now, moved == Some(Failover::Nearer));
        let first = self.attached.replace(now).is_none();
        let mut actions = vec![Action::Attach];
        if notified {
            actions.push(Action::Notify(Notification::Reattached));
        }
        match lost {
            _ if first => {}
            Some(lost) => {
                actions
                    .push(Action::Count(Failover::Recovered, now.saturating_duration_since(lost)));
                actions.push(Action::Notify(Notification::TakenOver));
            }
            None => {
                if let Some(why) = moved {
                    actions.push(Action::Count(why, Duration::ZERO));
                    actions.push(Action::Notify(Notification::Moved));
                }
            }
        }
        actions
    }

    fn stay<W>(&mut self, now: Instant, draining: Option<W>, refused: bool) -> Vec<Action<W>> {
        match self.state {
            // The worker serves again, but it was lost after it reported that.
            State::Searching { .. } => vec![Action::Search(Previous::Nothing)],
            State::Leaving(_) => {
                self.state = State::Attached;
                self.nearer.looked(now, refused);
                draining.map_or_else(Vec::new, |worker| self.draining(worker))
            }
            _ => Vec::new(),
        }
    }

    fn waiting<W>(&mut self, now: Instant) -> Vec<Action<W>> {
        let State::Searching { lost, notified } = &mut self.state else { return Vec::new() };
        lost.get_or_insert(now);
        if std::mem::replace(notified, true) {
            Vec::new()
        } else {
            vec![Action::Notify(Notification::Reconnecting)]
        }
    }

    fn draining<W>(&mut self, worker: W) -> Vec<Action<W>> {
        if !matches!(self.state, State::Attached) {
            // A search already runs, or there is no link.
            return Vec::new();
        }
        self.state = State::Leaving(Failover::Moved);
        vec![Action::Search(Previous::Draining(worker))]
    }

    fn detached<W>(&mut self, now: Instant, why: Detached, worker: Option<W>) -> Vec<Action<W>> {
        let searching = match self.state {
            State::Moving(why) => return self.attach(now, None, false, Some(why)),
            State::Attached => false,
            State::Leaving(_) => true,
            // There is no link in these states.
            State::Unadmitted | State::Searching { .. } | State::Ended => return Vec::new(),
        };
        if why == Detached::Left {
            // Left without a successor: the session itself is ending.
            return Vec::new();
        }
        self.nearer.lost(now);
        let soon =
            self.attached.is_some_and(|since| now.saturating_duration_since(since) < STABLE_AFTER);
        self.losses = if soon { self.losses + 1 } else { 1 };
        if self.losses > MAX_LOSSES {
            let mut actions = vec![Action::Count(Failover::Lost, Duration::ZERO)];
            actions.extend(self.end(EndReason::WorkerLost));
            return actions;
        }
        self.state = State::Searching { lost: Some(now), notified: false };
        match worker {
            // The search for a successor continues.
            _ if searching => Vec::new(),
            Some(worker) => vec![Action::Search(Previous::Lost(worker))],
            None => vec![Action::Search(Previous::Nothing)],
        }
    }

    fn counted<W>(&mut self, now: Instant, counts: Counts) -> Vec<Action<W>> {
        let Connection::Connected { watch, .. } = &mut self.connection else { return Vec::new() };
        let reason = match watch.look(now, counts) {
            None => return Vec::new(),
            Some(Verdict::NothingShown(fault)) => {
                return vec![Action::Notify(Notification::NothingShown(fault))];
            }
            Some(Verdict::Silent) => EndReason::Silent,
            Some(Verdict::NoVideo { packets }) => EndReason::NoVideo { packets },
            Some(Verdict::Idle) => EndReason::Idle(self.limits.idle),
        };
        self.end(reason)
    }

    /// Handles the deadline; nothing if the timer was early.
    fn timed_out<W>(&mut self, now: Instant, step: ConnectStage) -> Vec<Action<W>> {
        match self.connection {
            Connection::Answered { until } if now >= until => {
                return self.end(EndReason::NeverConnected(step));
            }
            Connection::Checked { until } if now >= until => {
                return self.end(EndReason::NoDtls(step));
            }
            Connection::Connected { until: Some(until), .. } if now >= until => {
                return self.end(EndReason::TimeLimit(self.limits.time.unwrap_or_default()));
            }
            _ => {}
        }
        match self.state {
            State::Attached if self.nearer.due().is_some_and(|due| now >= due) => {
                self.state = State::Leaving(Failover::Nearer);
                vec![Action::SearchNearer]
            }
            State::Searching { lost: Some(lost), .. } if now >= lost + self.limits.reconnect => {
                // A session that never had a worker has not lost one.
                let lost =
                    self.attached.map(|_| Action::Count(Failover::Lost, self.limits.reconnect));
                lost.into_iter().chain(self.end(EndReason::WorkerLost)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn end<W>(&mut self, reason: EndReason) -> Vec<Action<W>> {
        self.state = State::Ended;
        vec![Action::End(reason)]
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
