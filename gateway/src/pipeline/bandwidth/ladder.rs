//! Which picture a bitrate is enough for: first the frame rate gives way, then the resolution.

use std::time::Duration;

use tokio::time::Instant;

/// Bits that a pixel needs to look sharp in motion; with fewer, blocks show. libwebrtc starts
/// 720p30 at 900 kbit/s and 540p30 at 500 (its `EncoderInfo::ResolutionBitrateLimits` of VP8),
/// which is this.
const BITS_PER_PIXEL: f64 = 0.033;
/// This share of the maximum is enough for the whole picture at any size: an operator who sets 2
/// Mbit/s for 1080p60 wants that, and only congestion takes it away.
const ENOUGH: f64 = 0.9;
/// The lowest frame rate. Below it the resolution gives way.
const MIN_FPS: f64 = 15.0;
/// The lowest frame rate that browsers are asked for.
const MIN_ASKED_FPS: f64 = 5.0;
/// The shortest side of a scaled picture, in pixels.
const MIN_SIDE: u32 = 90;
/// A shorter dip changes nothing: `Budget` skips pictures meanwhile.
const DOWN_AFTER: Duration = Duration::from_millis(300);
/// How long there must be enough for a rung. It may be any rung: one after the other, the last
/// would come after a quarter of a minute.
const UP_AFTER: Duration = Duration::from_millis(1_200);
/// By this factor it must be more than enough: an estimator falls by 15 % when it has found the
/// limit, and that must not change the picture again. But the maximum is enough for everything.
const UP_MARGIN: f64 = 1.25;

/// What is left of a picture: of `of` pictures `keep` are shown, with sides `eighths` eighths long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rung {
    /// Shown, of how many.
    pub(super) keep: (u32, u32),
    /// Sides, in eighths.
    pub(super) eighths: u32,
}

/// Frame rates in the order in which they are taken, before the [`SIDES`].
const RATES: [(u32, u32); 5] = [(1, 1), (2, 3), (1, 2), (1, 3), (1, 4)];
/// In eighths: libwebrtc's 3/4, 1/2, 3/8, 1/4.
const SIDES: [u32; 4] = [6, 4, 3, 2];

/// The rungs of a stream, and where it stands.
#[derive(Debug)]
pub(super) struct Ladder {
    fps: f64,
    max_kbps: u32,
    rungs: Vec<Rung>,
    at: usize,
    /// Since when the bitrate has been too low for this rung.
    low_since: Option<Instant>,
    /// Since when it has been enough, with a margin, for each of the rungs.
    enough_since: Vec<Option<Instant>>,
    /// The last rung is lower than the path asks for.
    relieved: bool,
}

impl Rung {
    pub(super) const TOP: Self = Self { keep: (1, 1), eighths: 8 };

    /// Even sides, as codecs like them.
    pub(super) fn size(self, width: u32, height: u32) -> (u32, u32) {
        let side =
            |pixels: u32| if self.eighths == 8 { pixels } else { (pixels * self.eighths / 8) & !1 };
        (side(width), side(height))
    }

    /// The share of the pixels per second that is left.
    fn share(self) -> f64 {
        rate(1.0, self.keep) * f64::from(self.eighths * self.eighths) / 64.0
    }

    /// Between two pictures of a stream of `fps`.
    pub(super) fn interval(self, fps: f64) -> Duration {
        Duration::from_secs_f64(1.0 / rate(fps, self.keep))
    }
}

/// The frame rate that browsers are asked for, of `fps`, when our own machine wants `steps` steps
/// less. At 30 fps the first two ask for as many frames as the ladder shows. At other rates they do
/// not, because the ladder has fewer or more rungs before the size gives way.
pub(crate) fn asked_fps(fps: f64, steps: usize) -> f64 {
    rate(fps, RATES[steps.min(RATES.len() - 1)]).max(MIN_ASKED_FPS.min(fps))
}

fn rate(fps: f64, keep: (u32, u32)) -> f64 {
    fps * f64::from(keep.0) / f64::from(keep.1)
}

impl Ladder {
    /// For pictures at `fps` that get at most `max_kbps`.
    pub(super) fn new(fps: f64, max_kbps: u32) -> Self {
        let kept = RATES.into_iter().filter(|keep| *keep == (1, 1) || rate(fps, *keep) >= MIN_FPS);
        let mut rungs: Vec<Rung> = kept.map(|keep| Rung { keep, ..Rung::TOP }).collect();
        let slowest = rungs.last().map_or((1, 1), |rung| rung.keep);
        rungs.extend(SIDES.map(|eighths| Rung { keep: slowest, eighths }));
        let enough_since = vec![None; rungs.len()];
        Self { fps, max_kbps, rungs, at: 0, low_since: None, enough_since, relieved: false }
    }

    /// What to make of a picture of this size when the path carries `kbps`, and our own machine
    /// wants relief by `relief` rungs. It gets only those down to half the width and height.
    pub(super) fn step(
        &mut self,
        now: Instant,
        kbps: u32,
        relief: usize,
        (width, height): (u32, u32),
    ) -> Rung {
        let whole = (f64::from(width) * f64::from(height) * self.fps * BITS_PER_PIXEL / 1_000.0)
            .min(f64::from(self.max_kbps) * ENOUGH);
        let needed = |rung: Rung| whole * rung.share();
        let possible = |rung: &Rung| {
            let (width, height) = rung.size(width, height);
            rung.eighths == 8 || width.min(height) >= MIN_SIDE
        };
        let last = self.rungs.iter().rposition(possible).unwrap_or(0);
        // A picture of another size came, and has fewer rungs.
        self.at = self.at.min(last);

        let kbps = f64::from(kbps);
        let low = self.at < last && kbps < needed(self.rungs[self.at]);
        let max = f64::from(self.max_kbps);
        let mut up = None;
        for (at, since) in self.enough_since.iter_mut().enumerate().rev() {
            let enough = kbps >= (needed(self.rungs[at]) * UP_MARGIN).min(max);
            let lasted = lasted(since, enough, now, UP_AFTER);
            up = if lasted && at < self.at { Some(at) } else { up };
        }
        if lasted(&mut self.low_since, low, now, DOWN_AFTER) {
            let enough = self.rungs[..=last].iter().position(|rung| needed(*rung) <= kbps);
            self.at = enough.unwrap_or(last);
            self.low_since = None;
            self.enough_since.fill(None);
        } else if let Some(up) = up {
            self.at = up;
        }
        let half = self.rungs.iter().rposition(|rung| rung.eighths >= 4).unwrap_or(0);
        let at = self.at.max(relief.min(half).min(last));
        self.relieved = at > self.at;
        self.rungs[at]
    }

    /// Whether the last rung was chosen for our own machine, and not for the path.
    pub(super) fn relieved(&self) -> bool {
        self.relieved
    }
}

/// Whether `condition` has held for `long`.
fn lasted(since: &mut Option<Instant>, condition: bool, now: Instant, long: Duration) -> bool {
    if !condition {
        *since = None;
        return false;
    }
    now.saturating_duration_since(*since.get_or_insert(now)) >= long
}

#[cfg(test)]
#[path = "ladder_tests.rs"]
mod tests;
