//! The body of a PATCH: a fragment of SDP with what ICE needs (RFC 8840, section 9). Pure.

use rtc::peer_connection::transport::RTCIceCandidateInit;

use crate::browser::offer::is_candidate;
use crate::gateway::IceChange;

/// The longest fragment, in bytes: 64 candidates of the longest that are read.
const MAX_BYTES: usize = 32 * 1024;
/// The most candidates, as in a section of an offer.
const MAX_CANDIDATES: usize = 64;

/// Why a fragment is refused. The text is for the client's author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FragmentError {
    #[error("the body is not UTF-8, or has more than {MAX_BYTES} bytes")]
    Text,
    #[error("line {0} of the fragment is not a letter, `=` and a value")]
    Line(usize),
    #[error("the fragment has neither candidates nor credentials (`a=ice-ufrag`, `a=ice-pwd`)")]
    Empty,
    #[error("the fragment must have both `a=ice-ufrag` and `a=ice-pwd`, the same in each section")]
    Credentials,
    #[error("the fragment has more than {MAX_CANDIDATES} candidates")]
    Candidates,
}

/// What a fragment changes, and how many of its candidates are not understood.
///
/// # Errors
/// The body is not a fragment.
pub(super) fn read(body: &[u8]) -> Result<(IceChange, usize), FragmentError> {
    let text = std::str::from_utf8(body).ok().filter(|text| text.len() <= MAX_BYTES);
    let (mut change, mut ignored, mut ended) = (IceChange::default(), 0, false);
    let (mut ufrag, mut password) = (None, None);
    for (number, line) in text.ok_or(FragmentError::Text)?.lines().enumerate() {
        let line = line.trim_end();
        if line.is_empty() {
            continue;
        }
        let value = match line.as_bytes() {
            [b'a'..=b'z', b'=', ..] if !line.chars().any(char::is_control) => &line[2..],
            _ => return Err(FragmentError::Line(number + 1)),
        };
        let (name, value) = value.split_once(':').unwrap_or((value, ""));
        match name {
            _ if !line.starts_with("a=") => {}
            "ice-ufrag" => same(&mut ufrag, value)?,
            "ice-pwd" => same(&mut password, value)?,
            "end-of-candidates" => ended = true,
            "candidate" if change.candidates.len() + ignored == MAX_CANDIDATES => {
                return Err(FragmentError::Candidates);
            }
            // Silently, as section 4.3.2 of RFC 9725 has it.
            "candidate" if !is_candidate(value) => ignored += 1,
            // Of the first section: there is one transport.
            "candidate" => change.candidates.push(RTCIceCandidateInit {
                candidate: format!("candidate:{value}"),
                sdp_mline_index: Some(0),
                ..Default::default()
            }),
            _ => {}
        }
    }
    change.credentials = match (ufrag, password) {
        (Some(ufrag), Some(password)) => Some((ufrag.to_owned(), password.to_owned())),
        (None, None) => None,
        _ => return Err(FragmentError::Credentials),
    };
    let says = ended || ignored > 0 || !change.candidates.is_empty();
    if says || change.credentials.is_some() {
        Ok((change, ignored))
    } else {
        Err(FragmentError::Empty)
    }
}

/// A credential, of characters that ICE has (RFC 8839, section 5.4).
fn same<'a>(known: &mut Option<&'a str>, value: &'a str) -> Result<(), FragmentError> {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
    let fits = !value.is_empty() && value.bytes().all(plain);
    if !fits || known.is_some_and(|known| known != value) {
        return Err(FragmentError::Credentials);
    }
    *known = Some(value);
    Ok(())
}

/// What a client is told of our side after a restart: of our whole answer, what ICE needs, in the
/// first section that has it.
pub(super) fn of_answer(sdp: &str) -> String {
    const KEPT: [&str; 6] =
        ["a=mid:", "a=ice-ufrag:", "a=ice-pwd:", "a=ice-options:", "a=candidate:", "a=end-of-"];
    let is_group = |line: &&str| line.starts_with("a=group:BUNDLE") || line.starts_with("a=ice-");
    let first = sdp.find("\nm=").map_or(sdp.len(), |at| at + 1);
    let (above, sections) = sdp.split_at(first);
    let is_taken = |section: &&str| {
        section.split_whitespace().nth(1).is_some_and(|port| port != "0")
            && section.contains("\na=ice-ufrag:")
    };
    let starts =
        sections.match_indices("m=").filter(|(at, _)| *at == 0 || sections[..*at].ends_with('\n'));
    let starts: Vec<usize> = starts.map(|(at, _)| at).collect();
    let ends = starts.iter().skip(1).copied().chain([sections.len()]);
    let taken = starts.iter().zip(ends).map(|(start, end)| &sections[*start..end]).find(is_taken);
    let kept =
        |line: &&str| line.starts_with("m=") || KEPT.iter().any(|start| line.starts_with(start));
    let lines = above.lines().filter(is_group);
    let lines = lines.chain(taken.unwrap_or_default().lines().filter(kept));
    lines.flat_map(|line| [line, "\r\n"]).collect()
}

#[cfg(test)]
#[path = "fragment_tests.rs"]
mod tests;
