//! Offers of every kind that clients make, and the one form that they get.

use rtc::peer_connection::sdp::RTCSessionDescription;

use crate::browser::offer::tests::FINGERPRINT;
use crate::browser::offer::{Offer, OfferError, parse};
use crate::codec::Codecs;
use crate::stream::spec::Mode;

const OURS: &str = "a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\na=end-of-candidates\r\n";

const AUDIO: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n\
    a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10\r\na=rtcp-mux\r\na=sendrecv\r\n";
const VIDEO: &str = "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\n\
    a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack pli\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n\
    a=extmap:4 urn:3gpp:video-orientation\r\na=rtcp-mux\r\na=sendrecv\r\na=ssrc:7 cname:x\r\n";
const DATA: &str = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n\
    a=mid:2\r\na=sctp-port:5000\r\n";

fn transport(user: &str) -> String {
    format!(
        "a=ice-ufrag:{user}\r\na=ice-pwd:secret-of-{user}\r\na=fingerprint:{FINGERPRINT}\r\n\
         a=setup:actpass\r\n"
    )
}

/// An offer of sections that each have a transport, as browsers write it.
fn offer(group: &str, sections: &[(&str, &str)]) -> String {
    let mut sdp = format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n{group}");
    for (section, user) in sections {
        let transport = if user.is_empty() { String::new() } else { transport(user) };
        sdp.push_str(&format!("{section}{transport}"));
    }
    sdp
}

fn normal(sdp: &str) -> Result<Offer, OfferError> {
    parse(sdp.to_owned())?.negotiate(Mode::SendReceive, &Codecs::Browsers)
}

/// As the stack answers what it is given, with its own transport.
fn stack(given: &str) -> String {
    let kept = given.lines().filter(|line| {
        !["a=ice-", "a=fingerprint", "a=setup", "a=msid", "a=candidate", "a=ssrc"]
            .iter()
            .any(|no| line.starts_with(no))
    });
    let ours = "a=ice-ufrag:ours\r\na=ice-pwd:our-secret\r\na=setup:active\r\n";
    let mut answer = String::new();
    for line in kept {
        if line.starts_with("m=") {
            answer = answer.replace("@", ours);
        }
        answer.push_str(&format!("{line}\r\n"));
        if line.starts_with("m=") {
            answer.push('@');
        }
    }
    answer.replace("@", ours).replace("t=0 0\r\n", "t=0 0\r\na=fingerprint:sha-256 FF\r\n")
}

/// What the client is told: the line `m=` of each section, whether it is in the bundle, and its
/// direction.
fn answered(sdp: &str) -> Vec<String> {
    let offer = normal(sdp).unwrap();
    let read = RTCSessionDescription::offer(offer.sdp().to_owned()).unwrap().unmarshal();
    assert!(read.is_ok(), "the stack cannot read {}", offer.sdp());
    let answer = offer.plan.answer(&stack(offer.sdp()), OURS).unwrap();
    let read = RTCSessionDescription::answer(answer.clone()).unwrap().unmarshal().unwrap();
    let taken = read.media_descriptions.iter().filter(|media| media.media_name.port.value != 0);
    assert_eq!(answer.matches(OURS).count(), taken.count(), "each on the transport: {answer}");
    let group = read.attribute("group").map(String::as_str).unwrap_or_default().to_owned();
    let sections = read.media_descriptions.iter().map(|section| {
        let mid = section.attribute("mid").flatten().unwrap_or("-");
        let bundled = if group.split(' ').any(|tag| tag == mid) { " bundled" } else { "" };
        let direction =
            ["sendrecv", "inactive"].into_iter().find(|name| section.has_attribute(name));
        let transport = if section.has_attribute("ice-ufrag") { " ours" } else { "" };
        format!("{} {mid}{bundled} {}{transport}", section.media_name, direction.unwrap_or("-"))
    });
    sections.collect()
}

const TAKEN: &str = "video 9 UDP/TLS/RTP/SAVPF 96 1 bundled sendrecv ours";

