//! What an offer must hold before anything is built for it.

mod bounds;
mod codecs;

use std::io::Cursor;

use rtc::peer_connection::sdp::{RTCSdpType, RTCSessionDescription};
use rtc::sdp::SessionDescription;

pub(crate) use self::codecs::{Negotiated, reduce};
use crate::codec::Codecs;
use crate::stream::spec::Mode;

/// The most that a browser's ICE credentials may have: RFC 8839, section 5.4, allows 256 each,
/// which every check of ours would carry. Browsers have 4 to 16 and 22 to 32. A shorter password
/// than that section wants harms nobody but its owner.
const MAX_UFRAG_BYTES: usize = 32;
const MAX_PASSWORD_BYTES: usize = 64;

/// Why an offer cannot be answered. The text is for whoever wrote the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OfferError {
    /// More than is looked at.
    #[error(transparent)]
    TooMuch(#[from] bounds::TooMuch),
    /// Not SDP at all.
    #[error("`sdp` is not a session description")]
    NotSdp,
    /// Nothing to process.
    #[error("`sdp` has no video section: this stream needs one `m=video`")]
    NoVideo,
    /// The section is there, but not both ways.
    #[error("`sdp` offers video as `{0}`: this stream needs `{1}`")]
    Direction(&'static str, &'static str),
    /// Nothing both sides can code; what we can.
    #[error("`sdp` has no codec in common with this server, which speaks {0}")]
    NoCodec(String),
    /// An ICE credential: an attribute, and its bound.
    #[error("`a={0}` in `sdp` is longer than {1} bytes")]
    Credential(&'static str, usize),
}

/// An offer that was read, once: within its bounds, and a session description. A further offer of a
/// browser whose first was answered need not be more: it may send nothing for a while, or nothing
/// more.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// As it came, for the stack.
    pub(crate) description: RTCSessionDescription,
    sections: SessionDescription,
}

/// An offer that can be answered: with the one codec that it is answered with.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) description: RTCSessionDescription,
    pub(crate) codec: Negotiated,
}

impl Offer {
    /// See [`origin`].
    pub(crate) fn origin(&self) -> Option<String> {
        origin(&self.description.sdp)
    }

    /// See [`ice_ufrag`].
    pub(crate) fn ufrag(&self) -> Option<&str> {
        ice_ufrag(&self.description.sdp)
    }
}

/// Reads an offer.
///
/// # Errors
/// It is no session description, or one that is larger than any browser's.
pub(crate) fn parse(sdp: String) -> Result<Parsed, OfferError> {
    bounds::check(&sdp)?;
    check_credentials(&sdp)?;
    let sections =
        SessionDescription::unmarshal(&mut Cursor::new(&sdp)).map_err(|_| OfferError::NotSdp)?;
    Ok(Parsed { description: description(sdp), sections })
}

/// For the stack, which parses it itself; its own constructor would once more.
fn description(sdp: String) -> RTCSessionDescription {
    let mut description = RTCSessionDescription::default();
    description.sdp_type = RTCSdpType::Offer;
    description.sdp = sdp;
    description
}

impl Parsed {
    /// Checks that the first video section can be answered; returns the offer with the one codec
    /// that is.
    ///
    /// # Errors
    /// See [`OfferError`]; the offer took nothing.
    pub(crate) fn negotiate(&self, mode: Mode, codecs: &Codecs) -> Result<Offer, OfferError> {
        let sections = &self.sections.media_descriptions;
        let video = sections.iter().find(|media| is_video(&media.media_name.to_string()));
        let video = video.ok_or(OfferError::NoVideo)?;
        // A direction more than needed does no harm: front-ends offer both ways when they have a
        // camera.
        let needed = match mode {
            Mode::SendReceive => "sendrecv",
            Mode::Receive => "recvonly",
            Mode::Send => "sendonly",
        };
        for direction in ["sendonly", "recvonly", "inactive"] {
            if direction != needed && video.has_attribute(direction) {
                return Err(OfferError::Direction(direction, needed));
            }
        }
        let codec = codecs.choose(video).ok_or_else(|| OfferError::NoCodec(codecs.spoken()))?;
        let description = description(reduce(&self.description.sdp, codec.payload_type));
        Ok(Offer { description, codec })
    }
}

