//! How far the pictures of a codec thread are made cheaper because it has more to do than time. Pure.
//!
//! A step is a rung of each stream's ladder (`bandwidth`): fewer pictures a second first, then smaller ones, down to half
//! their sides. That makes encoding cheaper, which is most of the work; decoding is what browsers send, and they are asked
//! to send no more than is shown; after the last rung still less. It is the same for all sessions of a thread, so they fall
//! evenly.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::bandwidth::RELIEF_RUNGS;

/// Looks that are compared, the first and the last three quarters of a second apart: several pictures of each session.
const LOOKS: usize = 4;
/// Share of the time at work from which on a thread has too much to do: the rest are pauses between two tasks.
const FULL: f64 = 0.95;
/// Share that it may have with a step less.
const ROOM: f64 = 0.92;
/// What a step less is taken to multiply encoding with: frames a second by 1.3 or 1.5, sides by 1.8 or 2.3. Where that was too
/// hopeful, above all where browsers then send more, the step comes back, and the next try later.
const STEP: f64 = 1.5;
/// The rungs, and two by which browsers are only asked for less.
const MOST_STEPS: usize = RELIEF_RUNGS + 2;
/// From one step to the next: the looks are of the new step then.
const DOWN_AFTER: Duration = Duration::from_millis(750);
/// To one step less; twice as long, up to the second, each time that one had to come back.
const UP_AFTER: [Duration; 2] = [Duration::from_secs(4), Duration::from_secs(64)];
/// So long must looks span: after a stall of their own they come at once, and say nothing.
const SPAN: Duration = Duration::from_millis(500);

/// Of one thread.
#[derive(Debug)]
pub(crate) struct Relief {
    steps: usize,
    changed: Instant,
    /// The last change was to one step less.
    tried: bool,
    /// How long it waits before the next such.
    patience: Duration,
    /// When, and how long the thread had worked by then, and how much of it encoded.
    looks: VecDeque<(Instant, Duration, Duration)>,
}

impl Relief {
    pub(crate) fn new(now: Instant) -> Self {
        Self { steps: 0, changed: now, tried: false, patience: UP_AFTER[0], looks: VecDeque::new() }
    }

