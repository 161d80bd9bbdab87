//! The stack's answer becomes the client's: a section for each that was offered, in the client's
//! order and form. Pure.
//!
//! What shares the video's transport and is not taken is answered `inactive`, with the transport:
//! refused with port 0, a section that the bundle is tagged by would take the transport with it.
//! What has a transport of its own is refused.

use super::description::{DIRECTIONS, Description, Section, receives, sends};

/// Where the stack has SCTP, whatever the client names (RFC 8841, section 5).
const SCTP_PORT: &str = "5000";

/// How the sections of one offer are answered.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(super) sections: Vec<Planned>,
    /// The places of the sections that share the video's transport, in the order of their bundle;
    /// `None` without a bundle.
    pub(super) bundle: Option<Vec<usize>>,
    /// The place of the section that the transport is of.
    pub(super) tagged: usize,
    /// The place of the section that the answer must accept.
    pub(super) required: Option<usize>,
}

#[derive(Clone, Debug)]
pub(super) struct Planned {
    mid: Option<String>,
    /// As offered.
    kind: String,
    protocol: String,
    /// As offered: an answer must not have `a=rtcp-mux` otherwise (RFC 5761, section 5.1.1).
    is_muxed: bool,
    answer: SectionAnswer,
}

#[derive(Clone, Debug)]
enum SectionAnswer {
    /// Taken, as the stack answers the section of this name.
    Video {
        given: String,
        /// As it was offered.
        direction: &'static str,
    },
    /// In the form of before RFC 8841, or the present one.
    Data {
        is_legacy: bool,
    },
    /// The one format that the section is answered with, and its lines.
    Inactive {
        format: String,
        lines: Vec<String>,
    },
    Refused {
        formats: String,
    },
}

/// Our own answer is unusable, and why. The text is for whoever wrote the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer to `sdp` would have no video: {0}")]
pub(crate) struct NoAnswer(&'static str);

impl Planned {
    fn new(section: &Section<'_>, answer: SectionAnswer) -> Self {
        let (kind, protocol) = (section.kind.to_owned(), section.protocol.to_owned());
        let is_muxed = section.has("rtcp-mux");
        Self { mid: section.mid().map(str::to_owned), kind, protocol, is_muxed, answer }
    }

    /// `given`: the section's name, as the stack knows it.
    pub(super) fn video(section: &Section<'_>, given: String, direction: &'static str) -> Self {
        Self::new(section, SectionAnswer::Video { given, direction })
    }

    pub(super) fn data(section: &Section<'_>) -> Self {
        Self::new(section, SectionAnswer::Data { is_legacy: section.legacy_sctp_port().is_some() })
    }

    /// A client takes a section only with a format that it has offered itself.
    pub(super) fn inactive(section: &Section<'_>) -> Self {
        let is_repair = |format: &str| {
            let name = section.of_format("rtpmap", format).unwrap_or_default().to_ascii_lowercase();
            ["rtx/", "red/", "ulpfec/", "flexfec"].iter().any(|repair| name.starts_with(repair))
        };
        let Some(format) = section.formats.iter().find(|format| !is_repair(format)) else {
            return Self::refused(section);
        };
        let said = |name: &'static str| {
            section.of_format(name, format).map(|value| format!("a={name}:{format} {value}"))
        };
        let lines = said("rtpmap").into_iter().chain(said("fmtp")).collect();
        Self::new(section, SectionAnswer::Inactive { format: (*format).to_owned(), lines })
    }

    pub(super) fn refused(section: &Section<'_>) -> Self {
        let formats =
            if section.formats.is_empty() { "0".to_owned() } else { section.formats.join(" ") };
        Self::new(section, SectionAnswer::Refused { formats })
    }

    /// Whether it is so, whatever the stack answers.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self.answer, SectionAnswer::Refused { .. })
    }

    /// The section's lines, by the stack's answer; `None` where it is refused.
    fn answer(&self, ours: &Description<'_>, transport: &Section<'_>) -> Option<Vec<String>> {
        let taken = |section: &&Section<'_>| section.port != 0;
        let mut lines = vec![String::new()];
        let format = match &self.answer {
            SectionAnswer::Video { given, direction } => {
                let of_name = |section: &&Section<'_>| section.mid() == Some(given);
                let video = ours.sections.iter().find(of_name).filter(taken)?;
                let is_direction = |line: &String| {
                    DIRECTIONS.iter().any(|name| line.strip_prefix("a=") == Some(name))
                };
                lines.extend(own_lines(video).filter(|line| !is_direction(line)));
                lines.push(format!("a={}", common(ours.direction(video), direction)));
                video.formats.join(" ")
            }
            SectionAnswer::Data { is_legacy } => {
                let data = ours.sections.iter().find(|section| section.is_data()).filter(taken)?;
                let port = |line: &String| line.starts_with("a=sctp-port");
                lines.extend(own_lines(data).filter(|line| !is_legacy || !port(line)));
                if *is_legacy {
                    lines.push(format!("a=sctpmap:{SCTP_PORT} webrtc-datachannel 65535"));
                    SCTP_PORT.to_owned()
                } else {
                    "webrtc-datachannel".to_owned()
                }
            }
            SectionAnswer::Inactive { format, lines: said } => {
                lines.extend(own_lines(transport).filter(|line| is_transport(line)));
                lines.extend(["a=rtcp-mux", "a=inactive"].map(str::to_owned));
                lines.extend(said.iter().cloned());
                format.clone()
            }
            SectionAnswer::Refused { .. } => return None,
        };
        lines[0] = format!("m={} 9 {} {format}", self.kind, self.protocol);
        lines.extend(self.mid_line());
        Some(lines)
    }

    /// With the transport's lines, which mean nothing here: aiortc and webrtcbin refuse an answer
    /// that has a section without. Firefox wants `c=` in each.
    fn refuse(&self, transport: &Section<'_>) -> Vec<String> {
        let formats = match &self.answer {
            SectionAnswer::Refused { formats } => formats,
            _ => "0",
        };
        let mut lines = vec![format!("m={} 0 {} {formats}", self.kind, self.protocol)];
        lines.extend(own_lines(transport).filter(|line| is_transport(line)));
        lines.extend(self.is_muxed.then(|| "a=rtcp-mux".to_owned()));
        lines.push("a=inactive".to_owned());
        lines.extend(self.mid_line());
        lines
    }

    fn mid_line(&self) -> Option<String> {
        self.mid.as_ref().map(|mid| format!("a=mid:{mid}"))
    }
}