/// Wherever in it they stand; each section may have its own.
fn check_credentials(sdp: &str) -> Result<(), OfferError> {
    for (attribute, longest) in [("ice-ufrag", MAX_UFRAG_BYTES), ("ice-pwd", MAX_PASSWORD_BYTES)] {
        let values = sdp
            .lines()
            .filter_map(|line| line.strip_prefix("a=")?.strip_prefix(attribute)?.strip_prefix(':'));
        if values.map(str::len).any(|length| length > longest) {
            return Err(OfferError::Credential(attribute, longest));
        }
    }
    Ok(())
}

/// Which connection of which browser an offer is of: user name, session id and address of its
/// origin (RFC 8829, section 5.2.1: the same in every offer of one connection; only the version
/// counts up), and the certificate's fingerprint, which a connection keeps too. Some clients'
/// origins can be guessed; a fingerprint is only known to who has seen an offer.
pub(crate) fn origin(sdp: &str) -> Option<String> {
    let fingerprint = sdp.lines().find_map(|line| line.strip_prefix("a=fingerprint:"))?.trim();
    let origin = sdp.lines().find_map(|line| line.strip_prefix("o="))?;
    let fields: Vec<&str> = origin.split_whitespace().collect();
    let [user, session, _version, net, family, address] = fields[..] else { return None };
    Some([user, session, net, family, address, fingerprint].join(" "))
}

/// Whether a section's first line, without `m=`, is of video that is not refused (port 0). The
/// first such section is the one that a session is about.
fn is_video(section: &str) -> bool {
    let mut fields = section.split_whitespace();
    let (kind, port) = (fields.next(), fields.next().and_then(|port| port.split('/').next()));
    kind == Some("video") && port.is_some_and(|port| port.parse() != Ok(0_u16))
}

/// The video section of an offer that counts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FirstVideo<'a> {
    pub(crate) mid: &'a str,
    /// The browser wants to send.
    pub(crate) sends: bool,
    /// The browser wants to receive.
    pub(crate) receives: bool,
}

/// `None` where there is none with a name.
pub(crate) fn first_video(sdp: &str) -> Option<FirstVideo<'_>> {
    let section = || {
        let lines =
            sdp.lines().skip_while(|line| !line.strip_prefix("m=").is_some_and(is_video)).skip(1);
        lines.take_while(|line| !line.starts_with("m="))
    };
    let mid = section().find_map(|line| line.strip_prefix("a=mid:"))?;
    let has = |direction: &str| section().any(|line| line.strip_prefix("a=") == Some(direction));
    let off = has("inactive");
    Some(FirstVideo { mid, sends: !off && !has("recvonly"), receives: !off && !has("sendonly") })
}

/// The first user name fragment in a description: one bundle has one (RFC 8843, section 10.1).
pub(crate) fn ice_ufrag(sdp: &str) -> Option<&str> {
    sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:"))
}

/// The browser's ICE password in a description of its: the session's or, as the stack reads it,
/// that of the first section which is in use. Empty where there is none.
pub(crate) fn ice_password(sdp: &str) -> &str {
    fn of(part: &str) -> Option<&str> {
        part.lines().find_map(|line| line.strip_prefix("a=ice-pwd:"))
    }
    let in_use = |part: &&str| part.lines().all(|line| line.trim_end() != "a=inactive");
    let mut sections = sdp.split("\nm=");
    let session = sections.next().and_then(of);
    let password = session
        .or_else(|| sections.clone().filter(in_use).find_map(of))
        .or_else(|| sections.find_map(of));
    password.unwrap_or_default().trim()
}

/// Whether the browser insists on being the client of DTLS. The answer must then be passive (RFC
/// 8842, section 5.3), and the stack says active to any offer.
pub(crate) fn is_dtls_client(sdp: &str) -> bool {
    sdp.lines().any(|line| line.trim_end() == "a=setup:active")
}

