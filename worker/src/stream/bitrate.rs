//! A typed bitrate.

use std::fmt;

/// A bitrate of encoded video, without the headers of RTP and below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bitrate(u32);

impl Bitrate {
    /// In kbit/s, 1000 bits a second.
    #[must_use]
    pub const fn from_kbps(kbps: u32) -> Self {
        Self(kbps)
    }

    /// In kbit/s.
    #[must_use]
    pub const fn kbps(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kbit/s", self.0)
    }
}
