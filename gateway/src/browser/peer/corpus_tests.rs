//! Each offer of the corpus, answered by the stack itself, against the corpus' table.

use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::sdp::SessionDescription;
use tokio_util::task::TaskTracker;

use super::corpus::{Expected, corpus, expected};
use super::*;
use crate::browser::net::MediaPort;
use crate::browser::offer::DIRECTIONS;
use crate::codec::Codecs;
use crate::config::media::{Candidates, Media};
use crate::config::public::Public;
use crate::session::SessionChannels;
use crate::stream::spec::testing::spec;

fn mode(name: &str) -> Mode {
    match name {
        "send-receive" => Mode::SendReceive,
        "send" => Mode::Send,
        "receive" => Mode::Receive,
        _ => panic!("no mode `{name}`"),
    }
}

async fn port() -> Arc<MediaPort> {
    let media = Media {
        addresses: vec!["127.0.0.1".parse().unwrap()],
        port: 0,
        public: Public::Local,
        public_port: 0,
        tcp: true,
        candidates: Candidates::Checked,
    };
    MediaPort::open(media, 8).await.unwrap()
}

/// The answer, as the client gets it, and what it was made of.
async fn ask(port: &Arc<MediaPort>, sdp: &str, mode: Mode) -> Result<(String, Offer), OfferError> {
    let offer = offer::parse(sdp.to_owned())?.negotiate(mode, &Codecs::Browsers)?;
    let limits = BitrateLimits { start: 1_500, min: 100, max: 3_000 };
    let channels = SessionChannels::new(limits, VideoLimits { long: 1280, short: 720, fps: 30.0 });
    let mut spec = spec("s", 1);
    spec.mode = mode;
    let live = LiveSession::new(Arc::new(spec), false, Default::default(), Default::default());
    let open = TaskTracker::new().token();
    let (answer, _peer) = answer(&offer, port.join(), channels.for_peer(live), open).await?;
    Ok((answer, offer))
}

fn read(sdp: &str) -> SessionDescription {
    RTCSessionDescription::answer(sdp.to_owned()).unwrap().unmarshal().unwrap()
}

/// What any client holds an answer to.
fn assert_legal(name: &str, offered: &str, answer: &str) {
    let (theirs, ours) = (
        RTCSessionDescription::offer(offered.to_owned()).unwrap().unmarshal(),
        RTCSessionDescription::answer(answer.to_owned()).unwrap().unmarshal().unwrap(),
    );
    let sections = ours.media_descriptions.iter();
    let accepted = sections.filter(|section| section.media_name.port.value != 0).count();
    let candidates = answer.matches("a=candidate:").count();
    assert_eq!(candidates, 2 * accepted, "{name}: UDP and TCP, in each: {answer}");
    // The stack's reader is stricter than ours: of what it cannot read the table is the test.
    let Ok(theirs) = theirs else { return };
    assert_eq!(ours.media_descriptions.len(), theirs.media_descriptions.len(), "{name}");
    let session = &ours;
    for (ours, theirs) in ours.media_descriptions.iter().zip(&theirs.media_descriptions) {
        let (our_name, their_name) = (&ours.media_name, &theirs.media_name);
        assert_eq!(our_name.media, their_name.media, "{name}");
        assert_eq!(our_name.protos, their_name.protos, "{name}");
        let offered = |format: &String| their_name.formats.contains(format);
        assert!(our_name.formats.iter().all(offered), "{name}: {:?}", our_name.formats);
        assert_eq!(ours.attribute("mid"), theirs.attribute("mid"), "{name}");
        let (is_accepted, above) = (our_name.port.value != 0, &session.attributes);
        let has = |attribute: &str| {
            ours.attribute(attribute).is_some() || above.iter().any(|above| above.key == attribute)
        };
        for attribute in ["ice-ufrag", "ice-pwd", "fingerprint", "setup"] {
            assert!(!is_accepted || has(attribute), "{name}: {attribute}: {answer}");
        }
        let is_rtp = our_name.media != "application" && is_accepted;
        assert!(!is_rtp || ours.has_attribute("rtcp-mux"), "{name}: {answer}");
    }
    // The accepted ones of theirs, in their order (RFC 9143, section 7.3.2).
    let tags = |read: &SessionDescription| {
        let groups = read.attributes.iter().filter(|attribute| attribute.key == "group");
        let bundle = groups.filter_map(|group| group.value.as_deref()?.strip_prefix("BUNDLE"));
        bundle.flat_map(str::split_whitespace).map(str::to_owned).collect::<Vec<_>>()
    };
    let accepted =
        ours.media_descriptions.iter().filter(|section| section.media_name.port.value != 0);
    let accepted: Vec<&str> =
        accepted.filter_map(|section| section.attribute("mid").flatten()).collect();
    let mut expected = tags(&theirs);
    expected.retain(|tag| accepted.contains(&tag.as_str()));
    assert_eq!(tags(&ours), expected, "{name}: {answer}");
}

/// As the table has it.
fn line(asked: &Expected, answered: Result<(String, Offer), OfferError>) -> Expected {
    let (offer, mode) = (asked.offer.clone(), asked.mode.clone());
    let none = || "-".to_owned();
    let (answer, taken) = match answered {
        Ok(answered) => answered,
        Err(refused) => {
            let (codec, setup) = (none(), none());
            return Expected {
                offer,
                mode,
                status: 400,
                codec,
                setup,
                answer: refused.to_string(),
            };
        }
    };
    let mut setup = None;
    let sections = read(&answer).media_descriptions.into_iter().map(|section| {
        let kind = section.media_name.media.clone();
        if section.media_name.port.value == 0 {
            return format!("{kind}=refused");
        }
        let role = section.attribute("setup").flatten().map(str::to_owned);
        assert!(role.is_some() && (setup.is_none() || setup == role), "one role: {answer}");
        setup = role;
        let direction = DIRECTIONS.into_iter().find(|name| section.has_attribute(name));
        format!("{kind}={}", direction.expect("each says its direction"))
    });
    let sections = sections.collect::<Vec<_>>().join(" ");
    let codec = format!("{}/{}", taken.codec.codec.name(), taken.codec.payload_type);
    let setup = setup.unwrap_or_else(none);
    Expected { offer, mode, status: 200, codec, setup, answer: sections }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_offer_of_the_corpus_is_answered_as_the_table_says() {
    let (port, offers, expected) = (port().await, corpus(), expected());
    let mut wrong = Vec::new();
    for asked in &expected {
        let sdp = &offers[&asked.offer];
        let answered = ask(&port, sdp, mode(&asked.mode)).await;
        if let Ok((answer, _)) = &answered {
            assert_legal(&asked.offer, sdp, answer);
        }
        let line = line(asked, answered);
        if line != *asked {
            wrong.push(line.line());
        }
    }
    assert!(wrong.is_empty(), "not as the table says:\n{}", wrong.join("\n"));
}