#[test]
fn the_stack_is_given_two_sections_in_one_form() {
    let sdp = offer(
        "a=group:BUNDLE 0 1 2\r\na=extmap-allow-mixed\r\n",
        &[(AUDIO, "a"), (VIDEO, "a"), (DATA, "a")],
    );
    let expected = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE video data\r\n\
        a=extmap-allow-mixed\r\na=fingerprint:@\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n\
        c=IN IP4 0.0.0.0\r\na=mid:video\r\na=setup:actpass\r\na=ice-ufrag:a\r\na=ice-pwd:secret-of-a\r\n\
        a=ice-options:trickle\r\na=rtcp-mux\r\na=sendrecv\r\na=msid:- theirs-video\r\n\
        a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack pli\r\na=extmap:4 urn:3gpp:video-orientation\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:data\r\n\
        a=setup:actpass\r\na=ice-ufrag:a\r\na=ice-pwd:secret-of-a\r\na=ice-options:trickle\r\n\
        a=sctp-port:5000\r\n";
    assert_eq!(normal(&sdp).unwrap().sdp(), expected.replace('@', FINGERPRINT));
}

#[test]
fn a_microphone_beside_the_camera_is_answered_and_not_taken() {
    let inactive = "audio 9 UDP/TLS/RTP/SAVPF 111 0 bundled inactive ours";
    let data = "application 9 UDP/DTLS/SCTP webrtc-datachannel 2 bundled - ours";
    let usual = offer("a=group:BUNDLE 0 1 2\r\n", &[(AUDIO, "a"), (VIDEO, "a"), (DATA, "a")]);
    assert_eq!(answered(&usual), [inactive, TAKEN, data]);
    // max-bundle: only the first section has a port and a transport of its own.
    let bundle_only = VIDEO.replace("video 9", "video 0") + "a=bundle-only\r\n";
    let max = offer("a=group:BUNDLE 0 1\r\n", &[(AUDIO, "a"), (&bundle_only, "")]);
    assert_eq!(answered(&max), [inactive, TAKEN]);
    assert!(normal(&max).unwrap().sdp().contains("a=ice-ufrag:a\r\n"));
}

#[test]
fn of_a_bundle_with_several_users_the_first_sections_counts() {
    let sections = [(AUDIO, "a"), (VIDEO, "v"), (DATA, "d")];
    for (group, user, first) in [
        ("a=group:BUNDLE 0 1 2\r\n", "a", "audio"),
        ("a=group:BUNDLE 2 1 0\r\n", "d", "application"),
        ("a=group:LS 0 1\r\na=group:BUNDLE 1 2\r\n", "v", "video"),
    ] {
        let offer = normal(&offer(group, &sections)).unwrap();
        assert_eq!(offer.ufrag(), Some(user));
        // The answer's bundle begins with the same section. Our candidates are there, and in the
        // bundle's others: aiortc looks in the last.
        let answer = offer.plan.answer(&stack(offer.sdp()), OURS).unwrap();
        let bundle = group.lines().last().unwrap();
        assert!(answer.contains(&format!("{bundle}\r\n")), "{answer}");
        let sections = answer.split("\r\nm=").filter(|section| section.contains("a=candidate"));
        let sections: Vec<&str> = sections.collect();
        assert_eq!(sections.len(), bundle.split(' ').count() - 1, "{answer}");
        assert!(sections.iter().any(|section| section.starts_with(first)), "{answer}");
        assert!(sections.iter().all(|section| section.contains("a=end-of-candidates")));
    }
}

/// The transport of a section that is refused goes with it.
#[test]
fn a_bundle_that_begins_with_what_is_refused_has_the_next_ones_transport() {
    let other = "m=message 9 TCP/MSRP *\r\na=mid:5\r\n";
    let without_mux = AUDIO.replace("a=rtcp-mux\r\n", "");
    for (first, mid) in [(other, 5), (&without_mux, 0)] {
        let sections = [(first, "f"), (VIDEO, "v"), (DATA, "d")];
        let sdp = offer(&format!("a=group:BUNDLE {mid} 1 2\r\n"), &sections);
        assert_eq!(answered(&sdp)[1], TAKEN);
        let offer = normal(&sdp).unwrap();
        assert_eq!(offer.ufrag(), Some("v"));
        assert!(!offer.sdp().contains("secret-of-f"), "{}", offer.sdp());
        let answer = offer.plan.answer(&stack(offer.sdp()), OURS).unwrap();
        assert!(answer.contains("a=group:BUNDLE 1 2\r\n"), "{answer}");
        let (_, refused) = answer.split_once("\r\nm=").unwrap();
        let (refused, _) = refused.split_once("\r\nm=").unwrap();
        assert!(refused.contains(" 0 ") && !refused.contains("a=rtcp-mux"), "{refused}");
    }
}

