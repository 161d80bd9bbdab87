//! Value of `--codecs`.

use super::Codec;

/// The codecs to negotiate, and which side's order counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Codecs {
    /// All codecs: the browser's first one is used.
    Browsers,
    /// Only these: our first one that the browser supports is used.
    Ours(Vec<Codec>),
}

impl Codecs {
    /// The list for error messages to the client.
    pub(crate) fn spoken(&self) -> String {
        let codecs = match self {
            Self::Browsers => &Codec::ALL[..],
            Self::Ours(codecs) => codecs,
        };
        codecs.iter().map(|codec| codec.sdp_name()).collect::<Vec<_>>().join(", ")
    }
}
