//! WHIP (RFC 9725) and WHEP, by hand and by clients: what their documents demand, as
//! `docs/whip-whep.md` lists it.
//!
//! | module | what it is |
//! |---|---|
//! | `sessions` | clients that send, and that are shown something |
//! | `refusals` | what clients get wrong, and what the gateway has no room for |
//! | `changes` | candidates, ICE restarts, ends |
//! | `rights` | who may do what; pages of other sites |
//! | `gateways` | two gateways with one Redis |
//! | `chromium` | a real browser, which restarts ICE |
//! | `clients` | clients of other projects |

mod changes;
mod chromium;
mod clients;
mod gateways;
mod refusals;
mod rights;
mod sessions;

use reframe_tests::http::{Reply, send};
use reframe_tests::peer::{Media, offer_sdp};
use reframe_tests::source::{Format, Video};
use reframe_worker::{Frame, HandlerError, Mode, Stream, VideoStreamHandler};
use serde_json::json;
use str0m::media::Direction;

use super::*;

const SDP: (&str, &str) = ("content-type", "application/sdp");
const FRAGMENT: (&str, &str) = ("content-type", "application/trickle-ice-sdpfrag");
const CANDIDATE: &str = "a=candidate:1 1 udp 2122260223 127.0.0.1 9 typ host\r\n";

/// Streams of each mode.
fn streams() -> [Stream; 3] {
    let echo = || VideoStreamHandler::new(|frame: Frame| Ok::<_, HandlerError>(frame));
    let still = || Frame::filled(320, 240, [90, 120, 150]).map_err(HandlerError::from);
    let stills = move || Ok::<_, HandlerError>(std::iter::repeat_with(still));
    [
        Stream::builder(echo()).name("both").build(),
        Stream::builder(VideoStreamHandler::generator(stills)).name("shown").build(),
        Stream::builder(VideoStreamHandler::new(|_: Frame| ()))
            .name("sent")
            .mode(Mode::Send)
            .build(),
    ]
}

/// A client of WHIP at this path.
fn ingest(endpoint: &str) -> Options {
    let options = Options::sender(endpoint, Video::Live(Format::SMALL));
    Options { endpoint: Some(endpoint.to_owned()), ..options }
}

/// An offer of one who never connects, without a data channel.
fn offer(direction: Direction) -> String {
    offer_sdp(Media::video(direction))
}

fn post(url: &str, body: &str) -> Reply {
    send("POST", url, &[SDP], body)
}

/// The connection of a client that never connects: its path, and its entity tag.
#[track_caller]
fn created(reply: &Reply) -> (String, String) {
    assert_eq!(reply.status, 201, "{reply:?}");
    let header = |name| reply.header(name).unwrap_or_else(|| panic!("no {name}: {reply:?}"));
    (header("location").to_owned(), header("etag").to_owned())
}

fn patch(url: &str, tag: Option<&str>, fragment: &str) -> Reply {
    let mut headers = vec![FRAGMENT];
    headers.extend(tag.map(|tag| ("if-match", tag)));
    send("PATCH", url, &headers, fragment)
}

/// A problem as RFC 9457 has it, which says what to do.
#[track_caller]
fn assert_problem(reply: &Reply, status: u16, error: &str) {
    assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{reply:?}");
    let problem = reply.json();
    assert_eq!((reply.status, &problem["status"]), (status, &json!(status)), "{reply:?}");
    assert_eq!(problem["type"], format!("urn:reframe:problem:{error}"), "{reply:?}");
    assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{reply:?}");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{reply:?}");
}

/// The value of the first such line.
fn line<'a>(sdp: &'a str, start: &str) -> Option<&'a str> {
    sdp.lines().find_map(|line| line.strip_prefix(start))
}
