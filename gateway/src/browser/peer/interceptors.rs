//! What stands between the stack's transport and its tracks: feedback both ways.

use std::collections::VecDeque;
use std::sync::Arc;

use rtc::interceptor::{Interceptor, NackResponderBuilder, Packet, StreamInfo, TaggedPacket};
use rtc::peer_connection::configuration::interceptor_registry::{
    Registry, Slot, configure_rtcp_reports, configure_simulcast_extension_headers,
    configure_twcc_receiver_only,
};
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::sansio::Protocol;
use webrtc::error::Error;

use super::keyframes::deliver_requests;
use super::nack::NackGenerator;
use super::retransmissions::RetransmissionLimiter;
use crate::browser::guard::bound_feedback;
use crate::media::signs::Signs;

/// Packets kept to be sent again, a power of two: two seconds of 2 Mbit/s, 600 kB. Who asks for
/// older ones gets nothing and asks for a keyframe.
pub(super) const SENT_PACKETS: u16 = 512;
/// Next to the responder, on the side of the wire: what comes in passes here first.
const BOUND_RETRANSMISSIONS: Slot = Slot::Custom(3_500);

/// On the side of the wire of all that reads feedback.
const BOUND_FEEDBACK: Slot = Slot::Custom(400);

/// The slots decide the order, not the calls.
pub(super) fn registry(engine: &mut MediaEngine, signs: Arc<Signs>) -> Result<Registry, Error> {
    configure_simulcast_extension_headers(engine)?;
    let registry = configure_twcc_receiver_only(configure_rtcp_reports(Registry::new()), engine)?;
    Ok(registry
        .with(
            BOUND_FEEDBACK,
            OnRead::new(move |packet: &mut TaggedPacket| {
                if matches!(packet.message.packet, Packet::Rtp(_)) {
                    signs.rtp();
                }
                bound_feedback(packet)
            }),
        )
        .with(BOUND_RETRANSMISSIONS, RetransmissionLimiter::default())
        .with(Slot::NackResponder, NackResponderBuilder::new().with_size(SENT_PACKETS).build())
        .with(Slot::NackGenerator, NackGenerator::default())
        .with(Slot::from(20_000), OnRead::new(deliver_requests)))
}

/// Whether lost packets of a stream are asked for again.
pub(super) fn wants_nacks(info: &StreamInfo) -> bool {
    info.rtcp_feedback
        .iter()
        .any(|feedback| feedback.typ == "nack" && feedback.parameter.is_empty())
}

/// An interceptor that only looks at what comes in: `read` may change it, and is false for what
/// goes no further.
pub(super) struct OnRead<F> {
    read: F,
    inbound: VecDeque<TaggedPacket>,
    outbound: VecDeque<TaggedPacket>,
}

impl<F: FnMut(&mut TaggedPacket) -> bool> OnRead<F> {
    pub(super) fn new(read: F) -> Self {
        Self { read, inbound: VecDeque::new(), outbound: VecDeque::new() }
    }
}

impl<F: FnMut(&mut TaggedPacket) -> bool> Protocol<TaggedPacket, TaggedPacket, ()> for OnRead<F> {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = std::time::Instant;

    fn handle_read(&mut self, mut msg: TaggedPacket) -> Result<(), Self::Error> {
        if (self.read)(&mut msg) {
            self.inbound.push_back(msg);
        }
        Ok(())
    }

    fn poll_read(&mut self) -> Option<Self::Rout> {
        self.inbound.pop_front()
    }

    fn handle_write(&mut self, msg: TaggedPacket) -> Result<(), Self::Error> {
        self.outbound.push_back(msg);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<Self::Wout> {
        self.outbound.pop_front()
    }
}

impl<F: FnMut(&mut TaggedPacket) -> bool + Send + Sync> Interceptor for OnRead<F> {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}
