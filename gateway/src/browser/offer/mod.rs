//! What an offer must hold before anything is built for it, and the one form in which the stack is
//! given it.

mod bounds;
mod codecs;
mod description;
mod normal;
mod one_way;
mod plan;

use rtc::ice::candidate::unmarshal_candidate;
use rtc::peer_connection::sdp::{RTCSdpType, RTCSessionDescription};
use webrtc::error::Error;

pub(crate) use self::codecs::Negotiated;
#[cfg(test)]
pub(crate) use self::description::DIRECTIONS;
use self::description::{Description, Malformed};
use self::normal::NormalOffer;
pub(crate) use self::normal::{CAPTURE_TIME, ORIENTATION, Settled, VIDEO, Video};
pub(crate) use self::plan::{NoAnswer, Plan};
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
    #[error("`sdp` is not a session description: {0}")]
    NotSdp(#[from] Malformed),
    /// Nothing to process.
    #[error("`sdp` has no video section: this stream needs one `m=video` whose port is not 0")]
    NoVideo,
    /// Video that is not encrypted.
    #[error("`m=video` in `sdp` is not for RTP over DTLS: offer `UDP/TLS/RTP/SAVPF`")]
    Protocol,
    /// Video whose RTCP would need a port of its own, which there is not; and an answer must not
    /// have what the offer has not (RFC 5761, section 5.1.1).
    #[error("`m=video` in `sdp` has no `a=rtcp-mux`: RTP and RTCP must share one port")]
    RtcpMux,
    /// The section's direction does not fit the stream's mode.
    #[error("`sdp` offers video as `{0}`: this stream needs `{1}`")]
    Direction(&'static str, &'static str),
    /// More video or audio than one stream has, where an answer must not leave out any: the kind.
    #[error("`sdp` has more than one `m={0}`: offer one track of each kind")]
    Tracks(&'static str),
    /// Nothing both sides can code; what we can.
    #[error("`sdp` has no codec in common with this server, which speaks {0}")]
    NoCodec(String),
    /// An ICE credential: an attribute, and its bound.
    #[error("`a={0}` in `sdp` is longer than {1} bytes")]
    Credential(&'static str, usize),
    /// What no connection can be made without.
    #[error(
        "`sdp` has no `a={0}`, neither in the first section of its bundle that is accepted nor above all"
    )]
    Missing(&'static str),
    /// A certificate that cannot be verified: the stack computes one hash.
    #[error("`a=fingerprint` in `sdp` must be `sha-256` and 32 bytes, as in `sha-256 1F:0A:…`")]
    Fingerprint,
    /// No role in DTLS.
    #[error("`a=setup` in `sdp` must be `actpass`, `active` or `passive`")]
    Setup,
    /// The stack refused it all the same, in its own words.
    #[error("`sdp` could not be answered: {0}")]
    Stack(String),
    /// Our answer would be no success.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
}

impl From<Error> for OfferError {
    fn from(error: Error) -> Self {
        Self::Stack(error.to_string())
    }
}

/// An offer that was read: within its bounds, and a session description. A further offer of a
/// browser whose first was answered need not be more: it may send nothing for a while, or nothing
/// more.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    sdp: String,
}

/// An offer that can be answered: with the one codec that it is answered with, in the form that the
/// stack is given.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) description: RTCSessionDescription,
    pub(crate) codec: Negotiated,
    /// How its answer is made.
    pub(crate) plan: Plan,
    /// What is settled once it is answered.
    pub(crate) settled: Settled,
    pub(crate) video: Video,
    /// Lines `a=candidate` that the stack is not given, as they are not understood.
    pub(crate) ignored_candidates: usize,
    /// See [`Parsed::origin`].
    pub(crate) origin: Option<String>,
}

impl Offer {
    pub(crate) fn sdp(&self) -> &str {
        &self.description.sdp
    }

    /// See [`ice_ufrag`].
    pub(crate) fn ufrag(&self) -> Option<&str> {
        ice_ufrag(self.sdp())
    }
}

/// Reads an offer.
///
/// # Errors
/// It is no session description, or one that is larger than any browser's.
pub(crate) fn parse(sdp: String) -> Result<Parsed, OfferError> {
    bounds::check(&sdp)?;
    check_credentials(&Description::read(&sdp)?)?;
    Ok(Parsed { sdp })
}

impl Parsed {
    /// Checks that a video section can be answered, and how. Of several it is the first that has
    /// the direction.
    ///
    /// # Errors
    /// See [`OfferError`]; the offer took nothing.
    pub(crate) fn negotiate(&self, mode: Mode, codecs: &Codecs) -> Result<Offer, OfferError> {
        let offer = Description::read(&self.sdp)?;
        // A direction more than needed does no harm, and is not taken: front-ends offer both ways
        // when they have a camera.
        let needed = match mode {
            Mode::SendReceive => "sendrecv",
            Mode::Receive => "recvonly",
            Mode::Send => "sendonly",
        };
        let mut wrong = OfferError::NoVideo;
        for (place, section) in offer.sections.iter().enumerate() {
            if !section.is_video() || !section.is_offered() {
                continue;
            }
            let direction = offer.direction(section);
            let fits = [needed, "sendrecv"].contains(&direction);
            match codecs.choose(section) {
                _ if !section.is_rtp() => wrong = wrong.or(OfferError::Protocol),
                _ if !offer.is_muxed(section) => wrong = wrong.or(OfferError::RtcpMux),
                _ if !fits => wrong = wrong.or(OfferError::Direction(direction, needed)),
                None => wrong = wrong.or(OfferError::NoCodec(codecs.spoken())),
                Some(codec) => {
                    let normal = normal::first(&offer, place, needed, &codec)?;
                    return Ok(self.offer(normal, codec));
                }
            }
        }
        Err(wrong)
    }

