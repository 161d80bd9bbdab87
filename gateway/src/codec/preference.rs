//! Value of `--codecs`.

use super::Codec;

/// What is spoken, and whose order counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Codecs {
    /// All of them: the first of the browser's is taken.
    Browsers,
    /// Only these: the first of ours that the browser has is taken.
    Ours(Vec<Codec>),
}

impl Codecs {
    /// What an error tells the client.
    pub(crate) fn spoken(&self) -> String {
        let codecs = match self {
            Self::Browsers => &Codec::ALL[..],
            Self::Ours(codecs) => codecs,
        };
        codecs.iter().map(|codec| codec.sdp_name()).collect::<Vec<_>>().join(", ")
    }
}
