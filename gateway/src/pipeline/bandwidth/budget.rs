//! What was sent against what the path carries: an encoder keeps its bitrate over a second, a path
//! at every moment.

use tokio::time::Instant;

/// How much more than the path carries may be under way: this long at the present rate. A keyframe
/// of 300 % of a frame's share takes a third of it; nobody notices the delay while it is queued on
/// the path.
const MAX_DEBT_SECONDS: f64 = 0.3;

/// Debt beyond this long at the present rate is forgiven: it was made at a higher rate, and without
/// pictures nothing can be learned about the path.
const FORGIVEN_SECONDS: f64 = 1.0;

/// Times the rate, what may pass in the long run: encoders go some 15 % over their rate, and make
/// up for a picture that was left out in the next one. Held to the rate itself they would never be
/// out of debt; lowering the rate is for the estimator.
const SLACK: f64 = 1.2;

/// Above this debt, in seconds of the rate, the encoder is told this share of the rate. Otherwise
/// an encoder that goes over its rate for long would never be out of debt, and some of its pictures
/// would always be left out: after a standstill VP8 of 720p stayed at 18 of 30.
const LESS: [(f64, f64); 2] = [(0.2, 0.7), (0.1, 0.85)];

/// A leaky bucket that pictures are charged to after they were encoded, when their size is known.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    debt_bits: f64,
    drained: Option<Instant>,
}

impl Budget {
    /// Whether another picture may be encoded.
    pub(crate) fn allows(&mut self, now: Instant, kbps: u32) -> bool {
        let rate = f64::from(kbps) * 1_000.0;
        let passed = self.drained.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        self.drained = Some(now);
        self.debt_bits =
            (self.debt_bits.min(FORGIVEN_SECONDS * rate) - passed * rate * SLACK).max(0.0);
        self.debt_bits <= MAX_DEBT_SECONDS * rate
    }

    /// Whether more is under way than an encoder that keeps the rate ever has: pictures that
    /// nothing refers to are better left out.
    pub(crate) fn is_strained(&self, kbps: u32) -> bool {
        self.debt_bits > LESS[1].0 * f64::from(kbps) * 1_000.0
    }

    /// What to tell the encoder while the path carries `kbps`.
    pub(super) fn target(&self, kbps: u32) -> u32 {
        let seconds = self.debt_bits / (f64::from(kbps) * 1_000.0);
        let less = LESS.into_iter().find(|(debt, _)| seconds > *debt);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "less than u32"
        )]
        less.map_or(kbps, |(_, part)| (f64::from(kbps) * part) as u32)
    }

    pub(crate) fn charge(&mut self, bytes: usize) {
        self.debt_bits += bytes as f64 * 8.0;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_keeps_the_rate_is_never_stopped_and_who_does_not_is_held_to_it() {
        // (kbit/s the encoder makes, pictures of 300 that may be encoded at 600 kbit/s and 30 fps)
        for (made, expected) in [
            (600, 300..=300),
            (300, 300..=300),
            (700, 300..=300),
            (1_200, 180..=187),
            (2_400, 90..=95),
        ] {
            let (mut budget, start) = (Budget::default(), Instant::now());
            let mut encoded = 0;
            for frame in 0..300 {
                if budget.allows(start + Duration::from_micros(frame * 33_333), 600) {
                    encoded += 1;
                    budget.charge(made * 1_000 / 8 / 30);
                }
            }
            assert!(expected.contains(&encoded), "{made}: {encoded}");
        }
    }
}