#[test]
fn a_further_video_must_share_its_port_with_rtcp_too() {
    let first = normal(&offer("a=group:BUNDLE 1\r\n", &[(VIDEO, "v")])).unwrap();
    let further = |sections: &[(&str, &str)]| {
        let parsed = parse(offer("a=group:BUNDLE 1 3\r\n", sections)).unwrap();
        parsed.further(first.codec.clone(), &first.settled)
    };
    let without = VIDEO.replace("a=rtcp-mux\r\n", "");
    assert_eq!(further(&[(&without, "v")]).unwrap_err(), OfferError::RtcpMux);
    let second = without.replace("a=mid:1", "a=mid:3");
    let both = further(&[(VIDEO, "v"), (&second, "v")]).unwrap();
    assert_eq!(both.sdp().matches("m=video").count(), 1, "{}", both.sdp());
}

#[test]
fn without_a_bundle_the_video_has_its_own_transport_and_the_rest_is_refused() {
    let refused = [
        "audio 0 UDP/TLS/RTP/SAVPF 111 0 0 inactive ours",
        "application 0 UDP/DTLS/SCTP webrtc-datachannel 2 inactive ours",
    ];
    let sections = [(AUDIO, "a"), (VIDEO, "v"), (DATA, "d")];
    for group in ["", "a=group:BUNDLE 0\r\n", "a=group:BUNDLE\r\n", "a=group:LS 0 1 2\r\n"] {
        let sdp = offer(group, &sections);
        let alone = TAKEN.replace(" bundled", "");
        assert_eq!(answered(&sdp), [refused[0], &alone, refused[1]], "{group}");
        assert_eq!(normal(&sdp).unwrap().ufrag(), Some("v"));
    }
}

#[test]
fn a_direction_is_found_above_the_sections_or_understood() {
    let bare = VIDEO.replace("a=sendrecv\r\n", "");
    let of = |above: &str| offer(&format!("a=group:BUNDLE 1\r\n{above}"), &[(&bare, "v")]);
    assert_eq!(answered(&of("")), [TAKEN]);
    assert_eq!(answered(&of("a=sendrecv\r\n")), [TAKEN]);
    assert_eq!(
        normal(&of("a=recvonly\r\n")).unwrap_err(),
        OfferError::Direction("recvonly", "sendrecv")
    );
}

#[test]
fn sections_without_names_are_answered_without() {
    let (video, data) = (VIDEO.replace("a=mid:1\r\n", ""), DATA.replace("a=mid:2\r\n", ""));
    let sdp = offer("", &[(&video, "v"), (&data, "v")]);
    let expected = [
        "video 9 UDP/TLS/RTP/SAVPF 96 - sendrecv ours",
        "application 0 UDP/DTLS/SCTP webrtc-datachannel - inactive ours",
    ];
    assert_eq!(answered(&sdp), expected);
}

#[test]
fn a_pre_rfc_8841_data_section_is_answered_in_its_form() {
    let old =
        "m=application 9 DTLS/SCTP 5000\r\na=mid:2\r\na=sctpmap:5000 webrtc-datachannel 1024\r\n";
    let sdp = offer("a=group:BUNDLE 1 2\r\n", &[(VIDEO, "v"), (old, "d")]);
    assert_eq!(answered(&sdp), [TAKEN, "application 9 DTLS/SCTP 5000 2 bundled - ours"]);
    let offer = normal(&sdp).unwrap();
    assert!(
        offer.sdp().contains("webrtc-datachannel\r\n") && offer.sdp().contains("a=sctp-port:5000")
    );
    assert!(offer.sdp().contains("a=setup:active"), "it begins SCTP, so it is DTLS's client");
    let answer = offer.plan.answer(&stack(offer.sdp()), OURS).unwrap();
    assert!(
        answer.contains("a=sctpmap:5000 webrtc-datachannel") && !answer.contains("a=sctp-port")
    );
}

