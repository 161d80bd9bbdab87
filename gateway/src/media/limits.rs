//! How much video a stream has: of a browser's, pixels and frames; each way, bits.

use std::ops::RangeInclusive;

/// What a stream takes of a browser's video.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct VideoLimits {
    /// Pixels of the longer side.
    pub(crate) long: u32,
    /// Pixels of the shorter side.
    pub(crate) short: u32,
    /// Frames a second.
    pub(crate) fps: f64,
}

impl VideoLimits {
    /// A size within, of the same shape and with even sides; the same when it is within already.
    pub(crate) fn fit(self, width: u32, height: u32) -> (u32, u32) {
        let (long, short) = (width.max(height), width.min(height));
        let factor =
            (f64::from(self.long) / f64::from(long)).min(f64::from(self.short) / f64::from(short));
        if factor >= 1.0 {
            return (width, height);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "smaller than a u32"
        )]
        let side = |side: u32| (((f64::from(side) * factor) as u32) & !1).max(2);
        (side(width), side(height))
    }
}

/// What a bitrate may be, as an option and in a stream's declaration.
pub(crate) const BITRATES: RangeInclusive<u32> = reframe_proto::BITRATES_KBPS;

/// The bitrate of a stream's video, each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BitrateLimits {
    /// Until something is known of the path.
    pub(crate) start: u32,
    /// The floor, also when the path carries less: below it a picture is unusable.
    pub(crate) min: u32,
    /// Also when the path carries more.
    pub(crate) max: u32,
}

/// What a stream declares of its own; `None` leaves it to the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BitrateOverrides {
    pub(crate) start: Option<u32>,
    pub(crate) min: Option<u32>,
    pub(crate) max: Option<u32>,
}

impl BitrateLimits {
    /// With the stream's wishes: the operator's maximum holds whatever a stream says, and start and
    /// minimum give way.
    pub(crate) fn with(self, wishes: BitrateOverrides) -> Self {
        let max = wishes.max.unwrap_or(self.max).min(self.max);
        let min = wishes.min.unwrap_or(self.min).min(max);
        Self { start: wishes.start.unwrap_or(self.start).clamp(min, max), min, max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateways_maximum_holds_and_the_rest_gives_way() {
        let gateway = BitrateLimits { start: 1_500, min: 100, max: 2_000 };
        let with = |start, min, max| {
            let BitrateLimits { start, min, max } =
                gateway.with(BitrateOverrides { start, min, max });
            (start, min, max)
        };
        assert_eq!(with(None, None, None), (1_500, 100, 2_000));
        assert_eq!(with(None, None, Some(9_000)), (1_500, 100, 2_000));
        assert_eq!(with(None, None, Some(600)), (600, 100, 600));
        assert_eq!(with(Some(5_000), Some(3_000), None), (2_000, 2_000, 2_000));
        assert_eq!(with(Some(200), Some(300), Some(800)), (300, 300, 800));
    }
}
