//! How busy the codec threads are, and whether one session more fits beside those that run. Pure.
//!
//! A thread's load is the share of wall-clock time, over the last two seconds, in which it was at work. Wall, not CPU: one
//! whose core is taken by a handler, a neighbour or a cgroup's quota is as late as one that computes, and looks as busy.
//! A session that was not there all that time is in the figure only in part; the rest is reckoned, so that a burst of
//! offers does not slip in unseen.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

/// Between two looks at the threads.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Looks that are kept, the first and the last two seconds apart: longer than a hiccup, short enough that sessions that
/// left are soon forgotten. Full: the oldest goes.
const LOOKS: usize = 9;
/// Of a codec thread, what a session is taken to need while none has been seen for long enough: 720p at 30 fps in VP8,
/// 12 ms a frame (docs/limits.md).
const FIRST_GUESS: f64 = 0.4;

/// Of the limit, up to where a session may fill it whose browser DTLS has not shown to be there. The rest is left to
/// those that are.
const WITHOUT_DTLS: f64 = 0.5;

/// See the module.
#[derive(Debug)]
pub(crate) struct Load {
    /// Above it no session is taken beside another; 1 is no limit.
    most: f64,
    threads: Vec<Thread>,
    /// When, and how long each thread had worked by then; at least one.
    looks: VecDeque<(Instant, Vec<Duration>)>,
}

/// The sessions of one.
type Thread = Vec<Weak<Place>>;

/// A session's place on a codec thread; it is free when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) thread: usize,
    since: Instant,
}

impl Load {
    /// Of `threads`, at least one, that have not worked yet; `most` is a share, above 0 and up to 1.
    pub(crate) fn new(now: Instant, threads: usize, most: f64) -> Self {
        let looks = VecDeque::from([(now, vec![Duration::ZERO; threads])]);
        Self { most, threads: vec![Thread::new(); threads], looks }
    }

