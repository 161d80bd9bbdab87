//! Each decision by itself; what `load` and `relief` decide in detail is tested there.

use super::*;
use crate::threads::load::LOOK_INTERVAL;

const LIMIT: f64 = 0.9;

/// Threads that work for a share of the time, half of it encoding.
struct Machine {
    governor: Governor,
    now: Instant,
    threads: Vec<Work>,
}

impl Machine {
    fn new(threads: usize, max_load: f64) -> Self {
        let now = Instant::now();
        let governor = Governor::new(now, threads, max_load);
        Self { governor, now, threads: vec![Work::default(); threads] }
    }

    fn admit(&mut self) -> Result<Arc<Place>, f64> {
        self.governor.admit(self.now, true)
    }

    /// Returns the last load.
    fn pass(&mut self, looks: u32, shares: &[f64]) -> f64 {
        let mut load = 0.0;
        for _ in 0..looks {
            self.now += LOOK_INTERVAL;
            for (work, share) in self.threads.iter_mut().zip(shares) {
                work.worked += LOOK_INTERVAL.mul_f64(*share);
                work.encoded += LOOK_INTERVAL.mul_f64(*share / 2.0);
                // As if there were twice as much work as time.
                work.pictures += 10;
                work.left_out += 10;
            }
            load = self.governor.look(self.now, &self.threads);
        }
        load
    }

    fn relieved(&self) -> Vec<bool> {
        (0..self.threads.len())
            .map(|thread| !self.governor.relief_level(thread).is_none())
            .collect()
    }
}

#[test]
fn who_is_next_in_each_case() {
    // Each: whether a decoder waits, an encoder waits, and decoders had half of the encoder's time.
    for (decoder_waits, encoder_waits, had_their_time, next) in [
        (false, false, false, Next::Decode),
        (false, false, true, Next::Decode),
        (false, true, false, Next::Encode),
        (false, true, true, Next::Encode),
        (true, false, false, Next::Decode),
        (true, false, true, Next::Decode),
        (true, true, false, Next::Decode),
        (true, true, true, Next::Encode),
    ] {
        let decoded = Duration::from_nanos(if had_their_time { 500 } else { 499 });
        let encoded = Duration::from_nanos(1_001);
        let demand = Demand { decoder_waits, encoder_waits, decoded, encoded };
        assert_eq!(demand.next(), next, "{demand:?}");
    }
}

#[test]
fn at_first_an_encoder_waits_for_nobody() {
    let (decoded, encoded) = (Duration::ZERO, Duration::ZERO);
    let demand = Demand { decoder_waits: true, encoder_waits: true, decoded, encoded };
    assert_eq!(demand.next(), Next::Encode);
}

#[test]
fn a_relieved_thread_takes_nobody_more_until_its_last_session_leaves() {
    let mut machine = Machine::new(2, LIMIT);
    let (first, second) = (machine.admit().unwrap(), machine.admit().unwrap());
    assert_eq!((first.thread, second.thread), (0, 1));
    let load = machine.pass(8, &[1.0, 0.1]);
    assert!((load - 0.55).abs() < 1e-6, "{load}");
    assert_eq!(machine.relieved(), [true, false]);
    // Its pictures are cheap now; it looks as idle as the other.
    machine.pass(8, &[0.0, 0.1]);
    assert_eq!(machine.relieved(), [true, false]);
    assert_eq!(machine.admit().unwrap().thread, 1);
    drop(first);
    machine.pass(1, &[0.0, 0.1]);
    assert_eq!(machine.relieved(), [false, false]);
    assert_eq!(machine.admit().unwrap().thread, 0);
}

#[test]
fn where_all_threads_are_relieved_nobody_is_admitted() {
    let mut machine = Machine::new(1, LIMIT);
    let _place = machine.admit().unwrap();
    machine.pass(8, &[1.0]);
    assert_eq!(machine.admit().err(), Some(1.0));
}

#[test]
fn without_a_limit_a_relieved_thread_takes_more() {
    let mut machine = Machine::new(1, 1.0);
    let _place = machine.admit().unwrap();
    machine.pass(8, &[1.0]);
    assert_eq!(machine.relieved(), [true]);
    assert!(machine.admit().is_ok());
}
