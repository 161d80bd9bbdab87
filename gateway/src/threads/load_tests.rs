//! Sessions that come, work and leave.

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

    /// Returns the last mean load.
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
    // 0.4 of a thread each: a third session on a thread would make 1.2.
    assert_eq!((0..100).filter(|_| machine.offer()).count(), 4);
    assert_eq!(machine.on_threads(), [2, 2]);
    near(machine.load.take(machine.now, true, |_| false).unwrap_err(), 1.2);
    // They take 0.25 each, and so will new ones: a fourth on a thread would make 1.0.
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
    let mut take =
        |shut: &[usize]| machine.load.take(machine.now, true, |thread| shut.contains(&thread));
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
    let places: Vec<_> =
        (0..100).filter_map(|_| load.take(Instant::now(), true, |_| true).ok()).collect();
    assert_eq!(places.len(), 100);
}
