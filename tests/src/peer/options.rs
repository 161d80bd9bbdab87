//! What a peer offers, sends and looks at.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use reframe_gateway::codec::Codec;
use serde_json::Value;
use str0m::media::Direction;
use str0m::rtp::VideoOrientation;

use crate::netem::Network;
use crate::source::Video;

/// The sections of an offer. There is always a data channel named `text`.
#[derive(Clone, Copy, Debug)]
pub struct Media {
    /// The direction of the video section, if there is one.
    pub video: Option<Direction>,
    /// The one codec that the video section offers.
    pub codec: Codec,
    /// Of H.264 nothing but this packetization mode (1 is true) and `profile-level-id`; `None`: all
    /// that browsers offer.
    pub h264: Option<(bool, u32)>,
    /// An Opus section, sent and received; nothing is ever put into it.
    pub audio: bool,
}

impl Media {
    /// One video section of this direction, as the browser sees it.
    #[must_use]
    pub const fn video(direction: Direction) -> Self {
        Self { video: Some(direction), codec: Codec::Vp8, h264: None, audio: false }
    }
}

impl Default for Media {
    /// What the page offers to a stream that sends and receives.
    fn default() -> Self {
        Self::video(Direction::SendRecv)
    }
}

/// How our address reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Candidates {
    /// In the offer.
    InOffer,
    /// Posted before the offer is: the server has never heard of the session.
    TrickledBefore,
    /// Posted after the answer has come.
    TrickledAfter,
    /// Not at all, as a browser's that hides it behind a name of its local network: its checks
    /// tell.
    Hidden,
}

/// Where a peer is.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The address of its socket.
    pub local: IpAddr,
    /// What it takes for the server, instead of the addresses in the answer.
    pub through: Option<SocketAddr>,
}

impl Default for Place {
    /// On the loopback interface, beside the server.
    fn default() -> Self {
        Self { local: Ipv4Addr::LOCALHOST.into(), through: None }
    }
}

/// What a peer is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Chosen by the client in this protocol; must be unique.
    pub webrtc_id: String,
    /// Where to offer by WHIP or WHEP, as `/whep/VIEW` below the page's address; `None`: as the
    /// page does.
    pub endpoint: Option<String>,
    /// The sections of the offer.
    pub media: Media,
    /// What to send, if the offer lets us.
    pub video: Option<Video>,
    /// The offer's `inputs`, well formed or not; `Null` leaves them out.
    pub inputs: Value,
    /// How our address reaches the server.
    pub candidates: Candidates,
    /// Hide the server's candidates from our ICE agent, so that only the server, with the candidate
    /// that we signalled, can make the first step: proves that it was used.
    pub wait_for_server: bool,
    /// Where it is.
    pub place: Place,
    /// Decode what returns and read its number. Without it frames are only counted, which costs
    /// next to nothing. There is nothing between: a VP8 picture needs all before it. To sample, let
    /// one peer of many decode.
    pub decode: bool,
    /// How our camera is held: the other side is told to turn its pictures by so much.
    pub orientation: Option<VideoOrientation>,
    /// Leave `transport-cc` out of the offer, so that REMB is the best that both speak.
    pub remb_only: bool,
    /// Leave `nack pli` out of the offer, so that keyframes can be asked for by FIR only.
    pub fir_only: bool,
    /// The access token, sent as `Authorization: Bearer`.
    pub token: Option<String>,
    /// The token of the session whose place this one takes.
    pub session_token: Option<String>,
    /// The declaration that the client was made for.
    pub declaration: Option<String>,
    /// The address that a proxy, which we are then, says its client has.
    pub forwarded_for: Option<IpAddr>,
    /// What lies between us and the server; may be changed by [`super::Peer::set_network`].
    pub network: Network,
}

impl Options {
    /// A camera and its processed picture, as the page asks for it.
    #[must_use]
    pub fn camera(webrtc_id: impl Into<String>, video: Video) -> Self {
        Self {
            webrtc_id: webrtc_id.into(),
            endpoint: None,
            media: Media { codec: video.format().codec, ..Media::default() },
            video: Some(video),
            inputs: Value::Null,
            candidates: Candidates::InOffer,
            wait_for_server: false,
            place: Place::default(),
            decode: true,
            orientation: None,
            remb_only: false,
            fir_only: false,
            token: None,
            session_token: None,
            declaration: None,
            forwarded_for: None,
            network: Network::default(),
        }
    }

    /// A camera of which no picture comes back: mode `send`.
    #[must_use]
    pub fn sender(webrtc_id: impl Into<String>, video: Video) -> Self {
        Self {
            media: Media { codec: video.format().codec, ..Media::video(Direction::SendOnly) },
            ..Self::camera(webrtc_id, video)
        }
    }

    /// No camera, only pictures that come: mode `receive`.
    #[must_use]
    pub fn viewer(webrtc_id: impl Into<String>) -> Self {
        Self {
            webrtc_id: webrtc_id.into(),
            endpoint: None,
            media: Media::video(Direction::RecvOnly),
            video: None,
            inputs: Value::Null,
            candidates: Candidates::InOffer,
            wait_for_server: false,
            place: Place::default(),
            decode: true,
            orientation: None,
            remb_only: false,
            fir_only: false,
            token: None,
            session_token: None,
            declaration: None,
            forwarded_for: None,
            network: Network::default(),
        }
    }

    /// Watches a session: the link's path below the page's address.
    #[must_use]
    pub fn watcher(name: impl Into<String>, endpoint: impl Into<String>) -> Self {
        Self { endpoint: Some(endpoint.into()), ..Self::viewer(name) }
    }

    /// The same behind this network.
    #[must_use]
    pub fn with_network(self, network: Network) -> Self {
        Self { network, ..self }
    }

    /// The same with `inputs` in the offer.
    #[must_use]
    pub fn with_inputs(self, inputs: Value) -> Self {
        Self { inputs, ..self }
    }
}