#[test]
fn a_second_camera_and_what_is_unknown_are_answered_inactive() {
    let second = VIDEO.replace("a=mid:1", "a=mid:3");
    let text =
        "m=text 9 UDP/TLS/RTP/SAVPF 98\r\na=mid:4\r\na=rtcp-mux\r\na=rtpmap:98 t140/1000\r\n";
    let other = "m=message 9 TCP/MSRP *\r\na=mid:5\r\n";
    let sdp = offer(
        "a=group:BUNDLE 1 3 4 5\r\n",
        &[(VIDEO, "v"), (&second, "v"), (text, "v"), (other, "v")],
    );
    let expected = [
        TAKEN,
        "video 9 UDP/TLS/RTP/SAVPF 96 3 bundled inactive ours",
        "text 9 UDP/TLS/RTP/SAVPF 98 4 bundled inactive ours",
        "message 0 TCP/MSRP * 5 inactive ours",
    ];
    assert_eq!(answered(&sdp), expected);
}

#[test]
fn what_is_not_understood_is_left_out() {
    let strange = "a=extmap:x urn:y\r\na=extmap:3 http://[\r\na=extmap:0 urn:ietf:params:z\r\n\
        a=extmap:9/both urn:3gpp:video-orientation\r\na=rid:~ send\r\na=ssrc:many\r\na=candidate:1 1 ssltcp 1 h 1 typ nothing\r\nb=AS:many\r\n\
        a=candidate:1 1 udp 1 192.0.2.7 9 typ host\r\nx=1\r\na=rtcp-fb:*\r\n";
    let sdp = offer("a=group:BUNDLE 1\r\n", &[(&format!("{VIDEO}{strange}"), "v")]);
    assert_eq!(answered(&sdp), [TAKEN]);
    let given = normal(&sdp).unwrap();
    assert_eq!(given.sdp().matches("a=extmap").count(), 1);
    assert_eq!(given.sdp().matches("a=candidate").count(), 1);
    assert_eq!(given.ignored_candidates, 1);
    assert!(!given.sdp().contains("ssrc"));
}

/// What was said to succeed would not.
#[test]
fn an_answer_that_takes_no_video_is_none() {
    let offer = normal(&offer("a=group:BUNDLE 1 2\r\n", &[(VIDEO, "v"), (DATA, "v")])).unwrap();
    let good = stack(offer.sdp());
    assert!(offer.plan.answer(&good, OURS).is_ok());
    for (from, to) in [
        ("m=video 9", "m=video 0"),
        ("a=sendrecv", "a=inactive"),
        ("a=ice-ufrag", "a=x"),
        ("a=fingerprint", "a=x"),
        ("a=mid:video", "a=mid:7"),
        ("v=0", "v=1"),
    ] {
        assert!(offer.plan.answer(&good.replace(from, to), OURS).is_err(), "{to}");
    }
}

#[test]
fn a_direction_that_the_stream_has_no_use_for_is_not_taken() {
    let sdp = offer("a=group:BUNDLE 1\r\n", &[(VIDEO, "v")]);
    for (mode, given, answer) in [
        (Mode::SendReceive, "sendrecv", "sendrecv"),
        (Mode::Receive, "recvonly", "sendonly"),
        (Mode::Send, "sendonly", "recvonly"),
    ] {
        let offer = parse(sdp.clone()).unwrap().negotiate(mode, &Codecs::Browsers).unwrap();
        assert!(offer.sdp().contains(&format!("a={given}\r\n")), "{mode:?}: {}", offer.sdp());
        let ours = stack(offer.sdp()).replace(&format!("a={given}"), &format!("a={answer}"));
        let told = offer.plan.answer(&ours, OURS).unwrap();
        assert!(told.contains(&format!("a={answer}\r\n")), "{mode:?}: {told}");
    }
}

/// The further offers of one connection, each told from what the ones before have settled: what
/// the stack is given of each video, by the names that it knows them by, and what is answered.
fn further(first: &str, offers: &[&str]) -> Vec<Vec<String>> {
    let first = normal(first).unwrap();
    let mut settled = first.settled.clone();
    let mut told = Vec::new();
    for sdp in offers {
        let offer = parse((*sdp).to_owned()).unwrap().further(first.codec.clone(), &settled);
        let offer = offer.unwrap();
        let read = RTCSessionDescription::offer(offer.sdp().to_owned()).unwrap().unmarshal();
        let given = read.unwrap().media_descriptions.into_iter().map(|section| {
            let has = |name: &str| section.has_attribute(name);
            let source = if has("ssrc") {
                "ssrc"
            } else if has("msid") {
                "any"
            } else {
                "none"
            };
            let mid = section.attribute("mid").flatten().unwrap_or("-").to_owned();
            format!("{mid} {source}")
        });
        told.push(given.collect());
        let answer = offer.plan.answer(&stack(offer.sdp()), OURS).unwrap();
        let read = RTCSessionDescription::answer(answer).unwrap().unmarshal().unwrap();
        assert_eq!(read.media_descriptions.len(), offer.plan.sections());
        settled = offer.settled;
    }
    told
}