impl Plan {
    /// How many there are.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn sections(&self) -> usize {
        self.sections.len()
    }

    /// The answer to the client, from the stack's, with `candidates` of ours, lines.
    ///
    /// # Errors
    /// The stack does not take the video that was asked for: said at once, a client is spared a
    /// connection that never shows anything.
    pub(crate) fn answer(&self, stack: &str, candidates: &str) -> Result<String, NoAnswer> {
        let ours =
            Description::read(stack).map_err(|_| NoAnswer("it is no session description"))?;
        // Each has the transport; which one does not matter.
        let transport = ours.sections.first().ok_or(NoAnswer("it has no section"))?;
        let (mut bodies, mut accepted) = (Vec::new(), Vec::new());
        for (place, planned) in self.sections.iter().enumerate() {
            let body = planned.answer(&ours, transport);
            if self.required == Some(place) {
                check(&ours, body.as_deref())?;
            }
            if body.is_some() {
                accepted.push(place);
            }
            bodies.push(body.unwrap_or_else(|| planned.refuse(transport)));
        }
        let mut lines = vec!["v=0".to_owned()];
        let left_out = |line: &&&str| line.starts_with("a=group:") || is_candidate(line);
        let own = ours.lines().iter().filter(|line| !left_out(line));
        lines.extend(own.map(|line| (*line).to_owned()));
        if let Some(bundle) = &self.bundle {
            let mids = bundle.iter().filter(|place| accepted.contains(place));
            let mids = mids.filter_map(|place| self.sections[*place].mid.as_deref());
            lines.push(format!("a=group:BUNDLE {}", mids.collect::<Vec<_>>().join(" ")));
        }
        // They belong in the first section of the bundle that is accepted (RFC 9143, section
        // 7.3.1). But aiortc looks in the last, and other clients ignore what they have already.
        let shared = self.bundle.clone().unwrap_or_else(|| vec![self.tagged]);
        for (place, body) in bodies.into_iter().enumerate() {
            lines.extend(body);
            if shared.contains(&place) && accepted.contains(&place) {
                lines.extend(candidates.lines().map(str::to_owned));
            }
        }
        lines.push(String::new());
        Ok(lines.join("\r\n"))
    }
}

/// What both sides of a section want, from our side.
fn common(ours: &str, theirs: &str) -> &'static str {
    match (sends(ours) && receives(theirs), receives(ours) && sends(theirs)) {
        (true, true) => "sendrecv",
        (true, false) => "sendonly",
        (false, true) => "recvonly",
        (false, false) => "inactive",
    }
}

/// Reads the section of the video back, as a client will.
fn check(ours: &Description<'_>, body: Option<&[String]>) -> Result<(), NoAnswer> {
    let text = format!("v=0\r\n{}", body.ok_or(NoAnswer("it is refused"))?.join("\r\n"));
    let read = Description::read(&text).ok();
    let video = read.as_ref().and_then(|read| read.sections.first());
    let video = video.ok_or(NoAnswer("its section is malformed"))?;
    if video.port == 0 || video.formats.is_empty() || video.has("inactive") {
        return Err(NoAnswer("its section is refused"));
    }
    let has = |name: &str| video.has(name) || ours.attributes(name).next().is_some();
    if ["ice-ufrag", "ice-pwd", "fingerprint", "setup"].into_iter().all(has) {
        Ok(())
    } else {
        Err(NoAnswer("its section has no transport"))
    }
}

/// What the stack said of a section, but its name and the candidates, which are of addresses that
/// nobody can reach.
fn own_lines(section: &Section<'_>) -> impl Iterator<Item = String> {
    let left_out = |line: &&&str| line.starts_with("a=mid:") || is_candidate(line);
    let kept = section.lines().iter().filter(move |line| !left_out(line));
    kept.map(|line| (*line).to_owned())
}

fn is_candidate(line: &str) -> bool {
    ["a=candidate:", "a=end-of-candidates"].iter().any(|start| line.starts_with(start))
}

fn is_transport(line: &str) -> bool {
    ["c=", "a=setup:", "a=ice-", "a=fingerprint:"].iter().any(|start| line.starts_with(start))
}
