//! RTP header extensions (RFC 8285): what a browser says about a frame beside its pixels, and what
//! we say back.

use bytes::Bytes;
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::rtp;
use rtc::rtp_transceiver::rtp_sender::{RTCRtpHeaderExtensionCapability, RtpCodecKind};
use webrtc::error::Error;

use crate::browser::offer::{CAPTURE_TIME, ORIENTATION};
use crate::codec::Rotation;
use crate::media::frame::CaptureStamp;
use crate::media::packet::HeaderExtensions;

pub(super) fn register(engine: &mut MediaEngine) -> Result<(), Error> {
    for uri in [ORIENTATION, CAPTURE_TIME] {
        let extension = RTCRtpHeaderExtensionCapability { uri: uri.to_owned() };
        engine.register_header_extension(extension, RtpCodecKind::Video, None)?;
    }
    Ok(())
}

/// The negotiated ids of the extensions; `None` for those that were not negotiated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExtensionIds {
    orientation: Option<u8>,
    capture_time: Option<u8>,
}

impl ExtensionIds {
    /// From our own description (RFC 8285, section 8). One bundle, so a number means the same
    /// everywhere.
    pub(crate) fn of(answer: &str) -> Self {
        let id = |uri| {
            let lines = answer.lines().filter_map(|line| line.strip_prefix("a=extmap:"));
            let mut named = lines.filter(|line| line.split_whitespace().nth(1) == Some(uri));
            // A direction may follow the number.
            named.next()?.split(['/', ' ']).next()?.parse().ok()
        };
        Self { orientation: id(ORIENTATION), capture_time: id(CAPTURE_TIME) }
    }

    pub(super) fn read(self, header: &rtp::Header) -> HeaderExtensions {
        let get = |id: Option<u8>| header.get_extension(id?);
        let rotation = get(self.orientation)
            .and_then(|byte| byte.first().copied())
            .map(Rotation::from_orientation);
        let captured = get(self.capture_time).and_then(|bytes| CaptureStamp::read(&bytes));
        HeaderExtensions { rotation, captured }
    }

    /// Says when the frame was captured, by the clock that the browser read it from: it can
    /// subtract.
    pub(super) fn write(self, header: &mut rtp::Header, captured: CaptureStamp) {
        if let Some(id) = self.capture_time {
            let bytes = Bytes::copy_from_slice(&captured.bytes());
            // Refused for an id that no offer could have agreed on; then the frame goes without.
            header.set_extension(id, bytes).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_an_answer() {
        let answer = "a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=extmap:13/sendrecv urn:3gpp:video-orientation\r\n\
                      a=extmap:5 http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time\r\n";
        assert_eq!(
            ExtensionIds::of(answer),
            ExtensionIds { orientation: Some(13), capture_time: Some(5) }
        );
        assert_eq!(
            ExtensionIds::of("a=extmap:x urn:3gpp:video-orientation\r\n"),
            ExtensionIds::default()
        );
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let ids = ExtensionIds { orientation: Some(13), capture_time: Some(5) };
        let mut header = rtp::Header::default();
        assert!(ids.read(&header).captured.is_none());
        let stamp = CaptureStamp::read(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9, 9, 9, 9, 9]).unwrap();
        ids.write(&mut header, stamp);
        let marks = ids.read(&header);
        assert_eq!((marks.captured, marks.rotation), (Some(stamp), None));
        header.set_extension(13, Bytes::from_static(&[1])).unwrap();
        assert_eq!(ids.read(&header).rotation, Some(Rotation::Quarter));
        assert!(ExtensionIds::default().read(&header).rotation.is_none());
    }
}
