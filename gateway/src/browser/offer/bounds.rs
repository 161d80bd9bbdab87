//! How much an offer may hold: looked at before anything else reads it, as the stack and our own
//! code walk its lines many times, and one that refuses costs no more than to count. Pure.
//!
//! Each bound is at least twice what the largest offers of browsers hold (`tests/corpus/offers`,
//! held by a test here).

/// What is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Bytes,
    Lines,
    LineBytes,
    Sections,
    PayloadTypes,
    Extensions,
    Sources,
    Layers,
    Candidates,
    Fingerprints,
    Groups,
    GroupTags,
}

/// More than any browser offers; the text is for whoever wrote the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`sdp` has {found} {}; at most {} are taken", .part.noun(), .part.most())]
pub(crate) struct TooMuch {
    part: Part,
    found: usize,
}

/// The largest of each, by [`Part`].
type Sizes = [usize; Part::ALL.len()];

/// Whether every part is within its bound.
///
/// # Errors
/// Names the first that is not.
pub(crate) fn check(sdp: &str) -> Result<(), TooMuch> {
    if sdp.len() > Part::Bytes.most() {
        return Err(TooMuch { part: Part::Bytes, found: sdp.len() });
    }
    let sizes = measure(sdp);
    let found = |part: Part| sizes[part as usize];
    Part::ALL
        .into_iter()
        .find(|part| found(*part) > part.most())
        .map_or(Ok(()), |part| Err(TooMuch { part, found: found(part) }))
}

impl Part {
    const ALL: [Self; 12] = [
        Self::Bytes,
        Self::Lines,
        Self::LineBytes,
        Self::Sections,
        Self::PayloadTypes,
        Self::Extensions,
        Self::Sources,
        Self::Layers,
        Self::Candidates,
        Self::Fingerprints,
        Self::Groups,
        Self::GroupTags,
    ];

    /// The bound.
    const fn most(self) -> usize {
        match self {
            Self::Bytes => 64 * 1024,
            Self::Lines => 2048,
            // Candidates with host names, and the m= line of a section with all its payload types.
            Self::LineBytes => 1024,
            // Microphone, camera, screen and a data channel; those that were stopped go on until
            // their places are used.
            Self::Sections => 8,
            // As many as there are (RFC 3550, section 5.1).
            Self::PayloadTypes => 128,
            // As many identifiers as an extension with one byte has, four times.
            Self::Extensions => 64,
            // Lines: up to four for each of three layers and their retransmissions.
            Self::Sources => 64,
            Self::Layers => 16,
            Self::Candidates => 64,
            // One for each hash function (RFC 8122, section 5).
            Self::Fingerprints => 8,
            Self::Groups => 4,
            Self::GroupTags => 16,
        }
    }

    const fn noun(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Lines => "lines",
            Self::LineBytes => "bytes in one line",
            Self::Sections => "sections (`m=`)",
            Self::PayloadTypes => "payload types in one section",
            Self::Extensions => "header extensions (`a=extmap`) in one section",
            Self::Sources => "lines `a=ssrc` and `a=ssrc-group` in one section",
            Self::Layers => "layers (`a=rid`) in one section",
            Self::Candidates => "candidates in one section",
            Self::Fingerprints => "fingerprints in one section",
            Self::Groups => "groups (`a=group`)",
            Self::GroupTags => "sections in one group",
        }
    }
}

/// Reads it as the stack does: a line ends with a line feed, whatever stands before that, and
/// values may have space around them.
fn measure(sdp: &str) -> Sizes {
    let mut sizes = Sizes::default();
    sizes[Part::Bytes as usize] = sdp.len();
    // Of the section that is being read, or of what comes before the first.
    let mut section = Sizes::default();
    for line in sdp.lines() {
        sizes[Part::Lines as usize] += 1;
        raise(&mut sizes, Part::LineBytes, line.len());
        let line = line.trim_start_matches('\r');
        if let Some(media) = line.strip_prefix("m=") {
            sizes[Part::Sections as usize] += 1;
            // Kind, port and protocol come before them.
            raise(
                &mut sizes,
                Part::PayloadTypes,
                media.split_whitespace().count().saturating_sub(3),
            );
            section = Sizes::default();
        }
        let Some((name, value)) =
            line.strip_prefix("a=").and_then(|attribute| attribute.trim().split_once(':'))
        else {
            continue;
        };
        let part = match name {
            "extmap" => Part::Extensions,
            "ssrc" | "ssrc-group" => Part::Sources,
            "rid" => Part::Layers,
            "candidate" => Part::Candidates,
            "fingerprint" => Part::Fingerprints,
            "group" => {
                // The kind comes before them.
                raise(
                    &mut sizes,
                    Part::GroupTags,
                    value.split_whitespace().count().saturating_sub(1),
                );
                Part::Groups
            }
            _ => continue,
        };
        section[part as usize] += 1;
        raise(&mut sizes, part, section[part as usize]);
    }
    sizes
}

fn raise(sizes: &mut Sizes, part: Part, to: usize) {
    let size = &mut sizes[part as usize];
    *size = to.max(*size);
}

#[cfg(test)]
#[path = "bounds_tests.rs"]
mod tests;
