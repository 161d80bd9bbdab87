//! A session description, split into sections and lines (RFC 8866). Attributes are interpreted only
//! when asked for; unknown ones are ignored.

use super::codecs::Negotiated;

/// The directions of media (RFC 8866, section 6.7).
pub(crate) const DIRECTIONS: [&str; 4] = ["sendrecv", "sendonly", "recvonly", "inactive"];

/// Whether who says it wants to send.
pub(super) fn sends(direction: &str) -> bool {
    ["sendrecv", "sendonly"].contains(&direction)
}

/// Whether who says it wants to receive.
pub(super) fn receives(direction: &str) -> bool {
    ["sendrecv", "recvonly"].contains(&direction)
}

/// A line that no session description has, by its number in the text, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} {problem}")]
pub(crate) struct Malformed {
    line: usize,
    problem: &'static str,
}

/// Borrowed from a text.
#[derive(Debug)]
pub(crate) struct Description<'a> {
    /// The lines before the first section.
    session: Vec<&'a str>,
    pub(super) sections: Vec<Section<'a>>,
}

/// One section: a line `m=` and what follows.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    pub(super) kind: &'a str,
    /// 0: refused, stopped, or a part of another section's bundle.
    pub(super) port: u16,
    pub(super) protocol: &'a str,
    pub(super) formats: Vec<&'a str>,
    lines: Vec<&'a str>,
}

impl<'a> Description<'a> {
    /// # Errors
    /// It is no session description: its first line is not `v=0`, a line is no letter with a value
    /// or has control characters, or a section has no kind, port or protocol.
    pub(crate) fn read(sdp: &'a str) -> Result<Self, Malformed> {
        let mut description = Self { session: Vec::new(), sections: Vec::new() };
        let lines = sdp.lines().map(|line| line.trim_end_matches([' ', '\t', '\r']));
        let mut lines = lines.enumerate().filter(|(_, line)| !line.is_empty());
        let first = lines.next();
        if first.is_none_or(|(_, line)| line != "v=0") {
            let line = first.map_or(1, |(place, _)| place + 1);
            return Err(Malformed { line, problem: "is not `v=0`, with which it must begin" });
        }
        for (place, line) in lines {
            let malformed = |problem| Malformed { line: place + 1, problem };
            // What `bounds` and others count must be what is read here: no white space before it.
            let (kind, value) = line
                .split_once('=')
                .filter(|(kind, _)| matches!(kind.as_bytes(), [b'a'..=b'z']))
                .ok_or_else(|| malformed("is not a letter, `=` and a value"))?;
            if value.chars().any(|c| c.is_control() && c != '\t') {
                return Err(malformed("has a control character"));
            }
            if kind == "m" {
                let section = Section::begin(value);
                let section =
                    section.ok_or_else(|| malformed("is not `m=` with kind, port, protocol"))?;
                description.sections.push(section);
            } else {
                match description.sections.last_mut() {
                    Some(section) => section.lines.push(line),
                    None => description.session.push(line),
                }
            }
        }
        Ok(description)
    }

    /// The lines above all sections, without `v=`.
    pub(super) fn lines(&self) -> &[&'a str] {
        &self.session
    }

    /// The values of the attribute above all sections.
    pub(super) fn attributes(&self, name: &str) -> impl Iterator<Item = &'a str> {
        attributes(&self.session, name)
    }

    /// The attribute of a section or, if it has none, of the whole description.
    pub(super) fn of(&self, section: &Section<'a>, name: &str) -> Option<&'a str> {
        section.attribute(name).or_else(|| self.attributes(name).next())
    }
}

