//! Signalling: an offer out, an answer in, candidates as the peer was told to send them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use reframe_gateway::codec::Codec;
use serde_json::json;
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::channel::ChannelId;
use str0m::crypto::from_feature_flags;
use str0m::media::{Direction, MediaKind, Mid};
use str0m::rtp::Extension;
use str0m::{Candidate, Rtc, RtcConfig};
use tokio::time::Instant;

use super::{Candidates, Media, Options};
use crate::http::{Reply, post, post_sdp, post_with};

/// How long a frame may wait for lost packets, its own and those before it: str0m asks five times
/// for one, each 33 ms, and the worst path in the tests takes 100 ms there and back. Then a
/// keyframe is asked for.
const PATIENCE: Duration = Duration::from_millis(300);

/// Frames that may wait so long: more than come at any rate tested.
const HELD_FRAMES: usize = 60;

/// An offer nobody will answer, for what a server makes of it.
///
/// # Panics
/// Never, as long as the loopback interface has a free port.
#[must_use]
pub fn offer_sdp(media: Media) -> String {
    Offer::make(media, true, Ipv4Addr::LOCALHOST.into()).sdp
}

/// Why there is no session.
#[derive(Debug)]
pub enum Refusal {
    /// The server's reply, which is not an answer.
    Reply(Reply),
    /// Nobody replied.
    Unreachable(ureq::Error),
    /// An answer that is not acceptable SDP.
    Answer(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply(reply) => match reply.json()["meta"]["error"].as_str() {
                Some(code) => f.write_str(code),
                None => write!(f, "HTTP status {}", reply.status),
            },
            Self::Unreachable(error) => write!(f, "unreachable: {error}"),
            Self::Answer(error) => write!(f, "bad answer: {error}"),
        }
    }
}

/// An offer that has not been sent yet.
pub(super) struct Offer {
    rtc: Rtc,
    socket: UdpSocket,
    sdp: String,
    pending: SdpPendingOffer,
    video: Option<Mid>,
    channel: ChannelId,
    candidate: Candidate,
}

/// An answered offer, ready to run.
pub(super) struct Session {
    pub(super) rtc: Rtc,
    pub(super) socket: UdpSocket,
    pub(super) video: Option<Mid>,
    pub(super) channel: ChannelId,
    /// The addresses in the answer.
    pub(super) server: Vec<SocketAddr>,
    /// The session's token in the answer.
    pub(super) token: Option<String>,
    /// The view of the session in the answer.
    pub(super) view: Option<String>,
    /// The path of the resource that WHIP or WHEP has made.
    pub(super) resource: Option<String>,
}

impl Offer {
    pub(super) fn make(media: Media, with_candidate: bool, local: IpAddr) -> Self {
        let socket = UdpSocket::bind((local, 0)).expect("a free port on the loopback interface");
        let address = socket.local_addr().expect("a bound socket has an address");
        let candidate = Candidate::host(address, "udp").expect("a host candidate");
        let mut config = RtcConfig::new()
            .set_crypto_provider(Arc::new(from_feature_flags()))
            .clear_codecs()
            .enable_vp8(media.codec == Codec::Vp8)
            .enable_vp9(media.codec == Codec::Vp9)
            .enable_h264(media.codec == Codec::H264 && media.h264.is_none())
            .enable_opus(media.audio, false)
            // Ours to choose; the standard ones, video orientation among them, end below it.
            .set_extension(14, Extension::AbsoluteCaptureTime)
            // To see the server's NACKs.
            .enable_raw_packets(true)
            .set_reordering_timeout_video(Some(PATIENCE))
            .set_reordering_size_video(HELD_FRAMES);
        if let Some((fragments, profile_level_id)) = media.h264 {
            config.codec_config().add_h264(108.into(), None, fragments, profile_level_id);
        }
        let mut rtc = config.build(Instant::now().into_std());
        if with_candidate {
            rtc.add_local_candidate(candidate.clone());
        }
        let mut changes = rtc.sdp_api();
        let mut add = |kind, direction| changes.add_media(kind, direction, None, None, None);
        if media.audio {
            add(MediaKind::Audio, Direction::SendRecv);
        }
        let video = media.video.map(|direction| add(MediaKind::Video, direction));
        let channel = changes.add_channel("text".to_owned());
        let (offer, pending) = changes.apply().expect("a new channel is a change");
        Self { rtc, socket, sdp: offer.to_sdp_string(), pending, video, channel, candidate }
    }

    /// A second handle on the socket, which lives as long as either.
    pub(super) fn socket(&self) -> UdpSocket {
        self.socket.try_clone().expect("a socket can be shared")
    }

