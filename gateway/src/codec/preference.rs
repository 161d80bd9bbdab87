//! Value of `--codecs`.

use super::Codec;

/// The codecs to negotiate, and which side's order counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Codecs {
    /// All that this build has: the browser's first one is used.
    Browsers,
    /// Only these: our first one that the browser supports is used.
    Ours(Vec<Codec>),
}

impl Codecs {
    /// What the option takes, for the message that refuses another value.
    pub(crate) const CHOICES: &str = if Codec::AVAILABLE.len() == Codec::ALL.len() {
        "one of vp8, vp9 and h264"
    } else {
        "one of vp8 and vp9 (this program is built without h264)"
    };

    /// The list for error messages to the client.
    pub(crate) fn spoken(&self) -> String {
        let codecs = match self {
            Self::Browsers => Codec::AVAILABLE,
            Self::Ours(codecs) => codecs,
        };
        codecs.iter().map(|codec| codec.sdp_name()).collect::<Vec<_>>().join(", ")
    }
}