/// What a session description means, beyond its lines.
impl<'a> Description<'a> {
    /// Which way a section's media go. Without a word of it: both (RFC 8866, section 6.7).
    pub(super) fn direction(&self, section: &Section<'a>) -> &'static str {
        let of = |has: &dyn Fn(&str) -> bool| DIRECTIONS.into_iter().find(|name| has(name));
        of(&|name| section.has(name))
            .or_else(|| of(&|name| self.attributes(name).next().is_some()))
            .unwrap_or("sendrecv")
    }

    /// Whether RTP and RTCP may share a port there (RFC 5761, section 5.1.1).
    pub(super) fn is_muxed(&self, section: &Section<'a>) -> bool {
        self.of(section, "rtcp-mux").is_some()
    }

    /// The names of the bundle that a section is in (RFC 9143, section 7.2).
    fn bundle_tags(&self, section: &Section<'a>) -> Option<Vec<&'a str>> {
        let mid = section.mid()?;
        self.attributes("group").find_map(|group| {
            let tags = group.strip_prefix("BUNDLE ")?.split_whitespace().collect::<Vec<_>>();
            tags.contains(&mid).then_some(tags)
        })
    }

    pub(super) fn is_bundled(&self, place: usize) -> bool {
        self.bundle_tags(&self.sections[place]).is_some()
    }

    /// The sections that share a transport with the one at `place`, in the bundle's order; only
    /// that one if it is in no bundle. Of sections with the same name the first is meant.
    pub(super) fn bundle(&self, place: usize) -> Vec<usize> {
        let tags = self.bundle_tags(&self.sections[place]).unwrap_or_default();
        let named = |tag| self.sections.iter().position(|section| section.mid() == Some(tag));
        let mut shared: Vec<usize> = Vec::new();
        for at in tags.into_iter().filter_map(named) {
            if self.sections[at].is_offered() && !shared.contains(&at) {
                shared.push(at);
            }
        }
        if !shared.contains(&place) {
            shared = vec![place];
        }
        shared
    }
}

impl<'a> Section<'a> {
    /// From what stands behind `m=`.
    fn begin(line: &'a str) -> Option<Self> {
        let mut fields = line.split_whitespace();
        let (kind, port, protocol) = (fields.next()?, fields.next()?, fields.next()?);
        let port = port.split('/').next()?.parse().ok()?;
        Some(Self { kind, port, protocol, formats: fields.collect(), lines: Vec::new() })
    }

    /// The values of an attribute; empty for a flag.
    pub(super) fn attributes(&self, name: &str) -> impl Iterator<Item = &'a str> {
        attributes(&self.lines, name)
    }

    /// The first.
    pub(super) fn attribute(&self, name: &str) -> Option<&'a str> {
        self.attributes(name).next()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    /// What stands behind `a=NAME:FORMAT` and white space.
    pub(super) fn of_format(&self, name: &str, format: &str) -> Option<&'a str> {
        let said = |value: &'a str| value.split_once(char::is_whitespace);
        let mut values = self.attributes(name).filter_map(said);
        values.find(|(of, _)| *of == format).map(|(_, value)| value.trim())
    }

    /// Its name (RFC 9143, section 8.1: a token).
    pub(super) fn mid(&self) -> Option<&'a str> {
        let is_token =
            |mid: &&str| !mid.is_empty() && mid.bytes().all(|byte| byte.is_ascii_graphic());
        self.attribute("mid").filter(is_token)
    }

    /// It is neither refused nor stopped; a port of 0 may also mean that the section is only
    /// offered as a part of its bundle (RFC 9143, section 6).
    pub(super) fn is_offered(&self) -> bool {
        self.port != 0 || self.has("bundle-only")
    }

    pub(super) fn is_video(&self) -> bool {
        self.kind == "video"
    }

    /// Whether a codec that was agreed on is offered here, under its number.
    pub(super) fn speaks(&self, codec: &Negotiated) -> bool {
        let payload_type = codec.payload_type.to_string();
        let name = self.of_format("rtpmap", &payload_type).and_then(|map| map.split('/').next());
        self.is_rtp()
            && self.formats.contains(&payload_type.as_str())
            && name.is_some_and(|name| name.eq_ignore_ascii_case(codec.codec.sdp_name()))
    }

    /// RTP over DTLS, in whichever order its name was written over the years.
    pub(super) fn is_rtp(&self) -> bool {
        self.protocol.contains("RTP/SAVP")
    }

    /// A data channel, in the present form or in that of before RFC 8841.
    pub(super) fn is_data(&self) -> bool {
        self.kind == "application" && self.sctp_port().is_some()
    }

    pub(super) fn sctp_port(&self) -> Option<&'a str> {
        if !self.protocol.ends_with("DTLS/SCTP") {
            return None;
        }
        let port = self.attribute("sctp-port").or_else(|| self.legacy_sctp_port());
        Some(port.filter(|port| port.parse::<u16>().is_ok()).unwrap_or("5000"))
    }

    /// Where the port stands in the place of the format: a section of before RFC 8841.
    pub(super) fn legacy_sctp_port(&self) -> Option<&'a str> {
        self.formats.first().copied().filter(|format| format.parse::<u16>().is_ok())
    }

    /// All that follows the line `m=`.
    pub(super) fn lines(&self) -> &[&'a str] {
        &self.lines
    }
}

