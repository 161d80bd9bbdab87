//! How soon a session calls again after an answer: its think time, as closed queueing models say.

use std::iter;
use std::time::Duration;

/// The resolution of the distribution.
pub(super) const STEP: Duration = Duration::from_micros(250);

/// Its range is 32 ms: who usually stays away for longer is not worth a wait.
pub(super) const STEPS: usize = 128;

/// The memory, in returns: less than a second at the rate of a camera.
const MEMORY: u8 = 24;

/// A session that has stayed away for longer than it does all but this share of the time is not
/// expected any more: its camera stands, its handler hangs, or it has left.
const LOST: f32 = 0.02;

/// The distribution of one session's think time, as a histogram in which old returns fade.
///
/// A mean would not do, because the time has two regimes. A session that falls behind its camera
/// finds the next frame waiting, and is back after the time of transport; one that keeps up waits
/// for its camera, for any time up to a frame's interval. Waiting for the first pays and for the
/// second rarely does, and a distribution tells them apart.
#[derive(Debug)]
pub(super) struct ThinkTime {
    /// Up to [`MEMORY`].
    returns: u8,
    /// The share of the returns in each step. With `later` they sum up to 1 after the first return.
    shares: [f32; STEPS],
    later: f32,
}

impl Default for ThinkTime {
    fn default() -> Self {
        Self { returns: 0, shares: [0.0; STEPS], later: 0.0 }
    }
}

impl ThinkTime {
    pub(super) fn learn(&mut self, away: Duration) {
        self.returns = MEMORY.min(self.returns + 1);
        let weight = f32::from(self.returns).recip();
        self.shares.iter_mut().chain([&mut self.later]).for_each(|share| *share *= 1.0 - weight);
        *self.shares.get_mut(steps(away)).unwrap_or(&mut self.later) += weight;
    }

    /// Adds to each element of `expected` the chance that the session, which has been away for
    /// `away`, is back within one step, two, and so on. It is none for a session of which no return
    /// is known.
    pub(super) fn expect(&self, away: Duration, expected: &mut [f64]) {
        let shares = self.shares.get(steps(away)..).unwrap_or_default();
        let Some((current, coming)) = shares.split_first() else { return };
        let current = current * (1.0 - away.div_duration_f32(STEP).fract());
        let left = current + coming.iter().sum::<f32>() + self.later;
        if left < LOST {
            return;
        }
        let shares = iter::once(&current).chain(coming).chain(iter::repeat(&0.0));
        let mut back = 0.0;
        for (expected, share) in expected.iter_mut().zip(shares) {
            back += share / left;
            *expected += f64::from(back);
        }
    }
}

/// The whole steps in `time`.
pub(super) fn steps(time: Duration) -> usize {
    usize::try_from(time.as_nanos() / STEP.as_nanos()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn learnt(returns: impl IntoIterator<Item = Duration>) -> ThinkTime {
        let mut think = ThinkTime::default();
        returns.into_iter().for_each(|away| think.learn(away));
        think
    }

    /// The chance, in percent, that it is back within `within` when it has been away for `away`.
    fn chance(think: &ThinkTime, away: Duration, within: Duration) -> f64 {
        let mut expected = vec![0.0; steps(within)];
        think.expect(away, &mut expected);
        assert!(expected.is_sorted() && expected.iter().all(|chance| *chance < 1.0 + 1e-3));
        (expected[steps(within) - 1] * 100.0).round()
    }

    #[test]
    fn a_session_that_never_returned_is_not_expected() {
        assert_eq!(chance(&learnt([]), Duration::ZERO, MILLISECOND * 32), 0.0);
    }

    #[test]
    fn a_regular_session_is_expected_on_time_and_no_longer() {
        let think = learnt([MILLISECOND * 7 / 2; 9]);
        assert_eq!(chance(&think, Duration::ZERO, MILLISECOND * 3), 0.0);
        assert_eq!(chance(&think, Duration::ZERO, MILLISECOND * 4), 100.0);
        assert_eq!(chance(&think, MILLISECOND * 2, MILLISECOND * 2), 100.0);
        assert_eq!(chance(&think, MILLISECOND * 4, MILLISECOND * 28), 0.0, "it is late");
    }

    #[test]
    fn who_stayed_away_so_far_is_the_likelier_to_come() {
        let think = learnt((0..20).map(|n| MILLISECOND * n));
        let chances = [0, 10, 18].map(|away| chance(&think, MILLISECOND * away, MILLISECOND * 2));
        assert_eq!(chances, [10.0, 20.0, 100.0]);
    }

    #[test]
    fn habits_change() {
        let mut think = learnt([MILLISECOND * 20; 50]);
        for _ in 0..60 {
            think.learn(MILLISECOND * 4);
        }
        assert!(chance(&think, Duration::ZERO, MILLISECOND * 5) > 90.0);
        assert_eq!(chance(&think, MILLISECOND * 5, MILLISECOND * 20), 100.0, "as it did before");
        for _ in 0..60 {
            think.learn(MILLISECOND * 4);
        }
        assert_eq!(chance(&think, MILLISECOND * 5, MILLISECOND * 20), 0.0, "long ago");
        for _ in 0..200 {
            think.learn(MILLISECOND * 900);
        }
        assert_eq!(chance(&think, Duration::ZERO, MILLISECOND * 32), 0.0);
        assert_eq!(chance(&think, Duration::MAX, MILLISECOND * 32), 0.0);
    }
}
