use super::*;

const CANDIDATE: &str = "a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host generation 0\r\n";
const CREDENTIALS: &str = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n";

/// As RFC 9725 has it in section 4.3.2.
fn trickled() -> String {
    let head = "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n";
    [head, CREDENTIALS, CANDIDATE, "a=end-of-candidates\r\n"].concat()
}

fn refused(text: &str) -> FragmentError {
    read(text.as_bytes()).map(drop).unwrap_err()
}

#[test]
fn candidates_and_credentials_are_found() {
    let (change, ignored) = read(trickled().as_bytes()).unwrap();
    let (ufrag, password) = change.credentials.unwrap();
    assert_eq!((&*ufrag, &*password, ignored), ("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1", 0));
    let [candidate] = &change.candidates[..] else { panic!("{:?}", change.candidates) };
    assert_eq!(format!("a={}\r\n", candidate.candidate), CANDIDATE);

    let (change, _) = read(CANDIDATE.as_bytes()).unwrap();
    assert_eq!((change.credentials, change.candidates.len()), (None, 1), "for the present session");
    let (change, _) = read(b"a=end-of-candidates").unwrap();
    assert!(change.candidates.is_empty());
}

#[test]
fn what_is_not_understood_of_candidates_is_left_out() {
    let others = ["1 1 sctp 1 192.0.2.1 9 typ host", "1 1 udp x 192.0.2.1 9 typ host", "nonsense"];
    let others: String = others.iter().map(|other| format!("a=candidate:{other}\r\n")).collect();
    let (change, ignored) = read((others + CANDIDATE).as_bytes()).unwrap();
    assert_eq!((change.candidates.len(), ignored), (1, 3));
}

#[test]
fn what_is_no_fragment_is_refused() {
    for empty in ["", "\r\n\r\n", "m=audio 9 X 1\r\na=mid:0\r\n", "v=0\r\n"] {
        assert_eq!(refused(empty), FragmentError::Empty, "{empty:?}");
    }
    assert_eq!(refused("a=mid:0\r\nhello\r\n"), FragmentError::Line(2));
    assert_eq!(refused("A=mid:0"), FragmentError::Line(1));
    assert_eq!(refused("a=candidate:1\u{0}"), FragmentError::Line(1));
    assert_eq!(read(b"a=mid:\xff").map(drop), Err(FragmentError::Text));
    assert_eq!(refused(&"a=x\r\n".repeat(10_000)), FragmentError::Text);
    for half in [
        "a=ice-ufrag:x",
        "a=ice-pwd:x",
        "a=ice-ufrag:\r\na=ice-pwd:x",
        "a=ice-ufrag:x y\r\na=ice-pwd:x",
        "a=ice-ufrag:x\r\na=ice-pwd:x\r\na=ice-ufrag:y",
    ] {
        assert_eq!(refused(half), FragmentError::Credentials, "{half:?}");
    }
    assert!(read(CREDENTIALS.repeat(2).as_bytes()).is_ok(), "one each section");
    assert!(read(CANDIDATE.repeat(MAX_CANDIDATES).as_bytes()).is_ok());
    let many = CANDIDATE.repeat(MAX_CANDIDATES + 1);
    assert_eq!(refused(&many), FragmentError::Candidates);
}

#[test]
fn our_side_is_told_in_the_section_that_has_the_transport() {
    let answer = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 1\r\n\
                  m=audio 0 X 111\r\na=ice-ufrag:no\r\na=ice-pwd:no\r\na=mid:0\r\n\
                  m=video 9 Y 96\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:ours\r\na=ice-pwd:secret\r\n\
                  a=rtpmap:96 VP8/90000\r\na=ice-options:trickle\r\na=mid:1\r\n\
                  a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=end-of-candidates\r\n\
                  m=application 9 Z 1\r\na=ice-ufrag:ours\r\na=mid:2\r\n";
    let expected = "a=group:BUNDLE 1\r\nm=video 9 Y 96\r\na=ice-ufrag:ours\r\na=ice-pwd:secret\r\n\
                    a=ice-options:trickle\r\na=mid:1\r\n\
                    a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=end-of-candidates\r\n";
    assert_eq!(of_answer(answer), expected);
    assert_eq!(of_answer("v=0\r\n"), "");
    let (change, ignored) = read(expected.as_bytes()).unwrap();
    assert_eq!((change.candidates.len(), ignored), (1, 0));
}
