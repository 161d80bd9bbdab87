//! Limits of a stream's video: pixels and frames from the browser, and bits each way.

use std::ops::RangeInclusive;

/// Limits of the video from a browser.
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
    /// A size within the limits, of the same aspect ratio and with even sides; unchanged if it is
    /// within already.
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

/// The range of a bitrate, in the options and in a stream's declaration.
pub(crate) const BITRATES: RangeInclusive<u32> = reframe_proto::BITRATES_KBPS;

/// The bitrate of a stream's video in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BitrateLimits {
    /// Used until the path has been estimated.
    pub(crate) start: u32,
    /// The floor, even when the path carries less: below it the picture is unusable.
    pub(crate) min: u32,
    /// The ceiling, even when the path carries more.
    pub(crate) max: u32,
}

/// A stream's own bitrates; `None` leaves the gateway's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BitrateOverrides {
    pub(crate) start: Option<u32>,
    pub(crate) min: Option<u32>,
    pub(crate) max: Option<u32>,
}

impl BitrateLimits {
    /// With the stream's overrides: the operator's maximum always applies, and start and minimum
    /// are reduced to it.
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