/// Of lines `a=NAME` or `a=NAME:VALUE`, what stands behind the colon.
fn attributes<'a>(lines: &[&'a str], name: &str) -> impl Iterator<Item = &'a str> {
    lines.iter().filter_map(move |line| {
        let rest = line.strip_prefix("a=")?.strip_prefix(name)?;
        if rest.is_empty() { Some("") } else { rest.strip_prefix(':').map(str::trim) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_and_attributes_are_found() {
        let sdp = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\na=setup:actpass\r\nm=video 9/2 X 96 97\r\n\
                   a=mid: v \r\na=inactive\r\na=rtpmap:96 VP8/90000\r\na=fmtp:96\t x=1\r\na=midst:no\r\n\
                   m=audio 0 Y\n";
        let description = Description::read(sdp).unwrap();
        let [video, audio] = &description.sections[..] else { panic!("{description:?}") };
        assert_eq!((video.kind, video.port, video.protocol), ("video", 9, "X"));
        assert_eq!((&video.formats[..], audio.port), (&["96", "97"][..], 0));
        assert_eq!((video.attribute("mid"), video.has("inactive")), (Some("v"), true));
        assert_eq!(video.of_format("rtpmap", "96"), Some("VP8/90000"));
        assert_eq!(video.of_format("fmtp", "96"), Some("x=1"), "a tab is white space too");
        assert_eq!(description.of(video, "setup"), Some("actpass"));
        assert_eq!(description.lines(), ["o=- 1 1 IN IP4 0.0.0.0", "a=setup:actpass"]);
        assert!(!audio.has("mid") && audio.formats.is_empty());
    }

    #[test]
    fn what_is_no_description_is_refused_by_its_line() {
        for (sdp, line, problem) in [
            ("", 1, "v=0"),
            ("hello", 1, "v=0"),
            ("\r\nv=1", 2, "v=0"),
            ("v=0\r\nhello", 2, "a letter"),
            ("v=0\r\n\r\nM=video 9 X", 3, "a letter"),
            ("v=0\r\nab=x", 2, "a letter"),
            ("v=0\r\nm=video x Y", 2, "port"),
            ("\r\nv=0 \r\n\r\nm=video 65536 X", 4, "port"),
            ("v=0\r\n a=group:BUNDLE 0", 2, "a letter"),
            ("v=0\r\n\u{a0}a=group:BUNDLE 0", 2, "a letter"),
            ("v=0\r\na=x\ry", 2, "control"),
            ("v=0\r\na=x\0", 2, "control"),
        ] {
            let malformed = Description::read(sdp).unwrap_err();
            assert_eq!(malformed.line, line, "{sdp:?}");
            assert!(malformed.problem.contains(problem), "{sdp:?}: {malformed}");
        }
        assert!(Description::read("v=0").is_ok_and(|found| found.sections.is_empty()));
    }
}