    /// Notes how long each thread has worked up to `now`; gives the mean load, which is above 1 where more was reckoned
    /// than there is.
    pub(crate) fn look(&mut self, now: Instant, worked: Vec<Duration>) -> f64 {
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

    /// Takes a place on the thread with the least load among those that are not `shut`. A thread without sessions is
    /// never shut. A session without neighbours is always taken when it is `encrypted`, which means that DTLS has shown
    /// that its browser is there.
    ///
    /// # Errors
    /// What the load of that thread would be with this session, where that is above the limit; 1 where all are shut.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        encrypted: bool,
        shut: impl Fn(usize) -> bool,
    ) -> Result<Arc<Place>, f64> {
        self.threads.iter_mut().for_each(|places| places.retain(|place| place.strong_count() > 0));
        let (loads, share) = self.reckon();
        // Of sessions that do nothing yet: evenly.
        let least = |a: &usize, b: &usize| {
            loads[*a].total_cmp(&loads[*b]).then(self.threads[*a].len().cmp(&self.threads[*b].len()))
        };
        let limited = self.most < 1.0;
        let open = |thread: &usize| !limited || self.threads[*thread].is_empty() || !shut(*thread);
        let thread = (0..loads.len()).filter(open).min_by(least).ok_or(1.0)?;
        // Not the mean: it stays there, and the others' time is not its own.
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
        let mut loads: Vec<f64> = (0..self.threads.len()).map(|thread| self.measured(thread)).collect();
        let places = || self.threads.iter().flatten().filter_map(Weak::upgrade);
        let seen: f64 = places().map(|place| self.seen(&place)).sum();
        // Of those that left a moment ago there is work too: nobody takes more than a thread.
        let share = if seen < 1.0 { FIRST_GUESS } else { (loads.iter().sum::<f64>() / seen).min(1.0) };
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
mod tests {
    use super::*;

    const LIMIT: f64 = 0.9;
    const NOTHING: Duration = Duration::ZERO;

    /// Threads whose sessions each work for the same share of the time, from their beginning on.
    struct Machine {
        load: Load,
        now: Instant,
        worked: Vec<Duration>,
        places: Vec<Arc<Place>>,
        share: f64,
    }

    impl Machine {
        fn new(threads: usize, share: f64) -> Self {
            let (now, worked) = (Instant::now(), vec![NOTHING; threads]);
            Self { load: Load::new(now, threads, LIMIT), now, worked, places: Vec::new(), share }
        }

        fn offer(&mut self) -> bool {
            let place = self.load.take(self.now, true, |_| false);
            self.places.extend(place.as_ref().ok().cloned());
            place.is_ok()
        }

        /// Gives the last figure.
        fn pass(&mut self, looks: u32) -> f64 {
            let mut load = 0.0;
            for _ in 0..looks {
                self.now += LOOK_INTERVAL;
                for place in &self.places {
                    self.worked[place.thread] += LOOK_INTERVAL.mul_f64(self.share);
                }
                load = self.load.look(self.now, self.worked.clone());
            }
            load
        }

        fn on_threads(&self) -> Vec<usize> {
            let on = |thread| self.places.iter().filter(|place| place.thread == thread).count();
            (0..self.worked.len()).map(on).collect()
        }
    }

    fn near(load: f64, expected: f64) {
        assert!((load - expected).abs() < 1e-6, "{load} is not {expected}");
    }

    #[test]
    fn a_burst_gets_what_fits_by_the_guess_and_later_what_fits_as_measured() {
        let mut machine = Machine::new(2, 0.25);
        // 0.4 of a thread each: the third of one would be 1.2.
        assert_eq!((0..100).filter(|_| machine.offer()).count(), 4);
        assert_eq!(machine.on_threads(), [2, 2]);
        near(machine.load.take(machine.now, true, |_| false).unwrap_err(), 1.2);
        // They take 0.25 each, and so will those that come: the fourth of one would be 1.0.
        near(machine.pass(8), 0.5);
        assert_eq!((0..100).filter(|_| machine.offer()).count(), 2);
        near(machine.pass(8), 0.75);
        assert!(!machine.offer());
    }

    #[test]
    fn what_is_measured_of_a_new_session_is_not_reckoned_again() {
        let mut machine = Machine::new(1, 0.2);
        assert!(machine.offer());
        machine.pass(8);
        assert!(machine.offer());
        for _ in 0..8 {
            near(machine.pass(1), 0.4);
        }
        // One a second: as many as fit, and none is refused before.
        assert!(machine.offer());
        machine.pass(4);
        assert!(machine.offer());
        machine.pass(4);
        assert!(!machine.offer());
    }

    #[test]
    fn a_session_goes_where_least_is_done() {
        let mut machine = Machine::new(2, 0.01);
        assert!(machine.offer() && machine.offer() && machine.offer() && machine.offer());
        assert_eq!(machine.on_threads(), [2, 2]);
        // Those of the second thread leave, one of the first works hard.
        machine.places.retain(|place| place.thread == 0);
        machine.places.pop();
        machine.share = 0.6;
        machine.pass(9);
        assert!(machine.offer());
        assert_eq!(machine.on_threads(), [1, 1]);
        machine.share = 0.0;
        machine.pass(9);
        assert!(machine.offer() && machine.offer(), "sessions that do nothing cost nothing");
        assert_eq!(machine.on_threads(), [2, 2]);
    }

    #[test]
    fn those_without_dtls_leave_room_for_the_others() {
        let mut machine = Machine::new(2, 0.0);
        let strangers: Vec<_> =
            (0..100).filter_map(|_| machine.load.take(machine.now, false, |_| false).ok()).collect();
        assert_eq!(strangers.len(), 2, "0.4 of each thread, of 0.45");
        assert_eq!((0..100).filter(|_| machine.offer()).count(), 2, "0.8 of each thread, of 0.9");
        assert!(machine.load.take(machine.now, false, |_| false).is_err());
    }

    #[test]
    fn a_thread_that_is_shut_takes_nobody_but_the_first() {
        let mut machine = Machine::new(2, 0.1);
        let mut take = |shut: &[usize]| machine.load.take(machine.now, true, |thread| shut.contains(&thread));
        let first = take(&[0, 1]).unwrap();
        assert_eq!(first.thread, 0);
        let second = take(&[0]).unwrap();
        assert_eq!(second.thread, 1);
        assert_eq!(take(&[0]).unwrap().thread, 1, "though it has more");
        near(take(&[0, 1]).unwrap_err(), 1.0);
    }

    #[test]
    fn who_would_be_alone_is_taken_whatever_the_load() {
        let mut machine = Machine::new(1, 0.5);
        assert!(machine.offer() && machine.offer() && !machine.offer());
        near(machine.pass(8), 1.0);
        assert!(!machine.offer());
        machine.places.clear();
        assert!(machine.offer(), "what is measured is of those that left");
        assert!(!machine.offer());
    }

    #[test]
    fn a_refused_offer_leaves_nothing_and_one_that_failed_neither() {
        let mut machine = Machine::new(1, 0.0);
        machine.pass(8);
        assert!(machine.offer() && machine.offer() && !machine.offer() && !machine.offer());
        near(machine.pass(1), 0.8 * 7.0 / 8.0);
        machine.places.pop();
        assert!(machine.offer() && !machine.offer());
    }

    #[test]
    fn without_a_limit_everybody_is_taken() {
        let mut load = Load::new(Instant::now(), 1, 1.0);
        let places: Vec<_> = (0..100).filter_map(|_| load.take(Instant::now(), true, |_| true).ok()).collect();
        assert_eq!(places.len(), 100);
    }
}
