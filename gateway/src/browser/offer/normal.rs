//! Every offer in one form, whatever its client wrote: the stack is given two sections at most, the
//! video and the data channel, on one transport, with everything said that may be left out. Pure.
//!
//! The rules, a row each: `docs/decisions/0025-offers.md`.
//!
//! The answer goes the other way: [`Plan`] has a line for each section of the offer, in its order.

use super::codecs::Negotiated;
use super::description::{DIRECTIONS, Description, Section, receives, sends};
use super::plan::{Plan, Planned};
use super::{OfferError, is_candidate};

/// The names that the stack knows the sections by. Whatever the client's are, a section that takes
/// another's place is the same to the stack.
pub(crate) const VIDEO: &str = "video";
const DATA: &str = "data";

const SHA_256_BYTES: usize = 32;

/// The header extensions that are spoken here. The stack is told of no other: a malformed one would
/// make it refuse the offer.
const EXTENSIONS: [&str; 7] = [
    ORIENTATION,
    CAPTURE_TIME,
    "urn:ietf:params:rtp-hdrext:sdes:mid",
    "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
    "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
];

/// How a phone was held (3GPP TS 26.114, section 7.4.5).
pub(crate) const ORIENTATION: &str = "urn:3gpp:video-orientation";
/// When a frame was captured, by the clock of who captured it
/// (<https://webrtc.googlesource.com/src/+/main/docs/native-code/rtp-hdrext/abs-capture-time>).
pub(crate) const CAPTURE_TIME: &str =
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";

/// An offer in that form, and how its answer is made.
#[derive(Debug)]
pub(super) struct NormalOffer {
    pub(super) sdp: String,
    pub(super) plan: Plan,
    pub(super) settled: Settled,
    pub(super) video: Video,
    pub(super) ignored_candidates: usize,
}

/// What the browser wants of the session's video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Video {
    pub(crate) sends: bool,
    pub(crate) receives: bool,
}

/// What the offers of a connection have settled so far. Sections are known by their places, which
/// they keep (RFC 8829, section 5.2.2).
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    /// The session's video: what we send is there, and what we receive, unless it is in another.
    own: usize,
    /// Videos of the first offer that were not taken.
    left_out: Vec<usize>,
    /// The stack has been given another video.
    others: bool,
}

/// Puts a session's first offer into that form: its video is the section at `video`, of which the
/// stack is given the direction that is `needed`.
///
/// # Errors
/// Something is missing without which there is no connection.
pub(super) fn first(
    offer: &Description<'_>,
    video: usize,
    needed: &'static str,
    codec: &Negotiated,
) -> Result<NormalOffer, OfferError> {
    let other = |(place, section): (usize, &Section<'_>)| {
        (section.is_video() && place != video).then_some(place)
    };
    let left_out = offer.sections.iter().enumerate().filter_map(other).collect();
    let settled = Settled { own: video, left_out, others: false };
    let source = known_by_payload_type(VIDEO);
    let videos = [Given { place: video, direction: needed, source }];
    let mut normal = normal(offer, &offer.bundle(video), &videos, codec, settled, Some(video))?;
    // A direction more than needed is not taken.
    normal.video.sends &= sends(needed);
    normal.video.receives &= receives(needed);
    Ok(normal)
}

/// Puts a further offer into that form. The session's video is in the same section as before or,
/// where that has been stopped, in another. Beside it the stack is given what may send in its
/// stead: a camera may be in a section of its own, and what we send in the first.
///
/// # Errors
/// As above; or nothing is offered any more.
pub(super) fn further(
    offer: &Description<'_>,
    codec: &Negotiated,
    settled: &Settled,
) -> Result<NormalOffer, OfferError> {
    let speaks = |place: usize| {
        let section = &offer.sections[place];
        section.is_video() && section.is_offered() && section.speaks(codec)
    };
    let all = 0..offer.sections.len();
    let own = Some(settled.own).filter(|own| *own < offer.sections.len() && speaks(*own));
    let own = own.or_else(|| {
        let mut videos = all.clone().filter(|place| speaks(*place));
        let sends = |place: &usize| sends(offer.direction(&offer.sections[*place]));
        videos.clone().find(sends).or_else(|| videos.next())
    });
    let is_muxed = |place: usize| offer.is_muxed(&offer.sections[place]);
    if own.is_some_and(|own| !is_muxed(own)) {
        return Err(OfferError::RtcpMux);
    }
    let any = || all.clone().find(|place| offer.sections[*place].is_offered());
    let shared = offer.bundle(own.or_else(any).ok_or(OfferError::NoVideo)?);
    let is_off = own.is_none_or(|own| !sends(offer.direction(&offer.sections[own])));
    let source = |place: usize, mid: &str, alone: bool| {
        let ssrc = offer.sections[place].attributes("ssrc").find_map(ssrc);
        match ssrc {
            Some(ssrc) => format!("{}\r\na=ssrc:{ssrc} cname:-", known_by_payload_type(mid)),
            None if alone => known_by_payload_type(mid),
            // What the stack has found out of it stays.
            None => String::new(),
        }
    };
    let others: Vec<usize> = shared
        .iter()
        .copied()
        .filter(|place| speaks(*place) && is_muxed(*place) && Some(*place) != own)
        .filter(|place| is_off || !settled.left_out.contains(place))
        .collect();
    let alone = others.is_empty() && !settled.others;
    let given = |place: usize, source| Given {
        place,
        direction: offer.direction(&offer.sections[place]),
        source,
    };
    let mut videos: Vec<Given> =
        own.iter().map(|own| given(*own, source(*own, VIDEO, alone))).collect();
    let others = others.into_iter();
    videos.extend(others.map(|place| given(place, source(place, &other(place), false))));
    let settled = Settled {
        own: own.unwrap_or(settled.own),
        left_out: settled.left_out.clone(),
        others: !alone,
    };
    normal(offer, &shared, &videos, codec, settled, None)
}

