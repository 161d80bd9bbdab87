//! What offer and answer say of bitrates: which feedback the client gives, and what it is asked to
//! send.

use std::sync::Arc;

use rtc::peer_connection::configuration::interceptor_registry::{Registry, Slot};
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::rtp_transceiver::rtp_sender::{RTCPFeedback, RtpCodecKind};
use tokio::sync::watch;

use super::pass_through::PassThrough;
use super::remb::Remb;
use super::{congestion, h264_level};
use crate::media::limits::{BitrateLimits, VideoLimits};
use crate::pipeline::bandwidth::padding::Padding;

/// Among the other recorders of arrivals.
const REMB: Slot = Slot::Custom(9_500);

/// What tells us how our packets fare at the client, of what both sides speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feedback {
    /// Each packet's arrival (`transport-cc`).
    Twcc,
    /// One number (`goog-remb`).
    Remb,
    /// Nothing: the bitrate stays.
    None,
}

impl Feedback {
    /// Of an offer.
    pub(crate) fn offered(sdp: &str) -> Self {
        let video = sdp.split("\nm=").skip(1).filter(|section| section.starts_with("video"));
        let feedback = video.flat_map(str::lines).filter(|line| line.starts_with("a=rtcp-fb:"));
        let kinds: Vec<&str> = feedback.filter_map(|line| line.split_whitespace().nth(1)).collect();
        if kinds.contains(&"transport-cc") {
            Self::Twcc
        } else if kinds.contains(&"goog-remb") {
            Self::Remb
        } else {
            Self::None
        }
    }
}

/// Publishes what the path to the browser carries in `available_kbps`, by the feedback that it
/// offers, and asks `padding` for what it takes to measure the path.
pub(super) fn control(
    registry: Registry,
    engine: &mut MediaEngine,
    offer: &str,
    limits: BitrateLimits,
    available_kbps: watch::Sender<u32>,
    padding: Arc<Padding>,
) -> Registry {
    match Feedback::offered(offer) {
        Feedback::Twcc => {
            available_kbps.send_replace(limits.start);
            congestion::register(registry, limits, available_kbps, padding)
        }
        Feedback::Remb => {
            available_kbps.send_replace(limits.start);
            let feedback = RTCPFeedback { typ: "goog-remb".to_owned(), parameter: String::new() };
            engine.register_feedback(feedback, RtpCodecKind::Video);
            registry.with(REMB, PassThrough::new(Remb::new(limits, available_kbps)))
        }
        Feedback::None => registry,
    }
}

