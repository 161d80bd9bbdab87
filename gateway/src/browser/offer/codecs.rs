//! Which of the offer's codecs a session speaks: pure.

use rtc::sdp::description::media::MediaDescription;

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
    /// The codec to speak of those in a video section; `None` when there is none in common.
    pub(crate) fn choose(&self, section: &MediaDescription) -> Option<Negotiated> {
        let offered: Vec<Variant> = section
            .media_name
            .formats
            .iter()
            .filter_map(|format| Variant::read(section, format))
            .collect();
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
    fn read(section: &MediaDescription, format: &str) -> Option<Self> {
        let payload_type = format.parse().ok().filter(|number| *number < 128_u8)?;
        let name = attribute(section, "rtpmap", format)?;
        let (name, clock) = name.split_once('/')?;
        let codec =
            Codec::ALL.into_iter().find(|codec| name.eq_ignore_ascii_case(codec.sdp_name()))?;
        let fmtp = attribute(section, "fmtp", format).unwrap_or_default();
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

/// What stands behind `a=KEY:FORMAT `.
fn attribute<'a>(section: &'a MediaDescription, key: &str, format: &str) -> Option<&'a str> {
    let values = section
        .attributes
        .iter()
        .filter(|attribute| attribute.key == key)
        .filter_map(|a| a.value.as_deref());
    values
        .filter_map(|value| value.split_once(' '))
        .find(|(of, _)| *of == format)
        .map(|(_, value)| value.trim())
}

fn parameter<'a>(fmtp: &'a str, name: &str) -> Option<&'a str> {
    fmtp.split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// The offer with nothing but the chosen codec in its first video section that is not refused, so
/// that the stack has nothing left to choose.
pub(crate) fn reduce(sdp: &str, chosen: u8) -> String {
    let chosen = chosen.to_string();
    let (mut video, mut done) = (false, false);
    let mut reduced = String::with_capacity(sdp.len());
    for line in sdp.lines() {
        if let Some(section) = line.strip_prefix("m=") {
            done |= video;
            video = !done && super::is_video(section);
            if video {
                // The stack's parser takes any white space for one space, also before the first
                // field.
                let kept: Vec<&str> =
                    section.split_whitespace().take(3).chain([chosen.as_str()]).collect();
                reduced.push_str("m=");
                reduced.push_str(&kept.join(" "));
                reduced.push_str("\r\n");
                continue;
            }
        }
        // Of several layers nobody would look at the others: without these lines the browser sends
        // one.
        if video && (line.starts_with("a=rid:") || line.starts_with("a=simulcast:")) {
            continue;
        }
        let format = ["a=rtpmap:", "a=fmtp:", "a=rtcp-fb:"]
            .into_iter()
            .find_map(|key| line.strip_prefix(key));
        let format = format.and_then(|rest| rest.split_whitespace().next());
        if !video || format.is_none_or(|format| format == chosen || format == "*") {
            reduced.push_str(line);
            reduced.push_str("\r\n");
        }
    }
    reduced
}

#[cfg(test)]
#[path = "codecs_tests.rs"]
mod tests;