/// A video section that the stack is given.
struct Given {
    place: usize,
    direction: &'static str,
    /// Lines that say what is sent in it.
    source: String,
}

/// The name of a video beside the session's.
fn other(place: usize) -> String {
    format!("{VIDEO}-{place}")
}

/// What is sent in the section `mid`, from any source. The name differs from those of our tracks:
/// the stack tells feedback apart by it.
fn known_by_payload_type(mid: &str) -> String {
    format!("a=msid:- theirs-{mid}")
}

fn ssrc(value: &str) -> Option<u32> {
    value.split_whitespace().next()?.parse().ok()
}

/// `shared`: the sections on one transport, in the bundle's order. `videos`: those of them that
/// the stack is given, the session's own first.
fn normal(
    offer: &Description<'_>,
    shared: &[usize],
    videos: &[Given],
    codec: &Negotiated,
    settled: Settled,
    required: Option<usize>,
) -> Result<NormalOffer, OfferError> {
    let mid = |place: usize| if place == settled.own { VIDEO.to_owned() } else { other(place) };
    let data = shared.iter().copied().find(|place| offer.sections[*place].is_data());
    let planned = offer.sections.iter().enumerate().map(|(place, section)| {
        if videos.iter().any(|video| video.place == place) {
            Planned::video(section, mid(place), offer.direction(section))
        } else if Some(place) == data {
            Planned::data(section)
        } else if shared.contains(&place) && section.is_rtp() && offer.is_muxed(section) {
            Planned::inactive(section)
        } else {
            Planned::refused(section)
        }
    });
    let sections: Vec<Planned> = planned.collect();
    // The transport is that of the first section of the bundle which is accepted (RFC 9143, section
    // 7.3.1).
    let first = shared.iter().copied().find(|place| !sections[*place].is_refused());
    let first = first.unwrap_or(shared[0]);
    let tagged = &offer.sections[first];
    let mut transport = Transport::of(offer, tagged)?;
    let is_legacy = |place: usize| offer.sections[place].legacy_sctp_port().is_some();
    if data.is_some_and(is_legacy) && transport.setup == "actpass" {
        // Such clients (aiortc before 1.14) begin SCTP and do not answer one that is begun by us,
        // as the client of DTLS does: so that is what they are.
        transport.setup = "active";
    }
    let payload_type = codec.payload_type.to_string();

    let mut lines: Vec<String> =
        ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0"].map(str::to_owned).into();
    let mut bundled: Vec<String> = videos.iter().map(|video| mid(video.place)).collect();
    if videos.is_empty() {
        bundled.push(VIDEO.to_owned());
    }
    bundled.extend(data.map(|_| DATA.to_owned()));
    lines.push(format!("a=group:BUNDLE {}", bundled.join(" ")));
    let flags = ["extmap-allow-mixed", "ice-lite"];
    let flags = flags.into_iter().filter(|flag| offer.of(tagged, flag).is_some());
    lines.extend(flags.map(|flag| format!("a={flag}")));
    lines.push(format!("a=fingerprint:sha-256 {}", transport.fingerprint));
    for Given { place, direction, source } in videos {
        let section = &offer.sections[*place];
        lines.push(format!("m=video 9 UDP/TLS/RTP/SAVPF {payload_type}"));
        lines.extend(transport.lines(&mid(*place)));
        lines.extend(["a=rtcp-mux".to_owned(), format!("a={direction}")]);
        if sends(direction) && !source.is_empty() {
            lines.push(source.clone());
        }
        lines.extend(codec_lines(section, &payload_type));
        let extensions = offer.attributes("extmap").chain(section.attributes("extmap"));
        let extensions = extensions.filter(|extension| is_extension(extension));
        lines.extend(extensions.map(|extension| format!("a=extmap:{extension}")));
    }
    if videos.is_empty() {
        // The client has taken its video away. The connection goes on, for it may come back.
        lines.push(format!("m=video 9 UDP/TLS/RTP/SAVPF {payload_type}"));
        lines.extend(transport.lines(VIDEO));
        let name = codec.codec.sdp_name();
        let said = [
            "a=rtcp-mux".to_owned(),
            "a=inactive".to_owned(),
            format!("a=rtpmap:{payload_type} {name}/90000"),
        ];
        lines.extend(said);
        if !codec.fmtp.is_empty() {
            lines.push(format!("a=fmtp:{payload_type} {}", codec.fmtp));
        }
    }
    if let Some(place) = data {
        let section = &offer.sections[place];
        lines.push("m=application 9 UDP/DTLS/SCTP webrtc-datachannel".to_owned());
        lines.extend(transport.lines(DATA));
        lines.extend(section.sctp_port().map(|port| format!("a=sctp-port:{port}")));
        let size = section.attribute("max-message-size").filter(|size| size.parse::<u32>().is_ok());
        lines.extend(size.map(|size| format!("a=max-message-size:{size}")));
    }
    // Of the last section, like those that are trickled: there is one transport.
    let (candidates, ignored): (Vec<&str>, Vec<&str>) =
        tagged.attributes("candidate").partition(|line| is_candidate(line));
    lines.extend(candidates.into_iter().map(|candidate| format!("a=candidate:{candidate}")));
    lines.push(String::new());

    let bundle = if offer.is_bundled(first) { Some(shared.to_vec()) } else { None };
    let plan = Plan { sections, bundle, tagged: first, required };
    // Taken away, it is named all the same, and wants neither.
    let own = videos.iter().find(|video| video.place == settled.own);
    let own = own.map_or("inactive", |own| offer.direction(&offer.sections[own.place]));
    let video = Video { sends: sends(own), receives: receives(own) };
    let sdp = lines.join("\r\n");
    Ok(NormalOffer { sdp, plan, settled, video, ignored_candidates: ignored.len() })
}

