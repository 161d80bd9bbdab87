//! How far the pictures of a codec thread are made cheaper because it has more to do than time.
//! Pure.
//!
//! By steps, of two kinds. Each stream goes a rung down its ladder (`bandwidth`): fewer frames a
//! second, whoever sends more, and then smaller pictures, down to half their sides. That makes
//! encoding cheaper, which mostly is most of the work. And browsers are asked to send fewer frames:
//! those who do save us all of a frame's work. First both, as long as there is encoding to save;
//! where that is not enough, or there is none, browsers are asked for still less. All is the same
//! for all sessions of a thread, so they fall evenly.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::load::LOOK_INTERVAL;

/// Looks that are compared, the first and the last three quarters of a second apart: several
/// pictures of each session.
const LOOKS: usize = 4;
/// Share of the time at work from which on a thread has too much to do: the rest are pauses between
/// two tasks.
const FULL: f64 = 0.95;
/// What a step less is taken to multiply encoding with: frames a second by 1.3 or 1.5, sides by 1.8
/// or 2.3. Where that was too hopeful, above all where browsers then send more, the step comes
/// back, and the next try later.
const STEP: f64 = 1.5;
/// Encoding below this share of the time is not what there is too much of: no rung is given up for
/// it.
const WORTH_IT: f64 = 0.2;
/// The ladder of 30 fps has as many down to half the sides: 20 and 15 fps, three quarters and half.
/// One of 60 fps is at 15 then; of shorter ones the last are empty.
const MOST_RUNGS: usize = 4;
/// Frames that the first rungs leave out need not be sent: as many steps are asked for with them.
const ASKED_WITH_RUNGS: usize = 2;
/// 20, 15, 10 and 7.5 frames a second (`bandwidth::asked_fps`).
const MOST_ASKED: usize = 4;
/// Of the pictures that were to be encoded, those that a thread may leave out, as newer ones come,
/// before all its streams do less. The first step leaves a third of the frames out: what loses less
/// than this by itself would get at most nine tenths of that with it, and a part of the machine
/// would be idle.
const TOLERATED: f64 = 0.26;
/// Looks with late packets that are too much whatever is left out: one may be a hiccup.
const LATE_LOOKS: usize = 2;
/// From one step to the next: the looks are of the new step then, a quarter of a second after it,
/// when browsers have heard.
const DOWN_AFTER: Duration = Duration::from_secs(1);
/// To one step less; twice as long, up to the second, each time that one had to come back.
const UP_AFTER: [Duration; 2] = [Duration::from_secs(4), Duration::from_secs(64)];
/// So long must looks span: after a stall of their own they come at once, and say nothing.
const SPAN: Duration = Duration::from_millis(500);

/// What a thread has done since it started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Work {
    /// Time within tasks, of any kind.
    pub(crate) worked: Duration,
    /// The part of it that was encoding.
    pub(crate) encoded: Duration,
    /// Pictures that were encoded.
    pub(crate) pictures: u64,
    /// Pictures that were not, because a newer one came before their turn.
    pub(crate) left_out: u64,
    /// Times that packets were dropped because they had waited too long for a decoder.
    pub(crate) late: u64,
}

/// How much less the streams of a thread do, in steps of two kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReliefLevel {
    /// Steps by which browsers are asked for fewer frames.
    pub(crate) asked: usize,
    /// Rungs that each stream is down its ladder.
    pub(crate) rungs: usize,
}

impl ReliefLevel {
    pub(crate) fn is_none(self) -> bool {
        self == Self::default()
    }

    /// One step more; the same after the last. `encoding` is worth to be made cheaper.
    fn more(self, encoding: bool) -> Self {
        let Self { asked, rungs } = self;
        if encoding && rungs < MOST_RUNGS {
            Self { asked: asked.max((rungs + 1).min(ASKED_WITH_RUNGS)), rungs: rungs + 1 }
        } else {
            Self { asked: (asked + 1).min(MOST_ASKED), rungs }
        }
    }