    /// A further offer, of a connection that has agreed on `codec` and has `settled` so much.
    ///
    /// # Errors
    /// See [`OfferError`]: nothing is left of the connection, or not enough.
    pub(crate) fn further(
        &self,
        codec: Negotiated,
        settled: &Settled,
    ) -> Result<Offer, OfferError> {
        let offer = Description::read(&self.sdp)?;
        let normal = normal::further(&offer, &codec, settled)?;
        Ok(self.offer(normal, codec))
    }

    fn offer(&self, normal: NormalOffer, codec: Negotiated) -> Offer {
        let NormalOffer { sdp, plan, settled, video, ignored_candidates } = normal;
        // Not by its constructor, which parses it: the stack does so itself, once.
        let mut description = RTCSessionDescription::default();
        description.sdp_type = RTCSdpType::Offer;
        description.sdp = sdp;
        let origin = self.origin();
        Offer { description, codec, plan, settled, video, ignored_candidates, origin }
    }

    /// Which connection of which browser an offer is of: user name, session id and address of its
    /// origin (RFC 8829, section 5.2.1: the same in every offer of one connection; only the version
    /// counts up), and the certificate's fingerprint, which a connection keeps too. Some clients'
    /// origins can be guessed; a fingerprint is only known to who has seen an offer.
    pub(crate) fn origin(&self) -> Option<String> {
        let mut lines = self.sdp.lines();
        let fingerprint = lines.find_map(|line| line.strip_prefix("a=fingerprint:"))?.trim();
        let origin = self.sdp.lines().find_map(|line| line.strip_prefix("o="))?;
        let fields: Vec<&str> = origin.split_whitespace().collect();
        let [user, session, _version, net, family, address] = fields[..] else { return None };
        Some([user, session, net, family, address, fingerprint].join(" "))
    }
}

impl OfferError {
    /// The first that was found wrong.
    fn or(self, later: Self) -> Self {
        if self == Self::NoVideo { later } else { self }
    }
}

/// Wherever in it they stand; each section may have its own.
fn check_credentials(offer: &Description<'_>) -> Result<(), OfferError> {
    for (attribute, longest) in [("ice-ufrag", MAX_UFRAG_BYTES), ("ice-pwd", MAX_PASSWORD_BYTES)] {
        let of_sections = offer.sections.iter().flat_map(|section| section.attributes(attribute));
        let mut values = offer.attributes(attribute).chain(of_sections);
        if values.any(|value| value.len() > longest) {
            return Err(OfferError::Credential(attribute, longest));
        }
    }
    Ok(())
}

/// The first user name fragment in a description: one bundle has one (RFC 9143, section 10).
pub(crate) fn ice_ufrag(sdp: &str) -> Option<&str> {
    sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:"))
}

/// The browser's ICE password, from an offer in our form. Empty if it has none.
pub(crate) fn ice_password(sdp: &str) -> &str {
    sdp.lines().find_map(|line| line.strip_prefix("a=ice-pwd:")).unwrap_or_default().trim()
}

/// Whether an offer in our form has a data channel.
pub(crate) fn has_channel(sdp: &str) -> bool {
    sdp.lines().any(|line| line.starts_with("m=application "))
}

/// Whether the browser insists on being the client of DTLS. The answer must then be passive (RFC
/// 8842, section 5.3), and the stack says active to any offer.
pub(crate) fn is_dtls_client(sdp: &str) -> bool {
    sdp.lines().any(|line| line.trim_end() == "a=setup:active")
}

/// Fields of a candidate line that must be there (RFC 8839, section 5.1); what follows comes in
/// pairs.
const CANDIDATE_FIELDS: usize = 8;

/// Longer lines are no candidates: with a host name and every extension they have about 200 bytes.
const MAX_CANDIDATE_BYTES: usize = 512;

/// Whether the stack understands a candidate line, with or without its name. Others are ignored, as
/// RFC 8839 (section 5.1) has it: the stack would refuse the offer for one.
pub(crate) fn is_candidate(line: &str) -> bool {
    let line = line.strip_prefix("candidate:").unwrap_or(line);
    let fields: Vec<&str> = line.split_whitespace().collect();
    line.len() <= MAX_CANDIDATE_BYTES
        && fields.len() >= CANDIDATE_FIELDS
        && ["udp", "tcp"].iter().any(|known| fields[2].eq_ignore_ascii_case(known))
        // A zone means nothing on another machine.
        && !fields[4].contains('%')
        && fields[6] == "typ"
        && unmarshal_candidate(line).is_ok()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
