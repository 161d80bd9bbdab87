//! One session, and others who watch it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reframe_gateway::codec::Codec;
use reframe_tests::browser;
use reframe_tests::http::delete;
use reframe_tests::netem::{Bottleneck, Conditions, Loss, Network};
use reframe_tests::peer::Media;
use reframe_tests::source::{Format, Video};
use reframe_worker::{
    AdditionalOutputs, Frame, HandlerError, Number, PixelFormat, Stream, VideoStreamHandler,
};
use str0m::media::Direction;

use super::browser::start;
use super::*;

/// A session that shows something, and the path at which others watch it.
fn watched(cluster: &Cluster) -> (Peer, String) {
    let camera = connect_with(cluster, Options::camera("watched", Video::Live(Format::VGA)));
    camera.wait_received(10, PATIENCE);
    let whep = camera.whep();
    (camera, whep)
}

fn watch(cluster: &Cluster, name: &str, whep: &str) -> Peer {
    connect_with(cluster, Options::watcher(name, whep))
}

/// The newest picture that a client has decoded, by its number.
fn newest(peer: &Peer) -> u64 {
    peer.wait_until("a picture that tells its number", PATIENCE, |stats| {
        stats.received.iter().rev().find_map(|frame| frame.code).map(|code| code.number.into())
    })
}

#[test]
fn others_see_what_its_client_sees_and_it_is_encoded_once() {
    let cluster = Cluster::launch("flip");
    let (mut camera, whep) = watched(&cluster);
    let viewers: Vec<_> = (0..3).map(|n| watch(&cluster, &format!("viewer-{n}"), &whep)).collect();
    for viewer in &viewers {
        viewer.wait_received(60, PATIENCE);
        // Within a second of video of what its client is shown.
        let (here, there) = (newest(viewer), newest(&camera));
        assert!(here + 30 > there, "a viewer is at {here}, the client at {there}");
        let flipped =
            viewer.stats().received.iter().filter_map(|frame| frame.code).all(|code| code.flipped);
        assert!(flipped, "it is the processed video");
    }
    let metrics = cluster.metrics();
    assert_eq!(metrics.sum("reframe_viewers_active", &[]), 3.0);
    assert_eq!(metrics.sum("reframe_sessions_active", &[]), 1.0, "a viewer takes no slot");
    assert_eq!(metrics.sum("reframe_renditions_total", &[]), 0.0, "no further encoding");

    // One leaves by its resource; the others go on.
    let reply = delete(&cluster.page(viewers[0].resource())).expect("an answer");
    assert_eq!(reply.status, 200, "{reply:?}");
    eventually("two are left", PATIENCE, || {
        (cluster.metrics().sum("reframe_viewers_active", &[]) == 2.0).then_some(())
    });
    let before = viewers[1].stats().received.len();
    viewers[1].wait_received(before + 30, PATIENCE);

    // They end with the session.
    camera.close();
    eventually("all have ended", PATIENCE, || {
        (cluster.metrics().sum("reframe_viewers_active", &[]) == 0.0).then_some(())
    });
    let ended = cluster.metrics();
    let ended = ended.sum("reframe_viewers_ended_total", &[("reason", "session_ended")]);
    assert_eq!(ended, 2.0);
    let gone = Peer::connect(&cluster.page(""), Options::watcher("late", &whep));
    assert_eq!(gone.expect_err("nobody to watch").status, 404);
}

#[test]
fn one_of_another_codec_gets_an_encoding_of_its_own_while_it_watches() {
    let cluster = Cluster::launch("flip");
    let (_camera, whep) = watched(&cluster);
    for codec in [Codec::H264, Codec::Vp9] {
        let media = Media { codec, ..Media::video(Direction::RecvOnly) };
        let options = Options { media, ..Options::watcher(codec.name(), &whep) };
        let viewers: Vec<_> = (0..2).map(|_| connect_with(&cluster, options.clone())).collect();
        viewers.iter().for_each(|viewer| viewer.wait_received(30, PATIENCE));
        newest(&viewers[0]);
    }
    assert_eq!(cluster.metrics().sum("reframe_renditions_total", &[]), 2.0, "one for each codec");
}

/// Whose network is bad, in one of several ways.
fn behind(down: Conditions) -> Network {
    Network { seed: 22, down, ..Network::default() }
}

/// Fifteen seconds of it: one whose path carries a fifth, one that loses a fifth of its packets,
/// and three with nothing wrong.
#[test]
fn viewers_with_bad_networks_cost_the_others_nothing() {
    let cluster = Cluster::launch("flip");
    let (_camera, whep) = watched(&cluster);
    let good: Vec<_> = (0..3).map(|n| watch(&cluster, &format!("good-{n}"), &whep)).collect();
    good.iter().for_each(|viewer| viewer.wait_received(10, PATIENCE));

    let bottleneck = Some(Bottleneck { kbps: 400, queue_bytes: 12_000 });
    let narrow = behind(Conditions { bottleneck, ..Conditions::default() });
    let narrow = Options::watcher("narrow", &whep).with_network(narrow);
    let lossy = behind(Conditions { loss: Loss::Random(0.2), ..Conditions::default() });
    let lossy = Options::watcher("lossy", &whep).with_network(lossy);
    let bad = [connect_with(&cluster, narrow), connect_with(&cluster, lossy)];
    bad.iter().for_each(|viewer| viewer.wait_received(1, PATIENCE));

    let began = good[0].stats().received.len();
    good[0].wait_received(began + 15 * 30, PATIENCE);
    for viewer in &good {
        let stats = viewer.stats();
        let frames = &stats.received[10..];
        // The harness's own pace on a busy machine, as for a session's client.
        let fps = Stats::fps(frames);
        assert!(fps > 20.0, "{fps:.1} fps for one with nothing wrong");
        assert!(frames.iter().all(|frame| frame.height == 480), "whole pictures");
        // Those that the bad ones need now and then; not one for each of theirs.
        let keyframes = frames.iter().filter(|frame| frame.keyframe).count();
        assert!(keyframes <= 20, "{keyframes} keyframes in fifteen seconds");
    }
    for viewer in &bad {
        let before = viewer.stats().received.len();
        viewer.wait_received(before + 10, PATIENCE);
    }
    let metrics = cluster.metrics();
    assert!(
        metrics.sum("reframe_renditions_total", &[]) >= 1.0,
        "the narrow one has a smaller one"
    );
    assert_eq!(metrics.sum("reframe_viewers_active", &[]), 5.0);
}

