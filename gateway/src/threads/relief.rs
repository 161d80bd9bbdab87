//! How much less the streams of a codec thread get when it has more to do than time. Pure.
//!
//! There are two kinds of steps. Each stream goes a rung down its ladder (`bandwidth`): fewer
//! frames a second, even if the browser sends more, and then smaller pictures, down to half the
//! width and height. That makes encoding cheaper, which is usually most of the work. And browsers
//! are asked to send fewer frames, which saves all of a frame's work. Both are done first, as long
//! as there is encoding to save. If that is not enough, or there is none, browsers are asked for
//! still less. All sessions of a thread get the same steps.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::load::LOOK_INTERVAL;

/// Looks that are compared. The first and the last are three quarters of a second apart: several
/// pictures of each session.
const LOOKS: usize = 4;
/// Share of the time at work from which a thread counts as full: the rest is pauses between tasks.
const FULL: f64 = 0.95;
/// Undoing a step is assumed to multiply encoding by this. More frames a second multiply it by 1.3
/// or 1.5, larger pictures by 1.8 or 2.3. Where that was too optimistic, above all where browsers
/// then send more, the step is taken again, and the next try comes later.
const STEP: f64 = 1.5;
/// If encoding takes less than this share of the time, it is not the problem, and no rung is taken.
const WORTH_IT: f64 = 0.2;
/// The ladder of a 30 fps stream has this many down to half the width and height: 20 and 15 fps,
/// three quarters and half. That of a 60 fps stream is at 15 then; on shorter ladders the last
/// change nothing.
const MOST_RUNGS: usize = 4;
/// Frames that the first rungs leave out need not be sent. So as many steps of asking go with them.
const ASKED_WITH_RUNGS: usize = 2;
/// 20, 15, 10 and 7.5 frames a second (`bandwidth::asked_fps`).
const MOST_ASKED: usize = 4;
/// Share of the pictures to encode that a thread may leave out for newer ones before its streams
/// get less. The first step leaves out a third of the frames. A thread that loses less than this by
/// itself would encode at most nine tenths as many with that step, and part of the machine would be
/// idle.
const TOLERATED: f64 = 0.26;
/// This many looks with late packets are too many, whatever is left out. One may be a hiccup.
const LATE_LOOKS: usize = 2;
/// From one step to the next. By then all looks are from after the step: from a quarter of a second
/// after it, when browsers have heard of it.
const DOWN_AFTER: Duration = Duration::from_secs(1);
/// Until a step is undone. Twice as long, up to the second value, each time that a step had to be
/// taken again.
const UP_AFTER: [Duration; 2] = [Duration::from_secs(4), Duration::from_secs(64)];
/// The looks must span at least this. After a stall of their own they come at once, and say
/// nothing.
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
    /// Pictures that were not encoded, because a newer one came before their turn.
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

    /// One step more; the same after the last. `encoding`: it is worth making encoding cheaper.
    fn more(self, encoding: bool) -> Self {
        let Self { asked, rungs } = self;
        if encoding && rungs < MOST_RUNGS {
            Self { asked: asked.max((rungs + 1).min(ASKED_WITH_RUNGS)), rungs: rungs + 1 }
        } else {
            Self { asked: (asked + 1).min(MOST_ASKED), rungs }
        }
    }

    /// One step less, in reverse order; but rungs first if cheaper encoding does not help.
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

/// The relief of one thread.
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

    /// Whether packets were late too often, or more pictures were left out than is tolerated.
    fn lost_too_much(&self) -> bool {
        let works = || self.looks.iter().map(|(_, work)| work);
        let late = works().zip(works().skip(1)).filter(|(before, after)| after.late > before.late);
        let (Some(first), Some(last)) = (works().next(), works().next_back()) else { return false };
        let left_out = last.left_out.saturating_sub(first.left_out) as f64;
        let all = left_out + last.pictures.saturating_sub(first.pictures) as f64;
        late.count() >= LATE_LOOKS || left_out > all * TOLERATED
    }

    /// The highest load to expect with a step less. With no step left, some of it may be left out.
    fn room(&self, encoding: bool) -> f64 {
        if self.level.less(encoding).is_none() { FULL / (1.0 - TOLERATED) } else { FULL }
    }
}

#[cfg(test)]
#[path = "relief_tests.rs"]
mod tests;