/// Puts `candidates`, lines, in place of the answer's own, which are of addresses that nobody can
/// reach, and into the first section that was accepted.
///
/// The stack writes them into the very first one, also when that is a refused `m=audio` (port 0),
/// where no browser looks (RFC 8843, section 7.3.1: candidates go with the section that the bundle
/// is tagged by).
pub(crate) fn place_candidates(answer: &str, candidates: &str) -> String {
    let is_candidate =
        |line: &&str| line.starts_with("a=candidate:") || line.starts_with("a=end-of-candidates");
    let mut placed = false;
    let mut moved = String::with_capacity(answer.len());
    for line in answer.split_inclusive("\r\n").filter(|line| !is_candidate(line)) {
        // The candidates go where the section ends: before the next one, or at the very end.
        if line.starts_with("m=") && !placed && moved.rsplit("\r\nm=").next().is_some_and(accepted)
        {
            moved.push_str(candidates);
            placed = true;
        }
        moved.push_str(line);
    }
    if !placed {
        moved.push_str(candidates);
    }
    moved
}

/// Whether a section's first line, without `m=`, has a port; false for what comes before the first
/// section.
fn accepted(section: &str) -> bool {
    let mut fields = section.split_whitespace();
    matches!((fields.next(), fields.next()), (Some("audio" | "video" | "application"), Some(port)) if port != "0")
}

/// The bare form of a candidate line has eight fields (RFC 8839, section 5.1); what follows is
/// optional.
const CANDIDATE_FIELDS: usize = 8;

/// Longer lines are no candidates: with a host name and every extension they have about 200 bytes.
const MAX_CANDIDATE_BYTES: usize = 512;

