//! How many sessions a process can serve whose calls run one at a time. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// Calls that are seen before anything is concluded from them: the first load models, compile and
/// fill caches.
const FIRST: u32 = 30;

/// The part that a call has in the mean: about a second of one session at 30 fps counts most.
const WEIGHT: f64 = 1.0 / 32.0;

/// With `skip_frames`, a new picture at least this often is what a session needs to look live.
const SKIPPING_INTERVAL: Duration = Duration::from_millis(100);

/// How long is looked at for the warning, and how long it stays away after one.
const WINDOW: Duration = Duration::from_secs(10);
/// See [`WINDOW`].
const QUIET: Duration = Duration::from_secs(300);

/// What one process's calls take and wait for.
#[derive(Debug)]
pub(super) struct Load {
    /// The most time that a session may be given between two of its frames.
    interval: Duration,
    seen: u32,
    /// The mean of a call, in seconds.
    mean: f64,
    window: Option<Window>,
    warned: Option<Instant>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    waited: Duration,
    worked: Duration,
}

impl Load {
    /// For a stream of `fps` frames a second, of which the handler may skip some.
    pub(super) fn new(fps: f64, skips: bool) -> Self {
        let every = Duration::from_secs_f64(1.0 / fps);
        let interval = if skips { every.max(SKIPPING_INTERVAL) } else { every };
        Self { interval, seen: 0, mean: 0.0, window: None, warned: None }
    }

    /// A call waited for its turn, and then ran. Returns both sums when sessions wait longer than
    /// they work and nobody was told for a while.
    pub(super) fn observe(
        &mut self,
        now: Instant,
        waited: Duration,
        worked: Duration,
    ) -> Option<(Duration, Duration)> {
        self.seen = self.seen.saturating_add(1);
        // The first of all loads and compiles.
        if self.seen > 1 {
            let weight = WEIGHT.max(1.0 / f64::from(self.seen - 1));
            self.mean += weight * (worked.as_secs_f64() - self.mean);
        }

        let window = self.window.get_or_insert(Window {
            began: now,
            waited: Duration::ZERO,
            worked: Duration::ZERO,
        });
        window.waited += waited;
        window.worked += worked;
        if now.saturating_duration_since(window.began) < WINDOW {
            return None;
        }
        let Window { waited, worked, .. } = self.window.take()?;
        let is_quiet = self.warned.is_some_and(|at| now.saturating_duration_since(at) < QUIET);
        if waited <= worked || is_quiet {
            return None;
        }
        self.warned = Some(now);
        Some((waited, worked))
    }

    /// Sessions that each get a call in every interval, one at least; `None` before it is known.
    pub(super) fn sessions(&self) -> Option<u32> {
        if self.seen < FIRST {
            return None;
        }
        let sessions = self.interval.as_secs_f64() / self.mean.max(1e-6);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bounded, and rounded down on purpose"
        )]
        Some(sessions.clamp(1.0, 1e6) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn after(calls: u32, worked: Duration, fps: f64, skips: bool) -> Load {
        let mut load = Load::new(fps, skips);
        let now = Instant::now();
        for _ in 0..calls {
            load.observe(now, Duration::ZERO, worked);
        }
        load
    }

    #[test]
    fn the_time_of_a_call_says_how_many_sessions_there_is_room_for() {
        for (worked, fps, skips, expected) in [
            (MS(1), 30.0, false, Some(33)),
            (MS(10), 30.0, false, Some(3)),
            (MS(20), 30.0, true, Some(5)),
            (MS(500), 30.0, true, Some(1)),
            // Fewer frames than ten a second were asked for.
            (MS(20), 1.0, true, Some(50)),
            (Duration::ZERO, 30.0, false, Some(33_333)),
        ] {
            assert_eq!(after(100, worked, fps, skips).sessions(), expected, "{worked:?} {fps}");
        }
        assert_eq!(after(FIRST - 1, MS(10), 30.0, false).sessions(), None);
    }

    #[test]
    fn it_follows_what_calls_take_now() {
        let mut load = after(100, MS(10), 30.0, false);
        let now = Instant::now();
        for _ in 0..300 {
            load.observe(now, Duration::ZERO, MS(3));
        }
        assert_eq!(load.sessions(), Some(11));
    }

    #[test]
    fn a_warning_comes_where_sessions_wait_longer_than_they_work_and_not_again_and_again() {
        let (mut load, start) = (Load::new(30.0, true), Instant::now());
        let mut warned = Vec::new();
        // Ten calls a second, each of 100 ms, which waited twice as long.
        for tenth in 0..4_000_u32 {
            let now = start + MS(100) * tenth;
            if let Some((waited, worked)) = load.observe(now, MS(200), MS(100)) {
                assert!(waited == worked * 2 && worked >= MS(9_000), "{waited:?} {worked:?}");
                warned.push(tenth);
            }
        }
        assert_eq!(warned.len(), 2, "{warned:?}");
        let mut load = Load::new(30.0, true);
        for tenth in 0..1_000_u32 {
            assert_eq!(load.observe(start + MS(100) * tenth, MS(50), MS(50)), None);
        }
    }
}
