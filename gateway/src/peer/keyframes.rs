//! Keyframe requests both ways: what the browser asks of our encoder, and what our decoder asks of the browser's.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rtc::interceptor::{Attribute, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use webrtc::media_stream::track_local::{TrackLocal, TrackLocalEvent};
use webrtc::media_stream::track_remote::TrackRemote;

use crate::telemetry;

/// At most one keyframe in this time is made because the browser asks: each is several frames' worth, and a flood of
/// requests must not turn the video into keyframes. One that still needs it asks again, as all do.
const LEAST_INTERVAL: Duration = Duration::from_millis(250);

/// Sends a PLI (RFC 4585, section 6.3.1) each time `ingress` asks; that keeps its own pace. `ssrc` is where the video comes
/// from now.
pub(super) async fn send_requests(
    track: Arc<dyn TrackRemote>,
    ssrc: watch::Receiver<Option<u32>>,
    wanted: Arc<Notify>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = wanted.notified() => {}
            () = stop.cancelled() => return,
        }
        let Some(media_ssrc) = *ssrc.borrow() else { continue };
        telemetry::keyframe_request("out");
        let request = PictureLossIndication { sender_ssrc: 0, media_ssrc };
        if let Err(error) = track.write_rtcp(vec![Box::new(request)]).await {
            debug!(%error, "keyframe request not sent");
        }
    }
}

/// Passes the browser's PLI and FIR on. Several before the encoder looks are one.
pub(super) async fn receive_requests(track: Arc<dyn TrackLocal>, due: Arc<Notify>, stop: CancellationToken) {
    let mut obeyed: Option<Instant> = None;
    loop {
        let event = tokio::select! {
            event = track.poll() => event,
            () = stop.cancelled() => return,
        };
        // The interceptor below lets nothing but keyframe requests through.
        match event {
            Some(TrackLocalEvent::OnRtcpPacket(_)) => {
                telemetry::keyframe_request("in");
                let now = Instant::now();
                if obeyed.is_some_and(|at| now < at + LEAST_INTERVAL) {
                    telemetry::keyframe_request("ignored");
                } else {
                    obeyed = Some(now);
                    due.notify_one();
                }
            }
            Some(_) => {}
            None => return,
        }
    }
}

/// Marks keyframe requests for delivery; the stack keeps all inbound RTCP to itself otherwise. Stands last in the
/// chain, so that every other interceptor has seen the packet before.
#[derive(Default)]
pub(super) struct DeliverRequests {
    inbound: VecDeque<TaggedPacket>,
    outbound: VecDeque<TaggedPacket>,
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for DeliverRequests {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = std::time::Instant;

    fn handle_read(&mut self, mut msg: TaggedPacket) -> Result<(), Self::Error> {
        if let Packet::Rtcp(packets) = &mut msg.message.packet {
            packets.retain(|packet| is_keyframe_request(&**packet));
            if packets.is_empty() {
                return Ok(());
            }
            msg.message.add(Attribute::DeliverToApplication);
        }
        self.inbound.push_back(msg);
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

impl Interceptor for DeliverRequests {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}

fn is_keyframe_request(packet: &dyn rtcp::Packet) -> bool {
    let packet = packet.as_any();
    packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>()
}
