//! A bitrate from what came and what was lost, like the loss-based controller of Google's
//! congestion control (draft-ietf-rmcat-gcc-02, section 6): for our own sender, and for telling a
//! sender that has no feedback on its packets.

/// More than this is congestion.
const HIGH_LOSS: f64 = 0.10;

use crate::media::limits::BitrateLimits;
/// Less than this counts as no loss.
const LOW_LOSS: f64 = 0.02;
/// What a report without loss adds.
const RAISE: f64 = 1.08;
/// A sender is told at most this much of what comes: one that does not use its bitrate proves
/// nothing about more.
const ABOVE_RECEIVED: f64 = 1.5;

/// The newest bitrate.
#[derive(Debug)]
pub(crate) struct LossBased {
    limits: BitrateLimits,
    kbps: f64,
    congested: bool,
}

impl LossBased {
    pub(crate) fn new(limits: BitrateLimits) -> Self {
        Self { limits, kbps: f64::from(limits.start), congested: false }
    }

    /// kbit/s.
    pub(crate) fn kbps(&self) -> f64 {
        self.kbps
    }

    /// Whether the last interval lost more than a path does by itself.
    pub(crate) fn congested(&self) -> bool {
        self.congested
    }

    /// Tries at least `kbps`: earlier loss is no longer evidence.
    pub(crate) fn raise(&mut self, kbps: f64) {
        self.kbps = self.kbps.max(kbps).min(f64::from(self.limits.max));
    }

    /// The bitrate after an interval in which `received` kbit/s came and `lost` of all packets, 0
    /// to 1, did not.
    pub(crate) fn update(&mut self, received: f64, lost: f64) -> f64 {
        self.congested = lost > HIGH_LOSS;
        if self.congested {
            self.kbps *= 1.0 - 0.5 * lost;
        } else if lost < LOW_LOSS {
            let most = (received * ABOVE_RECEIVED).max(f64::from(self.limits.start));
            self.kbps = (self.kbps * RAISE).min(most);
        }
        self.kbps = self.kbps.clamp(f64::from(self.limits.min), f64::from(self.limits.max));
        self.kbps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BitrateLimits = BitrateLimits { start: 800, min: 100, max: 2_000 };

    #[test]
    fn it_rises_to_the_maximum_holds_at_some_loss_and_falls_at_much() {
        let mut told = LossBased::new(LIMITS);
        let mut kbps = 800.0;
        for _ in 0..20 {
            kbps = told.update(kbps, 0.0);
        }
        assert_eq!(kbps, 2_000.0);
        assert_eq!(told.update(1_900.0, 0.05), 2_000.0);
        assert_eq!(told.update(1_600.0, 0.2), 1_800.0);
        for _ in 0..100 {
            kbps = told.update(100.0, 0.5);
        }
        assert_eq!(kbps, 100.0);
    }

    #[test]
    fn a_sender_that_sends_little_is_not_told_that_there_is_much() {
        let mut told = LossBased::new(LIMITS);
        let most = (0..100).map(|_| told.update(200.0, 0.0)).fold(0.0, f64::max);
        assert_eq!(most, 800.0);
    }
}