    /// One step less, the last first; but rungs, where they are not what helps.
    fn less(self, encoding: bool) -> Self {
        let Self { asked, rungs } = self;
        if !encoding && rungs > 0 {
            return Self { asked, rungs: rungs - 1 };
        }
        if asked > rungs.min(ASKED_WITH_RUNGS) {
            return Self { asked: asked - 1, rungs };
        }
        let rungs = rungs.saturating_sub(1);
        Self { asked: asked.min(rungs), rungs }
    }
}

/// Of one thread.
#[derive(Debug)]
pub(crate) struct Relief {
    level: ReliefLevel,
    changed: Instant,
    /// The last change was to one step less.
    tried: bool,
    /// How long it waits before the next such.
    backoff: Duration,
    /// When, and what the thread had done by then.
    looks: VecDeque<(Instant, Work)>,
}

impl Relief {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            level: ReliefLevel::default(),
            changed: now,
            tried: false,
            backoff: UP_AFTER[0],
            looks: VecDeque::new(),
        }
    }

    /// What was decided at the last look.
    pub(crate) fn level(&self) -> ReliefLevel {
        self.level
    }

    /// Notes what the thread has done up to `now`; gives the level. To be called each
    /// [`crate::threads::load::LOOK_INTERVAL`].
    pub(crate) fn look(&mut self, now: Instant, work: Work) -> ReliefLevel {
        // This process stood still, perhaps within a task: the time was nobody's.
        if self.looks.back().is_some_and(|(last, _)| now > *last + LOOK_INTERVAL * 4) {
            self.looks.clear();
        }
        if self.looks.len() == LOOKS {
            self.looks.pop_front();
        }
        self.looks.push_back((now, work));
        let (since, then) = self.looks[0];
        let all = now.saturating_duration_since(since);
        let held = now.saturating_duration_since(self.changed);
        if self.looks.len() < LOOKS || held < DOWN_AFTER || all < SPAN {
            return self.level;
        }
        let load = work.worked.saturating_sub(then.worked).div_duration_f64(all);
        let encoding = work.encoded.saturating_sub(then.encoded).div_duration_f64(all);
        let full = load >= FULL && (!self.level.is_none() || self.lost_too_much());
        if self.tried && held >= self.backoff {
            (self.tried, self.backoff) = (false, UP_AFTER[0]);
        }
        let worth_it = encoding >= WORTH_IT;
        let more = self.level.more(worth_it);
        if full && more != self.level {
            if std::mem::take(&mut self.tried) {
                self.backoff = (self.backoff * 2).min(UP_AFTER[1]);
            }
            (self.level, self.changed) = (more, now);
        } else if !self.level.is_none()
            && held >= self.backoff
            && load + encoding * (STEP - 1.0) < self.room(worth_it)
        {
            (self.level, self.changed, self.tried) = (self.level.less(worth_it), now, true);
        }
        self.level
    }

    /// Whether the looks have left out more than is tolerated.
    fn lost_too_much(&self) -> bool {
        let works = || self.looks.iter().map(|(_, work)| work);
        let late = works().zip(works().skip(1)).filter(|(before, after)| after.late > before.late);
        let (Some(first), Some(last)) = (works().next(), works().next_back()) else { return false };
        let left_out = last.left_out.saturating_sub(first.left_out) as f64;
        let all = left_out + last.pictures.saturating_sub(first.pictures) as f64;
        late.count() >= LATE_LOOKS || left_out > all * TOLERATED
    }

    /// Up to where the load may be with a step less: without any, some of it may be left out.
    fn room(&self, encoding: bool) -> f64 {
        if self.level.less(encoding).is_none() { FULL / (1.0 - TOLERATED) } else { FULL }
    }
}

#[cfg(test)]
#[path = "relief_tests.rs"]
mod tests;
