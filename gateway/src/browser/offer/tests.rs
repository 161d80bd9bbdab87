use super::*;

/// What every client says above its sections, in one way or the other.
fn transport() -> String {
    format!("a=ice-ufrag:user\r\na=ice-pwd:secret\r\na=fingerprint:{FINGERPRINT}\r\n")
}

pub(super) const FINGERPRINT: &str = "sha-256 AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:\
    AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB";

const VP8: &str = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\na=rtcp-mux\r\n";

fn sdp(media: &str) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n{}{media}", transport())
}

fn checked(sdp: &str, mode: Mode) -> Result<(), OfferError> {
    parse(sdp.to_owned())?.negotiate(mode, &Codecs::Browsers).map(drop)
}

fn verdict(media: &str) -> Result<(), OfferError> {
    checked(&sdp(media), Mode::SendReceive)
}

#[test]
fn tells_what_is_missing() {
    let video = VP8;
    assert_eq!(verdict(video), Ok(()));
    assert_eq!(verdict(&video.replace("a=rtcp-mux\r\n", "")), Err(OfferError::RtcpMux));
    assert_eq!(verdict(&format!("a=rtcp-mux\r\n{}", video.replace("a=rtcp-mux\r\n", ""))), Ok(()));
    assert_eq!(
        verdict("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n"),
        Err(OfferError::NoVideo)
    );
    assert_eq!(verdict(""), Err(OfferError::NoVideo));
    assert_eq!(verdict(&video.replace("video 9", "video 0")), Err(OfferError::NoVideo));
    assert_eq!(
        verdict(&video.replace("VP8", "AV1")),
        Err(OfferError::NoCodec("VP8, VP9, H264".into()))
    );
    assert_eq!(
        verdict(&format!("{video}a=recvonly\r\n")),
        Err(OfferError::Direction("recvonly", "sendrecv"))
    );
    assert_eq!(verdict(&video.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP")), Err(OfferError::Protocol));
    assert_eq!(verdict(&format!("{video}a=setup:holdconn\r\n")), Err(OfferError::Setup));
    for name in ["ice-ufrag", "ice-pwd", "fingerprint"] {
        let without = sdp(video).replace(&format!("a={name}:"), "a=nothing:");
        assert_eq!(checked(&without, Mode::SendReceive), Err(OfferError::Missing(name)));
    }
    for (name, value) in [("ice-ufrag", "user"), ("ice-pwd", "secret")] {
        let empty = sdp(video).replace(&format!("a={name}:{value}"), &format!("a={name}:"));
        assert_eq!(checked(&empty, Mode::SendReceive), Err(OfferError::Missing(name)), "{empty}");
    }
    for (sdp, line) in [("hello", 1), ("", 1), ("v=0\r\no=-\r\nhello", 3)] {
        let text = checked(sdp, Mode::Send).unwrap_err().to_string();
        let expected = format!("`sdp` is not a session description: line {line} is not ");
        assert!(text.starts_with(&expected), "{text}");
    }
}

#[test]
fn a_certificate_is_known_by_its_sha_256() {
    let with = |fingerprints: &str| {
        let lines = fingerprints.split('|').map(|one| format!("a=fingerprint:{one}\r\n"));
        let sdp = sdp(VP8)
            .replace(&format!("a=fingerprint:{FINGERPRINT}\r\n"), &lines.collect::<String>());
        parse(sdp)?.negotiate(Mode::SendReceive, &Codecs::Browsers)
    };
    let (_, value) = FINGERPRINT.split_once(' ').unwrap();
    let small = value.to_lowercase();
    for fingerprints in [
        format!("SHA-256 {value}"),
        format!("sha-256   {small} "),
        format!("sha-512 AB|sha-1 AB:CD|sha-256 {value}"),
    ] {
        let offer = with(&fingerprints).unwrap();
        let given = offer.sdp().to_ascii_uppercase();
        assert!(offer.sdp().contains("a=fingerprint:sha-256 "), "{fingerprints}");
        assert!(given.contains(&FINGERPRINT.to_ascii_uppercase()), "{fingerprints}");
    }
    for fingerprints in [
        "none",
        "sha-1 AB:CD",
        "sha-256",
        "sha-256 AB:CD",
        &format!("sha-256 {value}:AB"),
        &value.replace("AB", "GH"),
    ] {
        assert_eq!(with(fingerprints).unwrap_err(), OfferError::Fingerprint, "{fingerprints}");
    }
}

#[test]
fn of_several_videos_the_first_that_fits_is_taken() {
    let other = VP8.replace("96", "98");
    let two = |first: &str, second: &str| {
        format!("{VP8}a=mid:a\r\na={first}\r\n{other}a=mid:b\r\na={second}\r\n")
    };
    // By the payload type, of which each section has another.
    let taken = |media: &str| {
        let offer = parse(sdp(media)).unwrap().negotiate(Mode::SendReceive, &Codecs::Browsers);
        offer.map(|offer| offer.codec.payload_type)
    };
    assert_eq!(taken(&two("sendrecv", "sendrecv")), Ok(96));
    assert_eq!(taken(&two("recvonly", "sendrecv")), Ok(98));
    let neither = Err(OfferError::Direction("inactive", "sendrecv"));
    assert_eq!(taken(&two("inactive", "sendonly")), neither);
    let refused = VP8.replace("video 9", "video 0");
    assert_eq!(taken(&format!("{refused}{other}a=mid:c\r\n")), Ok(98));
}

#[test]
fn an_offer_of_another_certificate_is_another_connections() {
    let origin = |version: u32, fingerprint: &str| {
        let offer = format!(
            "v=0\r\no=- 7 {version} IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n{fingerprint}m=video 9 X\r\n"
        );
        parse(offer).unwrap().origin()
    };
    let first = origin(1, "a=fingerprint:sha-256 AB:CD\r\n");
    assert!(first.is_some() && first == origin(2, "a=fingerprint:sha-256 AB:CD\r\n"));
    assert_ne!(first, origin(2, "a=fingerprint:sha-256 AB:CE\r\n"));
    assert_eq!(origin(1, ""), None, "it has no fingerprint");
}

#[test]
fn ice_credentials_have_a_length() {
    let offer = |ufrag: usize, password: usize| {
        let credentials =
            format!("a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", "u".repeat(ufrag), "p".repeat(password));
        // Wherever they stand.
        [format!("{credentials}{VP8}"), format!("{VP8}{credentials}")].map(|media| verdict(&media))
    };
    assert_eq!(offer(MAX_UFRAG_BYTES, MAX_PASSWORD_BYTES), [Ok(()), Ok(())]);
    for (ufrag, password, attribute) in
        [(33, 64, "ice-ufrag"), (256, 256, "ice-ufrag"), (32, 65, "ice-pwd")]
    {
        for verdict in offer(ufrag, password) {
            let text = verdict.unwrap_err().to_string();
            let expected = format!("`a={attribute}` in `sdp` is longer than ");
            assert!(text.starts_with(&expected), "{text}");
        }
    }
    assert!(parse(sdp(&format!("a=ice-pwd:{}\r\n", "p".repeat(65)))).is_err(), "further ones too");
}

#[test]
fn each_mode_needs_its_direction_and_takes_both_ways() {
    for (mode, needed, other) in
        [(Mode::Receive, "recvonly", "sendonly"), (Mode::Send, "sendonly", "recvonly")]
    {
        let verdict = |direction: &str| checked(&sdp(&format!("{VP8}a={direction}\r\n")), mode);
        assert_eq!((verdict(needed), verdict("sendrecv")), (Ok(()), Ok(())));
        assert!(matches!(verdict(other), Err(OfferError::Direction(..))));
        assert_eq!(verdict("inactive"), Err(OfferError::Direction("inactive", needed)));
        assert_eq!(checked(&sdp(VP8), mode), Ok(()), "without a word of it: both ways");
    }
}

#[test]
fn takes_candidates_with_and_without_the_trailing_fields() {
    for good in [
        "candidate:1 1 udp 2122260223 192.0.2.1 50000 typ host generation 0 ufrag abcd",
        "candidate:1 1 udp 2122260223 a-name.local 50000 typ host",
        "1 1 TCP 1 2001:db8::1 9 typ host tcptype active",
        "candidate:1 1 udp 1 192.0.2.1 50000 typ srflx raddr 10.0.0.1 rport 1",
    ] {
        assert!(is_candidate(good), "{good}");
    }
    for bad in [
        "",
        "candidate:",
        "candidate:1 1 udp x 192.0.2.1 50000 typ host",
        "candidate:1 1 udp 1 h 70000 typ host",
        "candidate:1 1 udp 1 192.0.2.1 50000 typ other",
        "candidate:1 1 ssltcp 1 192.0.2.1 443 typ host",
        "candidate:1 1 udp 1 192.0.2.1 50000 typ srflx raddr 10.0.0.1",
        "candidate:1 1 udp 4294967296 192.0.2.1 50000 typ host",
        "candidate:1 1 udp 1 fe80::1%eth0 50000 typ host",
    ] {
        assert!(!is_candidate(bad), "{bad}");
    }
}
