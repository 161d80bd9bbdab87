//! How far a picture is from upright.

/// How far a picture is from upright: the clockwise turn that makes it upright (3GPP TS 26.114,
/// section 7.4.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rotation {
    /// It is upright.
    #[default]
    Upright,
    /// A quarter turn.
    Clockwise90,
    /// Half a turn.
    Clockwise180,
    /// Three quarters of a turn.
    Clockwise270,
}

impl Rotation {
    /// In degrees: 0, 90, 180 or 270.
    #[must_use]
    pub const fn degrees(self) -> u32 {
        match self {
            Self::Upright => 0,
            Self::Clockwise90 => 90,
            Self::Clockwise180 => 180,
            Self::Clockwise270 => 270,
        }
    }

    /// `None` for any other number of degrees than 0, 90, 180 and 270.
    #[must_use]
    pub const fn from_degrees(degrees: u32) -> Option<Self> {
        Some(match degrees {
            0 => Self::Upright,
            90 => Self::Clockwise90,
            180 => Self::Clockwise180,
            270 => Self::Clockwise270,
            _ => return None,
        })
    }
}
