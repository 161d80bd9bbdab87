//! Which stream is offered when, which are decoded, and which part of the run is measured.

use std::time::Duration;

/// Between the last offer and the first second that is measured: connecting takes some of it, and
/// the bitrate finds its place in the rest.
pub(crate) const WARM_UP: Duration = Duration::from_secs(2);

/// One run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) streams: u32,
    /// All of them are offered within this, evenly.
    pub(crate) ramp: Duration,
    /// How long is measured.
    pub(crate) duration: Duration,
    /// How many of them are decoded.
    pub(crate) sample: u32,
}

impl Plan {
    /// When the stream of this index is offered, from the start.
    pub(crate) fn offer_at(&self, index: u32) -> Duration {
        self.ramp * index / self.streams
    }

    /// Whether the stream of this index is decoded: exactly as many as wanted, spread over the
    /// ramp.
    pub(crate) fn decodes(&self, index: u32) -> bool {
        u64::from(index) * u64::from(self.sample) % u64::from(self.streams) < u64::from(self.sample)
    }

    /// When measuring begins, from the start.
    pub(crate) fn measured_from(&self) -> Duration {
        self.ramp + WARM_UP
    }

    /// When the run ends, from the start.
    pub(crate) fn end(&self) -> Duration {
        self.measured_from() + self.duration
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(streams: u32, sample: u32) -> Plan {
        Plan { streams, ramp: Duration::from_secs(8), duration: Duration::from_secs(20), sample }
    }

    #[test]
    fn offers_are_spread_over_the_ramp() {
        let plan = plan(4, 1);
        assert_eq!([0, 1, 2, 3].map(|n| plan.offer_at(n).as_secs()), [0, 2, 4, 6]);
        assert_eq!((plan.measured_from().as_secs(), plan.end().as_secs()), (10, 30));
    }

    #[test]
    fn as_many_are_decoded_as_wanted() {
        for streams in 1..40 {
            for sample in 0..=streams {
                let plan = plan(streams, sample);
                let decoded = (0..streams).filter(|n| plan.decodes(*n)).count();
                assert_eq!(decoded, sample as usize, "{sample} of {streams}");
            }
        }
        let of_eight: Vec<_> = (0..8).filter(|n| plan(8, 2).decodes(*n)).collect();
        assert_eq!(of_eight, [0, 4]);
    }
}
