use super::*;
use crate::browser::peer::corpus::corpus;

/// In one section of an offer by a machine with more codecs, of which the corpus has none (its
/// README says where from).
const PAYLOAD_TYPES_ELSEWHERE: usize = 36;

/// Without the sections that were stopped: how many there are of them depends on what was stopped
/// at once.
fn in_use(sdp: &str) -> usize {
    sdp.lines().filter(|line| line.starts_with("m=") && line.split(' ').nth(1) != Some("0")).count()
}

#[test]
fn twice_the_largest_offer_of_any_browser_is_taken() {
    // What is written by hand is nobody's.
    let of_clients = |name: &String| !name.starts_with("written-");
    let corpus: Vec<_> = corpus().into_iter().filter(|(name, _)| of_clients(name)).collect();
    for client in ["chromium", "firefox", "aiortc", "gstreamer", "werift", "str0m"] {
        assert!(corpus.iter().any(|(name, _)| name.starts_with(client)), "no offer of {client}");
    }
    assert!(2 * PAYLOAD_TYPES_ELSEWHERE <= Part::PayloadTypes.most());
    for (name, sdp) in corpus {
        assert_eq!(check(&sdp), Ok(()), "{name}");
        let sizes = measure(&sdp);
        for part in Part::ALL {
            let size = if part == Part::Sections { in_use(&sdp) } else { sizes[part as usize] };
            assert!(
                2 * size <= part.most(),
                "{name} has {size} {}: twice that is above the bound",
                part.noun()
            );
        }
        for part in
            [Part::Lines, Part::LineBytes, Part::Sections, Part::PayloadTypes, Part::Fingerprints]
        {
            assert!(
                sizes[part as usize] > 0,
                "{name} has no {}, or they are not counted",
                part.noun()
            );
        }
    }
}

/// An offer with so many of one part, and few of any other.
fn with(part: Part, count: usize) -> String {
    let head = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";
    let section = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n";
    let repeated = |line: &str| format!("{head}{section}{}", line.repeat(count));
    match part {
        Part::Bytes => {
            let mut sdp = format!("{head}{section}");
            // In lines that are not too many.
            while sdp.len() < count {
                let line = 500.min(count - sdp.len());
                sdp.push_str(&"x".repeat(line - 1));
                sdp.push('\n');
            }
            sdp
        }
        Part::Lines => format!("{head}{section}{}", "a=x\r\n".repeat(count - 5)),
        Part::LineBytes => format!("{head}{section}a={}\r\n", "x".repeat(count - 2)),
        Part::Sections => format!("{head}{}", section.repeat(count)),
        Part::PayloadTypes => {
            format!("{head}m=video 9 UDP/TLS/RTP/SAVPF{}\r\n", " 96".repeat(count))
        }
        Part::Extensions => repeated("a=extmap:1 urn:x\r\n"),
        Part::Sources => repeated("a=ssrc:1 cname:x\r\n"),
        Part::Layers => repeated("a=rid:a send\r\n"),
        Part::Candidates => repeated("a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n"),
        Part::Fingerprints => repeated("a=fingerprint:sha-256 00\r\n"),
        Part::Groups => format!("{head}{}{section}", "a=group:LS 0\r\n".repeat(count)),
        Part::GroupTags => format!("{head}a=group:BUNDLE{}\r\n{section}", " 0".repeat(count)),
    }
}

#[test]
fn each_bound_is_exact_and_named() {
    for part in Part::ALL {
        let most = part.most();
        assert_eq!(check(&with(part, most)), Ok(()), "{part:?}");
        let refused = check(&with(part, most + 1)).unwrap_err();
        assert_eq!(refused, TooMuch { part, found: most + 1 });
        let text = refused.to_string();
        assert!(
            text.contains(&format!("{} {}", most + 1, part.noun()))
                && text.contains(&most.to_string()),
            "{text}"
        );
    }
    let text = TooMuch { part: Part::Sections, found: 2_400 }.to_string();
    assert_eq!(text, "`sdp` has 2400 sections (`m=`); at most 8 are taken");
}

/// The stack skips carriage returns before a line, and space around a value.
#[test]
fn what_the_stack_would_read_is_counted() {
    for part in [Part::Sections, Part::Candidates, Part::Extensions] {
        let most = part.most();
        for (from, to) in
            [("\r\nm=", "\n\rm="), ("\r\na=", "\n\r\ra= "), ("\r\n", "\n"), ("\r\n", "\r\r\n")]
        {
            let sdp = with(part, most + 1).replace(from, to);
            assert_eq!(check(&sdp).map_err(|refused| refused.part), Err(part), "{to:?}");
        }
    }
    // A section's own, not the offer's.
    let one = with(Part::Candidates, Part::Candidates.most());
    let (_, section) = one.split_once("m=").unwrap();
    assert_eq!(check(&format!("{one}m={section}")), Ok(()));
}
