//! What the stack is told of the codec that was negotiated.

use rtc::peer_connection::configuration::media_engine::{
    MIME_TYPE_H264, MIME_TYPE_VP8, MIME_TYPE_VP9,
};
use rtc::rtp_transceiver::rtp_sender::{RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters};

use crate::browser::offer::Negotiated;
use crate::codec::Codec;

/// Without RTX: this stack's NACK generator never learns that a packet came by RTX and asks for it
/// again every 100 ms for ever (measured: half of all packets sent at 5 % loss).
pub(super) fn parameters(negotiated: &Negotiated) -> RTCRtpCodecParameters {
    let mime_type = match negotiated.codec {
        Codec::Vp8 => MIME_TYPE_VP8,
        Codec::Vp9 => MIME_TYPE_VP9,
        Codec::H264 => MIME_TYPE_H264,
    };
    let feedback = |kind: &str, parameter: &str| RTCPFeedback {
        typ: kind.into(),
        parameter: parameter.into(),
    };
    RTCRtpCodecParameters {
        rtp_codec: RTCRtpCodec {
            mime_type: mime_type.to_owned(),
            clock_rate: 90_000,
            channels: 0,
            sdp_fmtp_line: negotiated.fmtp.clone(),
            rtcp_feedback: vec![
                feedback("ccm", "fir"),
                feedback("nack", ""),
                feedback("nack", "pli"),
            ],
        },
        payload_type: negotiated.payload_type,
    }
}