/// Pixels of a broadcast's pictures.
const SIZE: (u32, u32) = (320, 240);

/// A generator without an end, which counts how often it is begun; and the stream of it.
pub(super) fn broadcast() -> (Stream, Arc<AtomicUsize>) {
    let begun = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&begun);
    let generator = VideoStreamHandler::generator(move || {
        count.fetch_add(1, Ordering::Relaxed);
        let (mut number, camera) = (0_u32, Camera::new(SIZE.0, SIZE.1));
        Ok(std::iter::from_fn(move || {
            number += 1;
            let picture = camera.frame(number);
            let frame = Frame::new(PixelFormat::I420, SIZE.0, SIZE.1, picture);
            Some((frame.expect("a frame"), AdditionalOutputs::new([number])))
        }))
    });
    let outputs = [Number::new("number")];
    let generator = generator.pixel_format(PixelFormat::I420);
    let stream = Stream::builder(generator).broadcast(true).additional_outputs(outputs);
    (stream.build(), begun)
}

#[test]
fn a_broadcast_is_made_once_for_all_who_open_it() {
    let (stream, begun) = broadcast();
    let cluster = Cluster::local([stream]);
    // As the page does, and by WHEP.
    let mut viewers: Vec<_> =
        (0..3).map(|n| connect_with(&cluster, Options::viewer(format!("page-{n}")))).collect();
    viewers.push(watch(&cluster, "whep", "/whep"));
    for viewer in &viewers {
        viewer.wait_received(30, PATIENCE);
    }
    viewers[1].wait_output("number", PATIENCE, |number| number.as_u64() > Some(30));
    assert_eq!(begun.load(Ordering::Relaxed), 1, "one generator");
    let metrics = cluster.metrics();
    assert_eq!(metrics.sum("reframe_sessions_active", &[]), 1.0);
    assert_eq!(metrics.sum("reframe_viewers_active", &[]), 4.0);
    assert_eq!(metrics.sum("reframe_renditions_total", &[]), 1.0, "all take the same codec");

    drop(viewers);
    eventually("it ends when nobody watches", PATIENCE * 2, || {
        (cluster.metrics().sum("reframe_sessions_active", &[]) == 0.0).then_some(())
    });
    let again = connect_with(&cluster, Options::viewer("again"));
    again.wait_received(10, PATIENCE);
    assert_eq!(begun.load(Ordering::Relaxed), 2);
}

/// Otherwise a page would begin it anew, for ever.
#[test]
fn why_a_broadcast_ended_is_told_to_its_viewers() {
    let generator = VideoStreamHandler::generator(|| {
        let picture = || Frame::filled(SIZE.0, SIZE.1, [90, 120, 150]).map_err(HandlerError::from);
        Ok(std::iter::repeat_with(picture).take(90))
    });
    let cluster = Cluster::local([Stream::builder(generator).broadcast(true).build()]);
    let viewers = ["one", "other"].map(|name| connect_with(&cluster, Options::viewer(name)));
    viewers.iter().for_each(|viewer| drop(viewer.wait_message("end_stream", PATIENCE)));
    eventually("nobody is left", PATIENCE, || {
        let metrics = cluster.metrics();
        let left = ["reframe_viewers_active", "reframe_sessions_active"];
        left.iter().all(|name| metrics.sum(name, &[]) == 0.0).then_some(())
    });
}

#[test]
fn a_broadcasts_page_shows_it_and_several_show_the_same() {
    let (stream, begun) = broadcast();
    let cluster = Cluster::local([stream]);
    let browser = start("broadcast", browser::Camera::Missing);
    let watch = || {
        browser.click("start");
        browser.wait_for_state("live");
        browser.wait_for_picture("output", "the broadcast", |code| !code.flipped).1
    };
    browser.open(&cluster.page("/"));
    let first = watch();
    eventually("the outputs", PATIENCE, || browser.output("number").as_u64());
    browser.open_tab(&cluster.page("/"));
    let second = watch();
    assert!(second.number > first.number, "one generator, which goes on: {second:?}, {first:?}");
    assert_eq!((begun.load(Ordering::Relaxed), cluster.sessions()), (1, 1.0));
    browser.close_tab();
    eventually("one viewer is left", PATIENCE, || {
        (cluster.metrics().sum("reframe_viewers_active", &[]) == 1.0).then_some(())
    });
    browser.wait_for_picture("output", "it goes on", |code| code.number > second.number);
    assert_eq!(browser.console_errors(), Vec::<String>::new());
}