#[test]
fn a_videos_place_may_change_and_the_stack_need_not_know() {
    let bare = |port: u8, mid: u8, direction: &str| {
        let section = VIDEO.replace("a=ssrc:7 cname:x\r\n", "");
        let section = section.replace("video 9", &format!("video {port}"));
        section.replace("a=mid:1", &format!("a=mid:{mid}")).replace("sendrecv", direction)
    };
    let of = |sections: &[String]| {
        let sections: Vec<(&str, &str)> =
            sections.iter().map(|section| (section.as_str(), "v")).collect();
        offer("a=group:BUNDLE 1 3\r\n", &sections)
    };
    let first = of(&[bare(9, 1, "sendrecv")]);
    let stopped = of(&[bare(0, 1, "inactive"), bare(9, 3, "sendrecv")]);
    assert_eq!(further(&first, &[&stopped, &stopped]), [["video any"]; 2], "it goes on there");
    // The camera in one section, and what we send in the other: each by its source, if it has one.
    let two = of(&[bare(9, 1, "sendrecv"), VIDEO.replace("a=mid:1", "a=mid:3")]);
    let both = ["video none".to_owned(), "video-1 ssrc".to_owned()];
    assert_eq!(further(&first, &[&two]), [both]);
    // One that was there from the start and not taken stays so, while the first sends.
    let both_off = of(&[bare(9, 1, "inactive"), bare(9, 3, "sendrecv")]);
    let told = further(&two, &[&two, &both_off]);
    assert_eq!(told[0], ["video ssrc"].map(|_| "video any"), "{told:?}");
    assert_eq!(told[1].len(), 2, "{told:?}");
}

#[test]
fn what_cannot_be_spoken_any_more_is_inactive() {
    let h264 = VIDEO.replace("VP8", "H264").replace("96", "102").replace("a=mid:1", "a=mid:3");
    let first = offer("a=group:BUNDLE 1 0\r\n", &[(VIDEO, "v"), (AUDIO, "v")]);
    let more = offer("a=group:BUNDLE 1 0 3\r\n", &[(VIDEO, "v"), (AUDIO, "v"), (&h264, "v")]);
    assert_eq!(further(&first, &[&more])[0].len(), 1);
    // The camera is stopped; the microphone goes on, and the video may come back.
    let stopped = VIDEO.replace("video 9", "video 0");
    let quiet = offer("a=group:BUNDLE 0\r\n", &[(&stopped, "v"), (AUDIO, "v")]);
    assert_eq!(further(&first, &[&quiet, &first]), [["video none"], ["video ssrc"]]);
    let nothing = quiet.replace("audio 9", "audio 0");
    let parsed = parse(nothing).unwrap();
    let settled = normal(&first).unwrap();
    assert_eq!(parsed.further(settled.codec, &settled.settled).unwrap_err(), OfferError::NoVideo);
}

#[test]
fn an_answer_wants_no_more_than_was_offered() {
    let first = normal(&offer("a=group:BUNDLE 1\r\n", &[(VIDEO, "v")])).unwrap();
    for (offered, answered) in [
        ("sendrecv", "sendrecv"),
        ("sendonly", "recvonly"),
        ("recvonly", "sendonly"),
        ("inactive", "inactive"),
    ] {
        let sdp = offer("a=group:BUNDLE 1\r\n", &[(&VIDEO.replace("sendrecv", offered), "v")]);
        let further = parse(sdp).unwrap().further(first.codec.clone(), &first.settled).unwrap();
        let wants_all = stack(further.sdp()).replace(&format!("a={offered}"), "a=sendrecv");
        let answer = further.plan.answer(&wants_all, OURS).unwrap();
        assert!(answer.contains(&format!("a={answered}\r\n")), "{offered}: {answer}");
    }
}