/// Writes into an answer how much video we want: at most the maximum (`b=TIAS`, RFC 3890, which all
/// browsers know), no larger or faster frames (of VP8 and VP9 by RFC 7741 section 6.1 and RFC 9628
/// section 6, of H.264 by its level, which browsers may pass over), and, for Chromium, where to
/// begin. By itself it begins with 300 kbit/s, a quarter of the pixels, and takes half a minute.
pub(crate) fn ask(answer: &str, bitrates: BitrateLimits, video_limits: VideoLimits) -> String {
    let max = format!("b=TIAS:{}\r\n", bitrates.max * 1_000);
    let start = format!("x-google-start-bitrate={}", bitrates.start);
    let macroblocks = video_limits.long.div_ceil(16) * video_limits.short.div_ceil(16);
    let frames = format!("max-fs={macroblocks};max-fr={:.0};", video_limits.fps.ceil());
    let is_vp = |payload_type: &str| {
        ["VP8", "VP9"]
            .into_iter()
            .any(|codec| answer.contains(&format!("a=rtpmap:{payload_type} {codec}/90000")))
    };
    let mut asked = String::with_capacity(answer.len() + 256);
    let mut video = false;
    for line in answer.split_inclusive("\r\n") {
        if line.starts_with("m=") {
            let refused = line.split_whitespace().nth(1) == Some("0");
            video = line.starts_with("m=video") && !refused;
        }
        let text = line.trim_end();
        if video && text.starts_with("a=fmtp:") {
            let payload_type = text["a=fmtp:".len()..].split(' ').next().unwrap_or_default();
            let frames = if is_vp(payload_type) { &frames } else { "" };
            asked.extend([
                &h264_level::limited(text, video_limits, bitrates.max),
                ";",
                frames,
                &start,
                "\r\n",
            ]);
            continue;
        }
        asked.push_str(line);
        if video && line.starts_with("c=") {
            asked.push_str(&max);
        }
        let codec = text
            .strip_prefix("a=rtpmap:")
            .filter(|_| video)
            .and_then(|codec| codec.split_once(' '));
        if let Some((payload_type, _)) = codec
            && !answer.contains(&format!("\r\na=fmtp:{payload_type} "))
        {
            let frames = if is_vp(payload_type) { &frames } else { "" };
            asked.extend(["a=fmtp:", payload_type, " ", frames, &start, "\r\n"]);
        }
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_feedback_of_the_video_is_used() {
        let offer = |feedback: &str| {
            format!("v=0\r\nm=video 9 X 96\r\na=rtcp-fb:96 nack pli\r\n{feedback}m=audio 9 X 1\r\n")
        };
        let of = |feedback: &str| Feedback::offered(&offer(feedback));
        let (twcc, remb) = ("a=rtcp-fb:96 transport-cc\r\n", "a=rtcp-fb:* goog-remb\r\n");
        assert_eq!(of(&format!("{remb}{twcc}")), Feedback::Twcc);
        assert_eq!(of(remb), Feedback::Remb);
        assert_eq!(of(""), Feedback::None);
        let audio = format!("{}a=rtcp-fb:1 transport-cc\r\n", offer(""));
        assert_eq!(Feedback::offered(&audio), Feedback::None, "of audio");
    }

    #[test]
    fn h264_is_asked_for_by_its_level() {
        let answer = "v=0\r\n\
                      m=video 9 X 108\r\n\
                      a=rtpmap:108 H264/90000\r\n\
                      a=fmtp:108 level-asymmetry-allowed=1;packetization-mode=1;\
                      profile-level-id=42e01f\r\n";
        let limits = BitrateLimits { start: 1_500, min: 100, max: 2_000 };
        let asked = ask(answer, limits, VideoLimits { long: 1920, short: 1080, fps: 60.0 });
        assert_eq!(asked, answer.replace("42e01f", "42e02a;x-google-start-bitrate=1500"));
    }

    #[test]
    fn video_is_asked_for_and_nothing_else_is_touched() {
        let answer = "v=0\r\n\
                      m=audio 9 X 111\r\n\
                      c=IN IP4 0.0.0.0\r\n\
                      a=fmtp:111 a=1\r\n\
                      m=video 9 X 96 108\r\n\
                      c=IN IP4 0.0.0.0\r\n\
                      a=rtpmap:96 VP8/90000\r\n\
                      a=rtpmap:108 H264/90000\r\n\
                      a=fmtp:108 packetization-mode=1\r\n\
                      m=application 9 X Y\r\n\
                      c=IN IP4 0.0.0.0\r\n";
        let limits = BitrateLimits { start: 1_500, min: 100, max: 2_000 };
        let video_limits = VideoLimits { long: 1920, short: 1080, fps: 29.97 };
        let expected = answer
            .replace("108\r\nc=IN IP4 0.0.0.0\r\n", "108\r\nc=IN IP4 0.0.0.0\r\nb=TIAS:2000000\r\n")
            .replace(
                "VP8/90000\r\n",
                "VP8/90000\r\na=fmtp:96 max-fs=8160;max-fr=30;x-google-start-bitrate=1500\r\n",
            )
            .replace("packetization-mode=1", "packetization-mode=1;x-google-start-bitrate=1500");
        assert_eq!(ask(answer, limits, video_limits), expected);
        let refused = answer.replace("video 9", "video 0");
        assert_eq!(ask(&refused, limits, video_limits), refused);
    }
}
