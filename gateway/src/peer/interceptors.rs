//! What stands between the stack's transport and its tracks: feedback both ways.

use rtc::interceptor::NackResponderBuilder;
use rtc::peer_connection::configuration::interceptor_registry::{
    Registry, Slot, configure_rtcp_reports, configure_simulcast_extension_headers, configure_twcc_receiver_only,
};
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use webrtc::error::Error;

use super::keyframes::DeliverRequests;
use super::nack::RequestLost;

/// Packets kept to be sent again, a power of two: two seconds of 2 Mbit/s, 600 kB. Who asks for older ones gets nothing
/// and asks for a keyframe.
const SENT_PACKETS: u16 = 512;

/// The slots decide the order, not the calls.
pub(super) fn registry(engine: &mut MediaEngine) -> Result<Registry, Error> {
    configure_simulcast_extension_headers(engine)?;
    let registry = configure_twcc_receiver_only(configure_rtcp_reports(Registry::new()), engine)?;
    Ok(registry
        .with(Slot::NackResponder, NackResponderBuilder::new().with_size(SENT_PACKETS).build())
        .with(Slot::NackGenerator, RequestLost::default())
        .with(Slot::from(20_000), DeliverRequests::default()))
}
