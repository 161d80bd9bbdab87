//! What stands between the stack's transport and its tracks: feedback both ways.

use std::sync::Arc;

use rtc::interceptor::{NackResponderBuilder, Packet, StreamInfo, TaggedPacket};
use rtc::peer_connection::configuration::interceptor_registry::{
    Registry, Slot, configure_rtcp_reports, configure_simulcast_extension_headers,
    configure_twcc_receiver_only,
};
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use webrtc::error::Error;

use super::keyframes::deliver_requests;
use super::nack::NackGenerator;
use super::pass_through::PassThrough;
use super::retransmissions::RetransmissionLimiter;
use crate::browser::guard::bound_feedback;
use crate::media::receive_stats::ReceiveStats;

/// Packets kept to be sent again, a power of two: two seconds of 2 Mbit/s, 600 kB. Who asks for
/// older ones gets nothing and asks for a keyframe.
pub(super) const SENT_PACKETS: u16 = 512;
/// On the side of the wire of what numbers packets for TWCC: what is sent again is the very packet
/// that was sent. Numbered anew, it would be another one under the same SRTP index, and two such
/// packets give away AES-GCM's authentication key (RFC 7714, section 8.1).
const SEND_AGAIN: Slot = Slot::Custom(1_600);
/// Next to it, on the side of the wire: what comes in passes here first.
const BOUND_RETRANSMISSIONS: Slot = Slot::Custom(1_500);

/// On the side of the wire of all that reads feedback.
const BOUND_FEEDBACK: Slot = Slot::Custom(400);

/// The slots decide the order, not the calls.
pub(super) fn registry(
    engine: &mut MediaEngine,
    received: Arc<ReceiveStats>,
) -> Result<Registry, Error> {
    configure_simulcast_extension_headers(engine)?;
    let registry = configure_twcc_receiver_only(configure_rtcp_reports(Registry::new()), engine)?;
    Ok(registry
        .with(
            BOUND_FEEDBACK,
            PassThrough::new(move |packet: &mut TaggedPacket| {
                if matches!(packet.message.packet, Packet::Rtp(_)) {
                    received.rtp();
                }
                bound_feedback(packet)
            }),
        )
        .with(BOUND_RETRANSMISSIONS, PassThrough::new(RetransmissionLimiter::default()))
        .with(SEND_AGAIN, NackResponderBuilder::new().with_size(SENT_PACKETS).build())
        .with(Slot::NackGenerator, PassThrough::new(NackGenerator::default()))
        .with(Slot::from(20_000), PassThrough::new(deliver_requests)))
}

/// Whether lost packets of a stream are asked for again.
pub(super) fn wants_nacks(info: &StreamInfo) -> bool {
    info.rtcp_feedback
        .iter()
        .any(|feedback| feedback.typ == "nack" && feedback.parameter.is_empty())
}
