//! What is known of each session.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::BatchId;
use crate::batch::think::ThinkTime;

/// A session that has not called for this long is forgotten when another is new.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);

/// How many sessions are known at most, unless more have an item here. Beyond it the one that
/// has not called for the longest time is forgotten.
const KNOWN: usize = 1024;

/// The sessions that are known, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Members(HashMap<u64, Member>);

/// A session that is known.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) state: State,
    /// When it last entered or was answered.
    pub(super) heard: Instant,
    pub(super) think: ThinkTime,
    /// How long it was away at most, lately, when it was superseded.
    pub(super) detour: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum State {
    /// It has nothing here. Without an answer there is no telling when it comes back.
    Away {
        answered: Option<Instant>,
    },
    Waiting {
        place: u64,
    },
    Superseded(ReservedPlace),
    Running(BatchId),
}

/// The place of a session whose item was superseded.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReservedPlace {
    pub(super) place: u64,
    pub(super) arrived: Instant,
    pub(super) since: Instant,
    pub(super) missed: bool,
}

impl Members {
    /// A session that enters. If it is new, another may be forgotten.
    pub(super) fn meet(&mut self, now: Instant, session: u64) -> &mut Member {
        if !self.0.contains_key(&session) {
            self.make_room(now);
        }
        self.0.entry(session).or_insert_with(|| Member::new(now))
    }

    pub(super) fn get(&self, session: u64) -> Option<&Member> {
        self.0.get(&session)
    }

    pub(super) fn get_mut(&mut self, session: u64) -> Option<&mut Member> {
        self.0.get_mut(&session)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.0.values()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.0.values_mut()
    }

    pub(super) fn forget(&mut self, session: u64) {
        self.0.remove(&session);
    }

    fn make_room(&mut self, now: Instant) {
        self.0.retain(|_, member| member.is_here() || now - member.heard < FORGOTTEN_AFTER);
        if self.0.len() >= KNOWN {
            let away = self.0.iter().filter(|(_, member)| !member.is_here());
            if let Some(session) = away.min_by_key(|(_, member)| member.heard).map(|(id, _)| *id) {
                self.0.remove(&session);
            }
        }
    }
}

impl Member {
    fn new(now: Instant) -> Self {
        let state = State::Away { answered: None };
        Self { state, heard: now, think: ThinkTime::default(), detour: None }
    }

    /// It has an item here.
    const fn is_here(&self) -> bool {
        matches!(self.state, State::Waiting { .. } | State::Running(_))
    }
}
