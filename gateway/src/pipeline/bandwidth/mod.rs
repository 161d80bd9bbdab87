//! How much video a connection carries, and what a stream makes of it.
//!
//! Pure: what estimates lives in `peer::congestion` and `peer::remb`, what obeys in `egress`. Every number is kbit/s of
//! encoded video, without the headers of RTP and below.

mod budget;
mod ladder;
pub(crate) mod loss;
mod pace;
pub(crate) mod probe;
mod throttle;

pub(crate) use ladder::asked_fps;
pub(crate) use throttle::{Due, Target, Throttle};

use std::ops::RangeInclusive;

/// What a bitrate may be, as an option and in a stream's declaration.
pub(crate) const BITRATES: RangeInclusive<u32> = reframe_proto::BITRATES_KBPS;

/// The bitrate of a stream's video, each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Until something is known of the path.
    pub(crate) start: u32,
    /// Also when the path carries less: below this a picture is none.
    pub(crate) min: u32,
    /// Also when the path carries more.
    pub(crate) max: u32,
}

/// What a stream declares of its own; `None` leaves it to the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    pub(crate) start: Option<u32>,
    pub(crate) min: Option<u32>,
    pub(crate) max: Option<u32>,
}

impl Limits {
    /// With the stream's wishes: the operator's maximum holds whatever a stream says, and start and minimum give way.
    pub(crate) fn with(self, wishes: Wishes) -> Self {
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
        let gateway = Limits { start: 1_500, min: 100, max: 2_000 };
        let with = |start, min, max| {
            let Limits { start, min, max } = gateway.with(Wishes { start, min, max });
            (start, min, max)
        };
        assert_eq!(with(None, None, None), (1_500, 100, 2_000));
        assert_eq!(with(None, None, Some(9_000)), (1_500, 100, 2_000));
        assert_eq!(with(None, None, Some(600)), (600, 100, 600));
        assert_eq!(with(Some(5_000), Some(3_000), None), (2_000, 2_000, 2_000));
        assert_eq!(with(Some(200), Some(300), Some(800)), (300, 300, 800));
    }
}