    /// Posts the offer, and the candidate where `options` say so, and applies the answer.
    pub(super) fn exchange(mut self, page: &str, options: &Options) -> Result<Session, Refusal> {
        let url = format!("{page}/webrtc/offer");
        let id = &options.webrtc_id;
        if options.candidates == Candidates::TrickledBefore {
            // Kept for the offer; but as long as that has not come, the server may say that it
            // knows no such id.
            let reply = post_candidate(&url, id, None, &self.candidate, &self.sdp);
            let accepted = reply.json()["status"] == "success"
                || reply.json()["meta"]["error"] == "unknown_connection";
            assert!(reply.status == 200 && accepted, "{reply:?}");
        }
        let hidden = |line: &&str| {
            let packets = line.contains("transport-cc") || line.contains("transport-wide-cc");
            options.remb_only && packets || options.fir_only && line.ends_with(" nack pli\r\n")
        };
        let sdp: String = self.sdp.split_inclusive('\n').filter(|line| !hidden(line)).collect();
        let mut body = json!({ "sdp": sdp, "type": "offer", "webrtc_id": id });
        if !options.inputs.is_null() {
            body["inputs"] = options.inputs.clone();
        }
        if let Some(declaration) = &options.declaration {
            body["declaration"] = declaration.as_str().into();
        }
        if let Some(token) = &options.session_token {
            body["session_token"] = token.as_str().into();
        }
        let bearer = options.token.as_ref().map(|token| format!("Bearer {token}"));
        let forwarded_for = options.forwarded_for.map(|address| address.to_string());
        let headers = [
            bearer.as_deref().map(|bearer| ("authorization", bearer)),
            forwarded_for.as_deref().map(|address| ("x-forwarded-for", address)),
        ];
        let headers: Vec<_> = headers.into_iter().flatten().collect();
        let reply = match &options.endpoint {
            Some(endpoint) => post_sdp(&format!("{page}{endpoint}"), &headers, &sdp),
            None => post_with(&url, &headers, body.to_string()),
        };
        let reply = reply.map_err(Refusal::Unreachable)?;
        let answer = reply.json();
        let sdp = match &options.endpoint {
            Some(_) => Some(reply.body.as_str()).filter(|_| reply.status == 201),
            None => {
                answer["sdp"].as_str().filter(|_| reply.status == 200 && answer["type"] == "answer")
            }
        };
        let Some(sdp) = sdp else { return Err(Refusal::Reply(reply)) };
        let resource = reply.header("location").map(str::to_owned);
        let view = answer["view"].as_str().map(str::to_owned);
        let token = answer["session_token"].as_str().map(str::to_owned);
        let (sections, server) =
            as_a_browser_reads(sdp, !options.wait_for_server, options.place.through);
        let answer = SdpAnswer::from_sdp_string(&sections)
            .map_err(|error| Refusal::Answer(error.to_string()))?;
        let accepted = self.rtc.sdp_api().accept_answer(self.pending, answer);
        accepted.map_err(|error| Refusal::Answer(error.to_string()))?;
        if options.candidates != Candidates::InOffer {
            self.rtc.add_local_candidate(self.candidate.clone());
        }
        if options.candidates == Candidates::TrickledAfter {
            let reply = post_candidate(&url, id, token.as_deref(), &self.candidate, &self.sdp);
            assert_eq!(
                (reply.status, reply.json()),
                (200, json!({ "status": "success" })),
                "candidate refused"
            );
        }
        Ok(Session {
            rtc: self.rtc,
            socket: self.socket,
            video: self.video,
            channel: self.channel,
            server,
            token,
            view,
            resource,
        })
    }
}

/// As browsers write it: with the trailing fields that FastRTC insists on.
fn post_candidate(
    url: &str,
    id: &str,
    token: Option<&str>,
    candidate: &Candidate,
    offer: &str,
) -> Reply {
    let ufrag = offer
        .lines()
        .find_map(|line| line.strip_prefix("a=ice-ufrag:"))
        .expect("an offer has an ufrag");
    let mid =
        offer.lines().find_map(|line| line.strip_prefix("a=mid:")).expect("an offer has a section");
    let text = format!("{} generation 0 ufrag {ufrag} network-cost 999", candidate.to_sdp_string());
    let candidate =
        json!({ "candidate": text, "sdpMid": mid, "sdpMLineIndex": 0, "usernameFragment": ufrag });
    let body = json!({
        "type": "ice-candidate", "candidate": candidate, "webrtc_id": id, "session_token": token,
    });
    post(url, body.to_string()).expect("the gateway answers a candidate")
}

/// The answer for str0m, and the addresses in it; with `through` only that one.
///
/// A section that was refused (port 0) needs no attributes, but str0m insists on a direction; and
/// browsers ignore candidates in such a section, which str0m does not.
fn as_a_browser_reads(
    sdp: &str,
    with_candidates: bool,
    through: Option<SocketAddr>,
) -> (String, Vec<SocketAddr>) {
    let (mut text, mut server, mut refused) = (String::new(), Vec::new(), false);
    for line in sdp.lines() {
        if line.starts_with("m=") {
            refused = line.split_whitespace().nth(1) == Some("0");
        }
        if line.starts_with("a=candidate:") {
            // Each section of the bundle has them.
            let address = address(line).filter(|address| !refused && !server.contains(address));
            if let (Some(_), Some(through), true) = (address, through, server.is_empty()) {
                server.push(through);
                let (ip, port) = (through.ip(), through.port());
                text.push_str(&format!("a=candidate:1 1 udp 2130706431 {ip} {port} typ host\r\n"));
            }
            if through.is_none() {
                server.extend(address);
            }
            if refused || !with_candidates || through.is_some() {
                continue;
            }
        }
        text.extend([line, "\r\n"]);
        if refused && line.starts_with("a=mid:") {
            text.push_str("a=inactive\r\n");
        }
    }
    (text, server)
}

/// The address in `a=candidate:FOUNDATION COMPONENT PROTOCOL PRIORITY ADDRESS PORT …` (RFC 8839),
/// RTP component, UDP.
fn address(line: &str) -> Option<SocketAddr> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let ["1", protocol, _, ip, port] = fields.get(1..6)? else { return None };
    let address = SocketAddr::new(ip.parse().ok()?, port.parse().ok()?);
    protocol.eq_ignore_ascii_case("udp").then_some(address)
}
