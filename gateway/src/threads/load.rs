//! How busy the codec threads are, and whether another session fits. Pure.
//!
//! A thread's load is the share of wall-clock time, over the last two seconds, in which it was at
//! work. Not CPU time: a thread whose core is taken by a handler, a neighbour or a cgroup's quota
//! is as late as one that computes, and counts as busy. A session that was not there all that time
//! is measured only in part. The rest is estimated, so that a burst of offers is not admitted
//! unseen.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

/// Between two looks at the threads.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Looks that are kept, the first and the last two seconds apart: longer than a hiccup, short
/// enough that sessions that left are soon forgotten. When full, the oldest is dropped.
const LOOKS: usize = 9;
/// Share of a codec thread that a session is assumed to need until one has been seen for long
/// enough: 720p at 30 fps in VP8, 12 ms a frame (docs/limits.md).
const FIRST_GUESS: f64 = 0.4;

/// Share of the limit that sessions may fill before DTLS has shown that their browser is there. The
/// rest is kept for those that are.
const WITHOUT_DTLS: f64 = 0.5;

/// See the module.
#[derive(Debug)]
pub(crate) struct Load {
    /// Above this load no session is taken beside another; 1 is no limit.
    most: f64,
    threads: Vec<Thread>,
    /// When, and how long each thread had worked by then; at least one.
    looks: VecDeque<(Instant, Vec<Duration>)>,
}

/// The sessions of one thread.
type Thread = Vec<Weak<Place>>;

/// A session's place on a codec thread; it is free when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) thread: usize,
    since: Instant,
}

impl Load {
    /// For `threads` (at least one) that have not worked yet; `most` is a share, above 0 and up to
    /// 1.
    pub(crate) fn new(now: Instant, threads: usize, most: f64) -> Self {
        let looks = VecDeque::from([(now, vec![Duration::ZERO; threads])]);
        Self { most, threads: vec![Thread::new(); threads], looks }
    }

    /// Records how long each thread has worked up to `now`. Returns the mean load, which is above 1
    /// if more work is estimated than there is time.
    pub(crate) fn look(&mut self, now: Instant, worked: Vec<Duration>) -> f64 {
        // This process stood still, perhaps within a task: do not count that time as work.
        if self.looks.back().is_some_and(|(last, _)| now > *last + LOOK_INTERVAL * 4) {
            self.looks.clear();
        }
        if self.looks.len() == LOOKS {
            self.looks.pop_front();
        }
        self.looks.push_back((now, worked));
        mean(&self.reckon().0)
    }

    /// Whether nobody has a place on this thread.
    pub(crate) fn is_empty(&self, thread: usize) -> bool {
        self.threads[thread].iter().all(|place| place.strong_count() == 0)
    }

    /// Takes a place on the thread with the least load among those that are not `shut`. A thread
    /// without sessions is never shut. A session without neighbours is always taken when it is
    /// `encrypted`, which means that DTLS has shown that its browser is there.
    ///
    /// # Errors
    /// The load of that thread with this session, if that is above the limit; 1 if all are shut.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        encrypted: bool,
        shut: impl Fn(usize) -> bool,
    ) -> Result<Arc<Place>, f64> {
        self.threads.iter_mut().for_each(|places| places.retain(|place| place.strong_count() > 0));
        let (loads, share) = self.reckon();
        // Sessions that do nothing yet are spread evenly.
        let least = |a: &usize, b: &usize| {
            loads[*a]
                .total_cmp(&loads[*b])
                .then(self.threads[*a].len().cmp(&self.threads[*b].len()))
        };
        let limited = self.most < 1.0;
        let open = |thread: &usize| !limited || self.threads[*thread].is_empty() || !shut(*thread);
        let thread = (0..loads.len()).filter(open).min_by(least).ok_or(1.0)?;
        // Not the mean: the session stays on this thread and cannot use the others' time.
        let with_it = loads[thread] + share;
        let most = if encrypted { self.most } else { self.most * WITHOUT_DTLS };
        let alone = encrypted && self.threads.iter().all(Vec::is_empty);
        if limited && with_it > most && !alone {
            return Err(with_it);
        }
        let place = Arc::new(Place { thread, since: now });
        self.threads[thread].push(Arc::downgrade(&place));
        Ok(place)
    }

    /// Each thread's load, and what a session takes of a thread.
    fn reckon(&self) -> (Vec<f64>, f64) {
        let mut loads: Vec<f64> =
            (0..self.threads.len()).map(|thread| self.measured(thread)).collect();
        let places = || self.threads.iter().flatten().filter_map(Weak::upgrade);
        let seen: f64 = places().map(|place| self.seen(&place)).sum();
        // The loads still include sessions that have just left, but no session takes more than a
        // thread.
        let share =
            if seen < 1.0 { FIRST_GUESS } else { (loads.iter().sum::<f64>() / seen).min(1.0) };
        places().for_each(|place| loads[place.thread] += share * (1.0 - self.seen(&place)));
        (loads, share)
    }

    /// The part of the looks' time in which a thread worked.
    fn measured(&self, thread: usize) -> f64 {
        let [(_, first), (_, last)] = self.ends();
        self.part(last[thread].saturating_sub(first[thread]))
    }

    /// The part of the looks' time in which this session was there.
    fn seen(&self, place: &Place) -> f64 {
        let [(from, _), (to, _)] = self.ends();
        self.part(to.saturating_duration_since(place.since.max(*from)))
    }

    fn part(&self, of: Duration) -> f64 {
        let [(from, _), (to, _)] = self.ends();
        let all = to.saturating_duration_since(*from);
        if all.is_zero() { 0.0 } else { of.as_secs_f64() / all.as_secs_f64() }
    }

    fn ends(&self) -> [&(Instant, Vec<Duration>); 2] {
        [&self.looks[0], &self.looks[self.looks.len() - 1]]
    }
}

fn mean(loads: &[f64]) -> f64 {
    loads.iter().sum::<f64>() / loads.len() as f64
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
