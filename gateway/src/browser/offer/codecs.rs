//! Which of the offer's codecs a session speaks: pure.

use super::description::Section;
use crate::codec::{Codec, Codecs};

/// The codec of a session's video, both ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Negotiated {
    pub(crate) codec: Codec,
    /// The browser's number for it.
    pub(crate) payload_type: u8,
    /// Format parameters for the answer (`a=fmtp`).
    pub(crate) fmtp: String,
    /// H.264's packetization mode 0: no NAL unit may need more than one packet.
    pub(crate) single_nal: bool,
}

impl Codecs {
    /// The codec to use of those in a video section; `None` if both sides have none in common.
    pub(crate) fn choose(&self, section: &Section<'_>) -> Option<Negotiated> {
        let offered: Vec<Variant> =
            section.formats.iter().filter_map(|format| Variant::read(section, format)).collect();
        let first = match self {
            Self::Browsers => offered.first().map(|variant| variant.codec),
            Self::Ours(codecs) => codecs
                .iter()
                .copied()
                .find(|codec| offered.iter().any(|variant| variant.codec == *codec)),
        }?;
        // The best kind of it; the browser's order among equals.
        let best = offered
            .into_iter()
            .filter(|variant| variant.codec == first)
            .min_by_key(|variant| variant.rank)?;
        Some(Negotiated {
            codec: first,
            payload_type: best.payload_type,
            fmtp: best.fmtp,
            single_nal: best.rank.single_nal,
        })
    }
}

/// One payload type that could be spoken.
struct Variant {
    codec: Codec,
    payload_type: u8,
    fmtp: String,
    rank: Rank,
}

/// Smaller is better.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// H.264: main or high profile, in which we send baseline, which every decoder of it takes.
    beyond_baseline: bool,
    single_nal: bool,
}

impl Variant {
    fn read(section: &Section<'_>, format: &str) -> Option<Self> {
        let payload_type = format.parse().ok().filter(|number| *number < 128_u8)?;
        let name = section.of_format("rtpmap", format)?;
        let (name, clock) = name.split_once('/')?;
        let named = |codec: &&Codec| name.eq_ignore_ascii_case(codec.sdp_name());
        let codec = *Codec::AVAILABLE.iter().find(named)?;
        let fmtp = section.of_format("fmtp", format).unwrap_or_default();
        let (fmtp, rank) = match codec {
            Codec::Vp8 => (String::new(), Rank::default()),
            Codec::Vp9 if parameter(fmtp, "profile-id").is_none_or(|profile| profile == "0") => {
                ("profile-id=0".to_owned(), Rank::default())
            }
            Codec::Vp9 => return None,
            Codec::H264 => h264(fmtp)?,
        };
        (clock == "90000").then_some(Self { codec, payload_type, fmtp, rank })
    }
}

/// Parameters of H.264 for the answer: the profile must be the one that was offered, and the level
/// too unless the offer allows each side its own (RFC 6184, section 8.2.2).
fn h264(fmtp: &str) -> Option<(String, Rank)> {
    // What RFC 6184 says that nothing means.
    let profile = parameter(fmtp, "profile-level-id").unwrap_or("42000a");
    let mode = parameter(fmtp, "packetization-mode").unwrap_or("0");
    if profile.len() != 6
        || !profile.bytes().all(|digit| digit.is_ascii_hexdigit())
        || !["0", "1"].contains(&mode)
    {
        return None;
    }
    let beyond_baseline = match profile[..2].to_ascii_lowercase().as_str() {
        "42" => false,
        "4d" | "64" => true,
        _ => return None,
    };
    let own_level =
        parameter(fmtp, "level-asymmetry-allowed").is_some_and(|allowed| allowed == "1");
    let own_level = if own_level { "level-asymmetry-allowed=1;" } else { "" };
    let fmtp = format!("{own_level}packetization-mode={mode};profile-level-id={profile}");
    Some((fmtp, Rank { beyond_baseline, single_nal: mode == "0" }))
}

fn parameter<'a>(fmtp: &'a str, name: &str) -> Option<&'a str> {
    fmtp.split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

#[cfg(test)]
#[path = "codecs_tests.rs"]
mod tests;
