//! Keyframe requests both ways: what the browser asks of our encoder, and what our decoder asks of
//! the browser's.

use std::sync::Arc;
use std::time::Duration;

use rtc::interceptor::{Attribute, Packet, TaggedPacket};
use rtc::rtcp;
use rtc::rtcp::payload_feedbacks::full_intra_request::{FirEntry, FullIntraRequest};
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtp_transceiver::rtp_sender::RTCPFeedback;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use webrtc::media_stream::track_local::{TrackLocal, TrackLocalEvent};

use super::tracks::Tracks;
use crate::telemetry;

/// At most one keyframe in this time is made because the browser asks: each is several frames'
/// worth, and a flood of requests must not turn the video into keyframes. One that still needs it
/// asks again, as all do.
const LEAST_INTERVAL: Duration = Duration::from_millis(250);

/// Asks the browser each time `ingress` does; that keeps its own pace.
pub(super) async fn send_requests(
    tracks: Arc<Tracks>,
    wanted: Arc<Notify>,
    stop: CancellationToken,
) {
    let mut number = rand::random::<u8>();
    while stop.run_until_cancelled(wanted.notified()).await.is_some() {
        let Some((track, media_ssrc)) = tracks.current() else { continue };
        let feedback =
            track.codec(media_ssrc).await.map(|codec| codec.rtcp_feedback).unwrap_or_default();
        telemetry::keyframe_request("out");
        if let Err(error) =
            track.write_rtcp(vec![request(&feedback, media_ssrc, &mut number)]).await
        {
            debug!(%error, "keyframe request not sent");
        }
    }
}

/// By what was negotiated: a PLI (RFC 4585, section 6.3.1), or a FIR (RFC 5104, section 4.3.1)
/// where that alone was offered.
///
/// Each FIR has a `number` of its own. A repetition would keep it, and whoever has obeyed ignores
/// it then; but what got lost, the request or the keyframe, cannot be told from here.
fn request(feedback: &[RTCPFeedback], media_ssrc: u32, number: &mut u8) -> Box<dyn rtcp::Packet> {
    let speaks = |typ: &str, parameter: &str| {
        feedback.iter().any(|it| it.typ == typ && it.parameter == parameter)
    };
    if speaks("nack", "pli") || !speaks("ccm", "fir") {
        return Box::new(PictureLossIndication { sender_ssrc: 0, media_ssrc });
    }
    *number = number.wrapping_add(1);
    let entry = FirEntry { ssrc: media_ssrc, sequence_number: *number };
    // The header's own field is not used, and zero.
    Box::new(FullIntraRequest { sender_ssrc: 0, media_ssrc: 0, fir: vec![entry] })
}

/// Passes the browser's PLI and FIR for our `ssrc` on. Several before the encoder looks are one.
pub(super) async fn receive_requests(
    track: Arc<dyn TrackLocal>,
    ssrc: u32,
    due: Arc<Notify>,
    stop: CancellationToken,
) {
    let mut throttle = KeyframeThrottle::default();
    loop {
        let event = tokio::select! {
            event = track.poll() => event,
            () = stop.cancelled() => return,
        };
        match event {
            Some(TrackLocalEvent::OnRtcpPacket(packets)) => {
                for request in packets.iter().filter_map(|packet| Request::read(&**packet, ssrc)) {
                    telemetry::keyframe_request("in");
                    if throttle.admits(Instant::now(), request) {
                        due.notify_one();
                    } else {
                        telemetry::keyframe_request("ignored");
                    }
                }
            }
            Some(_) => {}
            None => return,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Pli,
    Fir { sender: u32, number: u8 },
}

impl Request {
    /// `None` if this is not a keyframe request, or is one of another stream.
    fn read(packet: &dyn rtcp::Packet, ssrc: u32) -> Option<Self> {
        let packet = packet.as_any();
        if let Some(pli) = packet.downcast_ref::<PictureLossIndication>() {
            return (pli.media_ssrc == ssrc).then_some(Self::Pli);
        }
        let fir = packet.downcast_ref::<FullIntraRequest>()?;
        let entry = fir.fir.iter().find(|entry| entry.ssrc == ssrc)?;
        Some(Self::Fir { sender: fir.sender_ssrc, number: entry.sequence_number })
    }
}

/// What was obeyed last.
#[derive(Debug, Default)]
struct KeyframeThrottle {
    at: Option<Instant>,
    fir: Option<Request>,
}

impl KeyframeThrottle {
    /// Whether a keyframe is to be made for it: not too soon, and not for a FIR that is repeated
    /// because it might not have come. One that came too soon is not obeyed, and may be repeated.
    fn admits(&mut self, now: Instant, request: Request) -> bool {
        let repeated = request != Request::Pli && self.fir == Some(request);
        if repeated || self.at.is_some_and(|at| now < at + LEAST_INTERVAL) {
            return false;
        }
        self.at = Some(now);
        if request != Request::Pli {
            self.fir = Some(request);
        }
        true
    }
}

/// Marks keyframe requests for delivery; the stack keeps all inbound RTCP to itself otherwise.
/// Stands last in the chain, so that every other interceptor has seen the packet before.
pub(super) fn deliver_requests(msg: &mut TaggedPacket) -> bool {
    if let Packet::Rtcp(packets) = &mut msg.message.packet {
        packets.retain(|packet| is_keyframe_request(&**packet));
        if packets.is_empty() {
            return false;
        }
        msg.message.add(Attribute::DeliverToApplication);
    }
    true
}

fn is_keyframe_request(packet: &dyn rtcp::Packet) -> bool {
    let packet = packet.as_any();
    packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>()
}

#[cfg(test)]
#[path = "keyframes_tests.rs"]
mod tests;
