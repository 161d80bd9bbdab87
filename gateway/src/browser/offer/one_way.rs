//! What is particular about the offers of WHIP and WHEP, whose clients offer once: there is one
//! track of each kind, and an ICE restart brings nothing but new credentials. Pure.

use super::description::{Description, Section};
use super::{OfferError, Parsed, ice_password, ice_ufrag, parse};

impl Parsed {
    /// An answer must not leave out a track as if it were taken (RFC 9725, section 4.4.2).
    ///
    /// # Errors
    /// There are two of a kind.
    pub(crate) fn check_tracks(&self) -> Result<(), OfferError> {
        let offer = Description::read(&self.sdp)?;
        for kind in ["video", "audio"] {
            let is_track = |section: &&Section<'_>| {
                let on = section.is_offered() && offer.direction(section) != "inactive";
                section.kind == kind && on
            };
            if offer.sections.iter().filter(is_track).count() > 1 {
                return Err(OfferError::Tracks(kind));
            }
        }
        Ok(())
    }

    /// The user name fragment and the password of its ICE session.
    pub(crate) fn credentials(&self) -> (&str, &str) {
        (ice_ufrag(&self.sdp).unwrap_or_default().trim(), ice_password(&self.sdp))
    }

    /// The same offer after an ICE restart: with these credentials, and without the candidates of
    /// before (RFC 9725, section 4.3.3).
    ///
    /// # Errors
    /// They are too long.
    pub(crate) fn restarted(&self, ufrag: &str, password: &str) -> Result<Self, OfferError> {
        let renewed = |line: &str| -> Option<String> {
            let stale = ["a=candidate:", "a=end-of-candidates"];
            if stale.iter().any(|start| line.starts_with(start)) {
                None
            } else if line.starts_with("a=ice-ufrag:") {
                Some(format!("a=ice-ufrag:{ufrag}\r\n"))
            } else if line.starts_with("a=ice-pwd:") {
                Some(format!("a=ice-pwd:{password}\r\n"))
            } else {
                Some(format!("{line}\r\n"))
            }
        };
        parse(self.sdp.lines().filter_map(renewed).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(media: &str) -> Parsed {
        parse(format!("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n{media}")).unwrap()
    }

    #[test]
    fn there_is_one_track_of_each_kind() {
        let (video, audio) = ("m=video 9 X 96\r\n", "m=audio 9 X 97\r\n");
        let tracks = |media: &[&str]| offer(&media.concat()).check_tracks();
        assert_eq!(tracks(&[video, audio]), Ok(()));
        assert_eq!(tracks(&[]), Ok(()), "said elsewhere");
        assert_eq!(tracks(&[video, audio, video]), Err(OfferError::Tracks("video")));
        assert_eq!(tracks(&[audio, video, audio]), Err(OfferError::Tracks("audio")));
        assert_eq!(tracks(&[video, video, "a=inactive\r\n"]), Ok(()));
        assert_eq!(tracks(&[video, "m=video 0 X 96\r\n"]), Ok(()));
    }

    #[test]
    fn a_restart_has_other_credentials_and_no_candidates_and_is_otherwise_the_same() {
        let first = "m=video 9 X 96\r\na=ice-ufrag:old\r\na=ice-pwd:older\r\na=mid:0\r\n";
        let more = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=end-of-candidates\r\n\
                    m=application 9 Y 1\r\na=ice-ufrag:old\r\na=ice-pwd:older\r\n";
        let before = offer(&[first, more].concat());
        assert_eq!(before.credentials(), ("old", "older"));
        let after = before.restarted("new", "newer").unwrap();
        assert_eq!(after.credentials(), ("new", "newer"));
        let expected = before.sdp.replace("old\r", "new\r").replace("older", "newer");
        let lines = expected.lines().filter(|line| !line.contains("candidate"));
        assert_eq!(after.sdp.lines().collect::<Vec<_>>(), lines.collect::<Vec<_>>());
        let long = before.restarted(&"x".repeat(33), "newer").map(drop);
        assert_eq!(long, Err(OfferError::Credential("ice-ufrag", 32)));
    }
}
