//! Which sessions' calls make up the model's next batch, and when it begins. It has no I/O, clock
//! or thread, but takes the time as an argument, so that tests run thousands of courses in a short
//! time.
//!
//! > What enters comes out exactly once: in a batch, superseded, or because its session left. A
//! > batch takes those who have waited longest. While a model is free, nothing waits longer than
//! > `max_wait`.
//!
//! In the terms of queueing it is a closed system with bulk service: each session has one item in
//! it at most, and comes back a think time after its answer. Batches that begin as soon as the
//! model is free lock into two cohorts. The sessions just answered come back just after the next
//! batch began, wait for all of it, and so does the other half. So the core may leave a free model
//! idle until they are back (the refill wait), but only
//!
//! - for sessions that are *due*: those who, by their own history, probably come back in time;
//! - while that pays (`due.rs`);
//! - while no second model is free: a newcomer would find that one.

use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use tokio::time::Instant;

use self::member::{Members, ReservedPlace, State};
use super::service::ServiceTime;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Items in a batch, at least 1.
    pub(crate) max_batch: usize,
    /// How long an item waits at most while a model is free. It is a limit and not a delay: the
    /// core waits only where that pays.
    pub(crate) max_wait: Duration,
    /// How many models take batches, at least 1.
    pub(crate) replicas: usize,
}

/// What a free model does.
#[derive(Debug)]
pub(crate) enum Decision<T> {
    /// It takes this batch, and is busy until [`finished`](Core::finished) or
    /// [`failed`](Core::failed).
    Fire(Batch<T>),
    /// It asks again then, or when something has entered, finished or left.
    WaitUntil(Instant),
    /// It asks again when something has entered or finished, and from time to time.
    Idle,
}

#[derive(Debug)]
pub(crate) struct Batch<T> {
    pub(crate) id: BatchId,
    /// Never empty; those who came first are first.
    pub(crate) entries: Vec<Entry<T>>,
}

#[derive(Debug)]
pub(crate) struct Entry<T> {
    pub(crate) session: u64,
    pub(crate) item: T,
    pub(crate) waited: Duration,
}

/// The name of a batch that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchId(u64);

/// An item that was refused, because its session has one here already.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Twice<T>(pub(crate) T);

/// The queue, what is known of each session, and the batches that run.
#[derive(Debug)]
pub(crate) struct Core<T> {
    settings: Settings,
    /// By place: numbers in the order of first arrivals.
    queue: BTreeMap<u64, Waiting<T>>,
    members: Members,
    /// As many as there are busy models.
    running: Vec<Running>,
    /// The latest number given to a place or a batch.
    latest: u64,
    /// Since when at least one model has been free, if ever all were busy.
    free_since: Option<Instant>,
    service: ServiceTime,
}

#[derive(Debug)]
struct Waiting<T> {
    session: u64,
    item: T,
    entered: Instant,
    /// Before `entered` if this item is the successor of a superseded one.
    arrived: Instant,
    /// Its session has missed a batch because its item was superseded: that happens only once.
    protected: bool,
}

#[derive(Debug)]
struct Running {
    id: BatchId,
    began: Instant,
    sessions: Vec<u64>,
}

impl<T> Core<T> {
    pub(crate) fn new(settings: Settings) -> Self {
        let Settings { max_batch, max_wait, replicas } = settings;
        let (max_batch, replicas) = (max_batch.max(1), replicas.max(1));
        Self {
            settings: Settings { max_batch, max_wait, replicas },
            queue: BTreeMap::new(),
            members: Members::default(),
            running: Vec::new(),
            latest: 0,
            free_since: None,
            service: ServiceTime::default(),
        }
    }

    /// A session's call begins to wait.
    ///
    /// # Errors
    /// The session has an item here already, waiting or in a batch.
    pub(crate) fn enter(&mut self, now: Instant, session: u64, item: T) -> Result<(), Twice<T>> {
        let fresh = ReservedPlace { place: self.number(), arrived: now, since: now, missed: false };
        let member = self.members.meet(now, session);
        let reserved = match member.state {
            State::Waiting { .. } | State::Running(_) => return Err(Twice(item)),
            State::Superseded(reserved) => {
                let usual = member.detour.unwrap_or_default() * 7 / 8;
                member.detour = Some(usual.max(now - reserved.since));
                reserved
            }
            State::Away { answered } => {
                if let Some(answered) = answered {
                    member.think.learn(now - answered);
                }
                fresh
            }
        };
        member.heard = now;
        member.state = State::Waiting { place: reserved.place };
        let (arrived, protected) = (reserved.arrived, reserved.missed);
        let waiting = Waiting { session, item, entered: now, arrived, protected };
        self.queue.insert(reserved.place, waiting);
        Ok(())
    }

