//! Outputs: on the data channel, as server-sent events, and a reader that does not keep up.

use reframe_tests::http::get;
use reframe_tests::source::{Format, Video};
use reframe_tests::updates::Updates;
use reframe_worker::{
    AdditionalOutputs, CloseStream, Frame, Json, Number, Output, Stream, VideoStreamHandler,
};
use serde_json::json;

use super::*;

fn updates(cluster: &Cluster, id: &str) -> Updates {
    let url = cluster.page(&format!("/updates?webrtc_id={id}"));
    Updates::open(&url).unwrap_or_else(|reply| panic!("no event stream: {reply:?}"))
}

/// Each frame's number within its session; after `last` of them it ends with one more picture.
fn counting(last: u64) -> Stream {
    let handler = VideoStreamHandler::per_session(move || {
        let mut count = 0;
        move |frame: Frame| -> Output {
            count += 1;
            if count > last {
                return (frame, CloseStream::new("counted")).into();
            }
            (frame, AdditionalOutputs::new([json!(count), json!({ "twice": 2 * count })])).into()
        }
    });
    Stream::builder(handler)
        .additional_outputs([Number::new("count")])
        .additional_outputs([Json::new("more")])
        .build()
}

#[test]
fn they_come_on_the_data_channel_and_as_events_in_order() {
    const LAST: u64 = 150;
    let cluster = Cluster::local([counting(LAST)]);
    let mut peer = connect(&cluster, "counts", Video::Live(Format::SMALL));
    let mut reader = updates(&cluster, "counts");
    peer.wait_message("end_stream", PATIENCE);
    let stats = peer.stats();

    // On the channel: the values by name, each followed by FastRTC's sign that there are some.
    let messages: Vec<_> = stats
        .messages
        .iter()
        .filter(|message| message["type"] == "outputs" || message["type"] == "fetch_output")
        .collect();
    for (n, pair) in (1..).zip(messages.chunks(2)) {
        let outputs =
            json!({ "type": "outputs", "data": { "count": n, "more": { "twice": 2 * n } } });
        assert_eq!(pair, [&outputs, &json!({ "type": "fetch_output", "data": [] })]);
    }
    assert_eq!(messages.len() as u64, 2 * LAST);

    // As events: the same values, and each time the first alone, as FastRTC's documents have it.
    // From when it was asked for, so the first are missing.
    let mut first = None;
    let mut next = None;
    let end = loop {
        let event = reader.next(PATIENCE).expect("the stream has an end");
        if event.kind == "end_stream" {
            break event;
        }
        let count = *next.get_or_insert_with(|| event.json()["count"].as_u64().expect("a count"));
        first = first.or(next);
        assert_eq!(
            (event.kind.as_str(), event.json()),
            ("outputs", json!({ "count": count, "more": { "twice": 2 * count } }))
        );
        let alone = reader.next(PATIENCE).expect("each comes twice");
        assert_eq!((alone.kind.as_str(), alone.data), ("message", count.to_string()));
        next = Some(count + 1);
    };
    assert_eq!((end.data.as_str(), next), ("counted", Some(LAST + 1)));
    assert!(first.is_some_and(|first| first < LAST), "it read along: {first:?}");
    assert_eq!((reader.next(PATIENCE), reader.ended()), (None, true));
    peer.close();
    assert_balanced(&cluster);
}

#[test]
fn only_a_running_session_has_events() {
    let cluster = Cluster::local([counting(u64::MAX)]);
    let reply =
        Updates::open(&cluster.page("/updates?webrtc_id=nobody")).expect_err("there is no session");
    assert_eq!((reply.status, &reply.json()["meta"]["error"]), (404, &json!("unknown_connection")));
    assert!((400..500).contains(&get(&cluster.page("/updates")).expect("an answer").status));

    let mut peer = connect(&cluster, "left", Video::Live(Format::SMALL));
    let mut readers = [updates(&cluster, "left"), updates(&cluster, "left")];
    readers.iter_mut().for_each(|reader| drop(reader.expect("outputs", PATIENCE)));
    peer.close();
    for reader in &mut readers {
        reader.expect("end_stream", PATIENCE);
        assert_eq!((reader.next(PATIENCE), reader.ended()), (None, true));
    }
    let reply =
        Updates::open(&cluster.page("/updates?webrtc_id=left")).expect_err("the session has ended");
    assert_eq!(reply.status, 404);
    assert_balanced(&cluster);
}

/// It loses the oldest: the server keeps a few for it and counts the rest, and what it reads when
/// it wakes up is in order and ends with the newest.
#[test]
fn a_reader_that_stops_costs_no_memory() {
    // Of text in each output: enough in all to fill the sockets between server and reader many
    // times over.
    const BYTES: usize = 30 << 10;
    const ENOUGH: usize = 450;
    let handler = VideoStreamHandler::per_session(|| {
        let mut count = 0;
        move |frame: Frame| {
            count += 1;
            (frame, AdditionalOutputs::new([json!({ "count": count, "text": "x".repeat(BYTES) })]))
        }
    });
    let cluster =
        Cluster::local([Stream::builder(handler).additional_outputs([Json::new("large")]).build()]);
    let mut peer = connect(&cluster, "slow", Video::Live(Format::SMALL));
    let mut reader = updates(&cluster, "slow");
    let first =
        reader.expect("outputs", PATIENCE).json()["large"]["count"].as_u64().expect("a count");
    peer.wait_until("a warm server", PATIENCE, |stats| (stats.messages.len() >= 120).then_some(()));
    let memory = cluster.gateway.rss_bytes();
    peer.wait_until("many large outputs", PATIENCE, |stats| {
        (stats.messages.len() >= 2 * ENOUGH).then_some(())
    });
    let grown = cluster.gateway.rss_bytes().saturating_sub(memory);
    // All that was told since is 12 MB.
    assert!(grown < 8 << 20, "{} kB more", grown >> 10);
    let lost = |reader: &str| {
        cluster.metrics().sum("reframe_outputs_dropped_total", &[("reader", reader)])
    };
    assert!(lost("updates") > 0.0, "the reader lost some");
    assert_eq!(lost("channel"), 0.0);

    // The browser's own, meanwhile: every one.
    peer.stop_camera();
    let count = |value: &Value| value["count"].as_u64().expect("a count");
    let mut counts: Vec<_> = peer.stats().outputs("large").into_iter().map(count).collect();
    assert!(counts.iter().copied().eq(1..=counts.len() as u64), "{counts:?}");
    peer.close();
    counts.extend(peer.stats().outputs("large").into_iter().map(count).skip(counts.len()));

    let mut read = vec![first];
    let end = loop {
        let event = reader.next(PATIENCE).expect("the stream has an end");
        match event.kind.as_str() {
            "outputs" => read.push(count(&event.json()["large"])),
            "end_stream" => break event,
            _ => {}
        }
    };
    assert!(read.is_sorted_by(|a, b| a < b), "out of order, or twice: {read:?}, then {end:?}");
    // One more may have come while the browser was leaving.
    assert!(
        read.last() >= counts.last(),
        "the newest is kept: {:?}, {:?}",
        read.last(),
        counts.last()
    );
    assert!(read.len() < counts.len(), "{} of {}", read.len(), counts.len());
    assert_balanced(&cluster);
}