/// What browser and gateway make their connection with.
struct Transport<'a> {
    ufrag: &'a str,
    password: &'a str,
    /// Of SHA-256.
    fingerprint: &'a str,
    setup: &'a str,
}

impl<'a> Transport<'a> {
    fn of(offer: &Description<'a>, section: &Section<'a>) -> Result<Self, OfferError> {
        let required = |name| {
            let value = offer.of(section, name).filter(|value| !value.is_empty());
            value.ok_or(OfferError::Missing(name))
        };
        let setup = offer.of(section, "setup").unwrap_or("actpass");
        if !["actpass", "active", "passive"].contains(&setup) {
            return Err(OfferError::Setup);
        }
        Ok(Self {
            ufrag: required("ice-ufrag")?,
            password: required("ice-pwd")?,
            fingerprint: fingerprint(offer, section)?,
            setup,
        })
    }

    /// In each section, as the stack reads it in each.
    fn lines(&self, mid: &str) -> [String; 6] {
        [
            "c=IN IP4 0.0.0.0".to_owned(),
            format!("a=mid:{mid}"),
            format!("a=setup:{}", self.setup),
            format!("a=ice-ufrag:{}", self.ufrag),
            format!("a=ice-pwd:{}", self.password),
            "a=ice-options:trickle".to_owned(),
        ]
    }
}

/// What the connection is encrypted for: the section's, or else what stands above all. Of several
/// (RFC 8122, section 5), that of the one hash which the stack computes; it knows its name in small
/// letters alone.
fn fingerprint<'a>(offer: &Description<'a>, section: &Section<'a>) -> Result<&'a str, OfferError> {
    let mut all: Vec<&str> = section.attributes("fingerprint").collect();
    if all.is_empty() {
        all = offer.attributes("fingerprint").collect();
    }
    if all.is_empty() {
        return Err(OfferError::Missing("fingerprint"));
    }
    let sha_256 = |fingerprint: &'a str| {
        let (hash, value) = fingerprint.split_once(char::is_whitespace)?;
        hash.eq_ignore_ascii_case("sha-256").then(|| value.trim())
    };
    let is_byte = |hex: &str| hex.len() == 2 && hex.bytes().all(|digit| digit.is_ascii_hexdigit());
    let is_whole =
        |value: &&str| value.split(':').count() == SHA_256_BYTES && value.split(':').all(is_byte);
    let mut known = all.into_iter().filter_map(sha_256);
    known.find(is_whole).ok_or(OfferError::Fingerprint)
}

/// What is said of the payload type, and of all.
fn codec_lines(section: &Section<'_>, payload_type: &str) -> Vec<String> {
    let said = ["rtpmap", "fmtp", "rtcp-fb"].into_iter().flat_map(|name| {
        section.attributes(name).filter_map(move |value| {
            let (of, said) = value.split_once(char::is_whitespace)?;
            (of == payload_type || of == "*").then(|| format!("a={name}:{of} {}", said.trim()))
        })
    });
    said.collect()
}

/// A number, perhaps a direction, and the name of an extension that is spoken here (RFC 8285,
/// section 8).
fn is_extension(extension: &str) -> bool {
    let mut fields = extension.split_whitespace();
    let (Some(number), Some(uri)) = (fields.next(), fields.next()) else { return false };
    let (number, direction) = number.split_once('/').unwrap_or((number, "sendrecv"));
    number.parse().is_ok_and(|number: u8| (1..=246).contains(&number))
        && DIRECTIONS.contains(&direction)
        && EXTENSIONS.contains(&uri)
}

#[cfg(test)]
#[path = "normal_tests.rs"]
mod tests;