    /// What a model that is free does now.
    pub(crate) fn poll(&mut self, now: Instant) -> Decision<T> {
        let free = self.settings.replicas - self.running.len();
        let Some(oldest) = self.queue.values().next().filter(|_| free > 0) else {
            return Decision::Idle;
        };
        let from = self.free_since.map_or(oldest.arrived, |since| since.max(oldest.arrived));
        let deadline = from + self.settings.max_wait;
        if free > 1 || now >= deadline {
            return Decision::Fire(self.fire(now));
        }
        match self.detour(now, deadline).or_else(|| self.refill(now, deadline)) {
            Some(until) => Decision::WaitUntil(until),
            None => Decision::Fire(self.fire(now)),
        }
    }

    /// A batch is done and its model is free. Returns, in the batch's order, the sessions that are
    /// answered now; `None` stands for those that have left since, whose results nobody waits for.
    pub(crate) fn finished(&mut self, now: Instant, id: BatchId) -> Vec<Option<u64>> {
        let Some(running) = self.end(now, id) else { return Vec::new() };
        self.service.learn(running.sessions.len(), now - running.began);
        self.answer(now, &running)
    }

    /// Like [`finished`](Self::finished), for a batch whose time tells nothing about the next: the
    /// model failed, or its items were tried again one by one.
    pub(crate) fn failed(&mut self, now: Instant, id: BatchId) -> Vec<Option<u64>> {
        self.end(now, id).map(|running| self.answer(now, &running)).unwrap_or_default()
    }

    /// A session gives its call up. Returns its item if that waits; if it is in a batch, its result
    /// will be dropped. The session may enter again at once.
    pub(crate) fn leave(&mut self, session: u64) -> Option<T> {
        let member = self.members.get_mut(session)?;
        match mem::replace(&mut member.state, State::Away { answered: None }) {
            State::Waiting { place } => self.queue.remove(&place).map(|waiting| waiting.item),
            _ => None,
        }
    }

    /// Like [`leave`](Self::leave), for a session that has ended: it is forgotten.
    pub(crate) fn gone(&mut self, session: u64) -> Option<T> {
        let item = self.leave(session);
        self.members.forget(session);
        item
    }

    /// Takes a session's waiting item out, because the session has a newer one. It keeps its place
    /// for its next [`enter`](Self::enter).
    ///
    /// `None` if nothing of it waits, or if it has missed a batch that way already: then the item
    /// goes in as it is, for a session might otherwise be away whenever a batch begins.
    pub(crate) fn supersede(&mut self, now: Instant, session: u64) -> Option<T> {
        let member = self.members.get_mut(session)?;
        let State::Waiting { place } = member.state else { return None };
        if self.queue.get(&place)?.protected {
            return None;
        }
        let Waiting { item, arrived, .. } = self.queue.remove(&place)?;
        member.state =
            State::Superseded(ReservedPlace { place, arrived, since: now, missed: false });
        Some(item)
    }

    /// A session's item, if it waits.
    pub(crate) fn item(&self, session: u64) -> Option<&T> {
        let State::Waiting { place } = self.members.get(session)?.state else { return None };
        self.queue.get(&place).map(|waiting| &waiting.item)
    }

    /// How many items wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Takes all items out that wait, because there is no model for them.
    pub(crate) fn clear(&mut self) -> Vec<T> {
        let waiting: Vec<u64> = self.queue.values().map(|waiting| waiting.session).collect();
        waiting.into_iter().filter_map(|session| self.leave(session)).collect()
    }

    /// Begins a batch of those who came first.
    fn fire(&mut self, now: Instant) -> Batch<T> {
        let id = BatchId(self.number());
        let last = self.last_place();
        for member in self.members.iter_mut() {
            if let State::Superseded(reserved) = &mut member.state {
                reserved.missed |= reserved.place < last;
            }
        }
        let mut entries = Vec::new();
        while entries.len() < self.settings.max_batch
            && let Some((_, Waiting { session, item, entered, .. })) = self.queue.pop_first()
        {
            if let Some(member) = self.members.get_mut(session) {
                member.state = State::Running(id);
            }
            entries.push(Entry { session, item, waited: now - entered });
        }
        let sessions = entries.iter().map(|entry| entry.session).collect();
        self.running.push(Running { id, began: now, sessions });
        Batch { id, entries }
    }

    /// The last place in a batch that would begin now. There is none while it has room.
    fn last_place(&self) -> u64 {
        self.queue.keys().nth(self.settings.max_batch - 1).copied().unwrap_or(u64::MAX)
    }

    fn end(&mut self, now: Instant, id: BatchId) -> Option<Running> {
        let index = self.running.iter().position(|running| running.id == id)?;
        if self.running.len() == self.settings.replicas {
            self.free_since = Some(now);
        }
        Some(self.running.swap_remove(index))
    }

    fn answer(&mut self, now: Instant, running: &Running) -> Vec<Option<u64>> {
        let mut answer = |session: u64| {
            let member = self.members.get_mut(session)?;
            let waits = matches!(member.state, State::Running(id) if id == running.id);
            waits.then(|| {
                member.heard = now;
                member.state = State::Away { answered: Some(now) };
                session
            })
        };
        running.sessions.iter().map(|session| answer(*session)).collect()
    }

    fn number(&mut self) -> u64 {
        self.latest += 1;
        self.latest
    }
}

mod due;
mod member;
#[cfg(test)]
mod tests;