/// Checks a trickled candidate line as far as it can be told without the connection.
pub(crate) fn is_candidate(line: &str) -> bool {
    let line = line.strip_prefix("candidate:").unwrap_or(line);
    let fields: Vec<&str> = line.split_whitespace().collect();
    line.len() <= MAX_CANDIDATE_BYTES
        && fields.len() >= CANDIDATE_FIELDS
        && fields[1].parse::<u16>().is_ok()
        && fields[3].parse::<u32>().is_ok()
        && fields[5].parse::<u16>().is_ok()
        && fields[6] == "typ"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sdp(media: &str) -> String {
        format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n{media}")
    }

    fn checked(sdp: &str, mode: Mode) -> Result<(), OfferError> {
        parse(sdp.to_owned())?.negotiate(mode, &Codecs::Browsers).map(drop)
    }

    fn verdict(media: &str) -> Result<(), OfferError> {
        checked(&sdp(media), Mode::SendReceive)
    }

    #[test]
    fn tells_what_is_missing() {
        let video =
            "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=rtpmap:96 VP8/90000\r\n";
        assert_eq!(verdict(video), Ok(()));
        assert_eq!(
            verdict("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n"),
            Err(OfferError::NoVideo)
        );
        assert_eq!(verdict(""), Err(OfferError::NoVideo));
        assert_eq!(
            verdict(&video.replace("VP8", "AV1")),
            Err(OfferError::NoCodec("VP8, VP9, H264".into()))
        );
        assert_eq!(
            verdict(&format!("{video}a=recvonly\r\n")),
            Err(OfferError::Direction("recvonly", "sendrecv"))
        );
        assert_eq!(checked("hello", Mode::Send), Err(OfferError::NotSdp));
        assert_eq!(checked("", Mode::Receive), Err(OfferError::NotSdp));
    }

    #[test]
    fn an_offer_of_another_certificate_is_another_connections() {
        let offer = |version: u32, fingerprint: &str| {
            format!(
                "v=0\r\no=- 7 {version} IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=fingerprint:sha-256 \
                 {fingerprint}\r\n"
            )
        };
        let first = origin(&offer(1, "AB:CD"));
        assert!(first.is_some() && first == origin(&offer(2, "AB:CD")));
        assert_ne!(first, origin(&offer(2, "AB:CE")));
        assert_eq!(origin(&sdp("")), None, "it has no fingerprint");
    }

    #[test]
    fn ice_credentials_have_a_length() {
        let offer = |ufrag: usize, password: usize| {
            let credentials = format!(
                "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n",
                "u".repeat(ufrag),
                "p".repeat(password)
            );
            let video =
                "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\na=ice-ufrag:abcd\r\n";
            // Wherever they stand.
            [format!("{credentials}{video}"), format!("{video}{credentials}")]
                .map(|media| verdict(&media))
        };
        assert_eq!(offer(MAX_UFRAG_BYTES, MAX_PASSWORD_BYTES), [Ok(()), Ok(())]);
        for (ufrag, password, attribute) in
            [(33, 64, "ice-ufrag"), (256, 256, "ice-ufrag"), (32, 65, "ice-pwd")]
        {
            for verdict in offer(ufrag, password) {
                let text = verdict.unwrap_err().to_string();
                assert!(
                    text.starts_with(&format!("`a={attribute}` in `sdp` is longer than ")),
                    "{text}"
                );
            }
        }
        assert!(
            parse(sdp(&format!("a=ice-pwd:{}\r\n", "p".repeat(65)))).is_err(),
            "of further offers too"
        );
    }

    #[test]
    fn the_password_is_that_of_the_session_or_of_a_section_in_use() {
        let section = |password: &str, more: &str| {
            format!("m=video 9 X 96\r\na=ice-pwd:{password}\r\n{more}")
        };
        let (off, on) = (section("off", "a=inactive\r\n"), section("on", "a=sendrecv\r\n"));
        assert_eq!(ice_password(&sdp(&format!("a=ice-pwd:session\r\n{off}{on}"))), "session");
        assert_eq!(ice_password(&sdp(&format!("{off}{on}"))), "on");
        assert_eq!(ice_password(&sdp(&format!("{on}{off}"))), "on");
        assert_eq!(ice_password(&sdp(&off)), "off");
        assert_eq!(ice_password(&sdp("")), "");
    }

    #[test]
    fn each_mode_needs_its_direction_and_takes_both_ways() {
        let video = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\n";
        for (mode, needed, other) in
            [(Mode::Receive, "recvonly", "sendonly"), (Mode::Send, "sendonly", "recvonly")]
        {
            let verdict =
                |direction: &str| checked(&sdp(&format!("{video}a={direction}\r\n")), mode);
            assert_eq!((verdict(needed), verdict("sendrecv")), (Ok(()), Ok(())));
            assert!(matches!(verdict(other), Err(OfferError::Direction(..))));
            assert_eq!(verdict("inactive"), Err(OfferError::Direction("inactive", needed)));
        }
    }

    #[test]
    fn candidates_stand_in_the_first_accepted_section() {
        let answer = sdp("m=audio 0 X 0\r\na=candidate:9\r\na=inactive\r\nm=video 9 X \
             96\r\na=mid:1\r\nm=application 9 X Y\r\n");
        let placed = place_candidates(&answer, "a=candidate:1\r\n");
        assert!(placed.contains(
            "m=audio 0 X 0\r\na=inactive\r\nm=video 9 X \
                           96\r\na=mid:1\r\na=candidate:1\r\nm=application"
        ));
        let usual = sdp("m=video 9 X 96\r\na=mid:0\r\na=candidate:1\r\n");
        assert_eq!(place_candidates(&usual, "a=candidate:1\r\n"), usual);
    }

    #[test]
    fn the_first_video_section_is_read() {
        let read = |media: &str| {
            let sdp = sdp(media);
            first_video(&sdp).map(|video| (video.mid.to_owned(), video.sends, video.receives))
        };
        let video = |direction: &str| {
            read(&format!(
                "m=audio 9 X 0\r\na=mid:0\r\nm=video 0 X 96\r\na=mid:refused\r\n\
                 m=video 9 X 96\r\na=mid:v\r\n{direction}m=video 9 X 9\r\na=inactive\r\n"
            ))
        };
        for (direction, sends, receives) in [
            ("", true, true),
            ("a=sendrecv\r\n", true, true),
            ("a=recvonly\r\n", false, true),
            ("a=sendonly\r\n", true, false),
            ("a=inactive\r\n", false, false),
        ] {
            assert_eq!(video(direction), Some(("v".to_owned(), sends, receives)), "{direction}");
        }
        assert_eq!(read("m=audio 9 X 0\r\na=mid:0\r\n"), None);
    }

    #[test]
    fn takes_candidates_with_and_without_the_trailing_fields() {
        assert!(is_candidate(
            "candidate:1 1 udp 2122260223 192.0.2.1 50000 typ host generation 0 ufrag abcd"
        ));
        assert!(is_candidate("candidate:1 1 udp 2122260223 a-name.local 50000 typ host"));
        for bad in [
            "",
            "candidate:",
            "candidate:1 1 udp x 192.0.2.1 50000 typ host",
            "candidate:1 1 udp 1 h 70000 typ host",
        ] {
            assert!(!is_candidate(bad), "{bad}");
        }
    }
}