    /// Notes how long the thread has worked up to `now`, and how much of that it encoded; gives the steps. To be called each
    /// [`crate::load::LOOK_INTERVAL`].
    pub(crate) fn look(&mut self, now: Instant, worked: Duration, encoded: Duration) -> usize {
        if self.looks.len() == LOOKS {
            self.looks.pop_front();
        }
        self.looks.push_back((now, worked, encoded));
        let (since, worked_then, encoded_then) = self.looks[0];
        let all = now.saturating_duration_since(since);
        let held = now.saturating_duration_since(self.changed);
        if self.looks.len() < LOOKS || held < DOWN_AFTER || all < SPAN {
            return self.steps;
        }
        let load = worked.saturating_sub(worked_then).div_duration_f64(all);
        let encoding = encoded.saturating_sub(encoded_then).div_duration_f64(all);
        if self.tried && held >= self.patience {
            (self.tried, self.patience) = (false, UP_AFTER[0]);
        }
        // What browsers are asked for is decoding too.
        let grows = if self.steps > RELIEF_RUNGS { load } else { encoding };
        if load >= FULL && self.steps < MOST_STEPS {
            if std::mem::take(&mut self.tried) {
                self.patience = (self.patience * 2).min(UP_AFTER[1]);
            }
            (self.steps, self.changed) = (self.steps + 1, now);
        } else if self.steps > 0 && held >= self.patience && load + grows * (STEP - 1.0) <= ROOM {
            (self.steps, self.changed, self.tried) = (self.steps - 1, now, true);
        }
        self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::LOOK_INTERVAL;

    /// What each step leaves, of 30 fps, of decoding and of encoding: where browsers send what they like, and where they
    /// send what they are asked for.
    const DEAF: ([f64; 7], [f64; 7]) = ([1.0; 7], [1.0, 0.667, 0.5, 0.281, 0.125, 0.125, 0.125]);
    const OBEDIENT: ([f64; 7], [f64; 7]) =
        ([1.0, 0.667, 0.5, 0.5, 0.5, 0.333, 0.25], [1.0, 0.667, 0.5, 0.281, 0.125, 0.083, 0.063]);

    /// A thread that decodes for a share of its time, and encodes for another where nothing is left out.
    fn run(
        relief: &mut Relief,
        now: &mut Instant,
        seconds: u32,
        left: ([f64; 7], [f64; 7]),
        decode: f64,
        encode: f64,
    ) -> Vec<usize> {
        let (mut worked, mut encoded) = (Duration::ZERO, Duration::ZERO);
        relief.looks.clear();
        let mut steps = vec![relief.steps];
        for _ in 0..seconds * 4 {
            *now += LOOK_INTERVAL;
            let step = steps[steps.len() - 1];
            let decoding = decode * left.0[step];
            let encoding = (encode * left.1[step]).min(1.0 - decoding);
            worked += LOOK_INTERVAL.mul_f64((decoding + encoding).min(1.0));
            encoded += LOOK_INTERVAL.mul_f64(encoding);
            let step = relief.look(*now, worked, encoded);
            if step != steps[steps.len() - 1] {
                steps.push(step);
            }
        }
        steps
    }

    #[test]
    fn it_finds_what_fits_stays_there_and_comes_back() {
        let mut now = Instant::now();
        let mut relief = Relief::new(now);
        assert_eq!(run(&mut relief, &mut now, 10, DEAF, 0.2, 0.7), [0]);
        assert_eq!(run(&mut relief, &mut now, 60, DEAF, 0.4, 1.4), [0, 1, 2, 3]);
        assert_eq!(run(&mut relief, &mut now, 60, DEAF, 0.2, 0.7), [3, 2, 1, 0]);
    }

    #[test]
    fn browsers_that_send_less_are_asked_for_as_little_as_fits() {
        let mut now = Instant::now();
        let mut relief = Relief::new(now);
        assert_eq!(run(&mut relief, &mut now, 60, OBEDIENT, 0.9, 4.0), [0, 1, 2, 3, 4, 5]);
        assert_eq!(run(&mut relief, &mut now, 60, OBEDIENT, 0.2, 0.7), [5, 4, 3, 2, 1, 0]);
        assert_eq!(run(&mut relief, &mut now, 60, DEAF, 0.9, 4.0), [0, 1, 2, 3, 4, 5, 6], "and there it ends");
    }

    #[test]
    fn what_comes_back_is_tried_ever_more_seldom() {
        let mut now = Instant::now();
        let mut relief = Relief::new(now);
        // At the third step 0.69, which looks as if the second would do; there it is all.
        let steps = run(&mut relief, &mut now, 400, DEAF, 0.3, 1.4);
        assert_eq!(steps[..4], [0, 1, 2, 3]);
        assert!(
            steps[4..].chunks(2).all(|pair| pair[0] == 2 && pair.get(1).is_none_or(|step| *step == 3)),
            "{steps:?}"
        );
        assert!((6..=30).contains(&steps.len()), "eighty without patience: {steps:?}");
    }

    #[test]
    fn looks_that_come_at_once_say_nothing() {
        let mut now = Instant::now();
        let mut relief = Relief::new(now);
        now += UP_AFTER[0];
        for look in 1..10 {
            let worked = Duration::from_micros(look);
            assert_eq!(relief.look(now + worked, worked, worked), 0);
        }
    }

    #[test]
    fn less_than_all_of_the_time_is_not_too_much() {
        let mut now = Instant::now();
        let mut relief = Relief::new(now);
        let mut worked = Duration::ZERO;
        for look in 0..400_u32 {
            now += LOOK_INTERVAL;
            // Two of each three.
            worked += if look % 3 < 2 { LOOK_INTERVAL } else { LOOK_INTERVAL / 2 };
            assert_eq!(relief.look(now, worked, worked), 0);
        }
    }
}
