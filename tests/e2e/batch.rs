//! A model in Rust that works on the frames of several sessions at once. Python's is in
//! `python::batch`.

use std::time::Duration;

use reframe_tests::pattern::flip_vertical;
use reframe_tests::source::Format;
use reframe_tests::wait::for_time;
use reframe_worker::{Batched, Frame, HandlerError, Stream, VideoStreamHandler};

use super::*;

/// Turns pictures upside down, in 50 ms whatever their number; cannot take those of 240 rows.
fn flipping() -> Batched<Frame, Frame> {
    let model = |(): &mut (), frames: &[Frame]| {
        if frames.iter().any(|frame| frame.height() == 240) {
            return Err("no small pictures".into());
        }
        // A device that works, and no processor of this machine.
        for_time(Duration::from_millis(50));
        Ok(frames.iter().map(|frame| Ok(frame.clone().flip_vertical())).collect())
    };
    Batched::builder(|_| Ok(()), model).max_batch(8).build()
}

pub(super) const WIDE: Format = Format { width: 848, height: 480, ..Format::VGA };

/// Three sessions of different sizes share a model that takes 50 ms for a batch, turns pictures
/// upside down, and cannot take those of the last session: that one alone is told so.
#[track_caller]
pub(super) fn share_a_model(cluster: &Cluster) -> [Peer; 3] {
    let peers = [("vga", Format::VGA), ("wide", WIDE), ("poison", Format::SMALL)]
        .map(|(id, format)| connect(cluster, id, Video::Live(format)));
    let [healthy @ .., poison] = &peers;
    healthy.iter().for_each(|peer| peer.wait_received(60, PATIENCE));
    let stats = poison.wait_until("its errors", PATIENCE, |stats| {
        (told(stats, "error").len() >= 5).then(|| stats.clone())
    });
    assert!(told(&stats, "error").iter().all(|text| text == "no small pictures"), "{stats:?}");
    assert_eq!(stats.numbers().len(), 0);
    for stats in healthy.iter().map(Peer::stats) {
        assert_flipped_in_order(&stats);
        assert_picture(&stats, flip_vertical);
        assert_eq!(told(&stats, "error"), Vec::<String>::new());
    }
    let metrics = cluster.metrics();
    let of = |name: &str| metrics.sum(name, &[("stream", "default")]);
    let (frames, batched) = (of("reframe_batch_size_count"), of("reframe_batch_size_sum"));
    assert!(batched > frames * 1.1, "{batched} in batches of {frames} frames");
    // It begins with the newest frame: those that waited have made way.
    let superseded = of("reframe_superseded_total");
    let dropped = metrics.sum("reframe_frames_dropped_total", &[("reason", "superseded")]);
    assert!(superseded > 0.0 && superseded <= dropped, "{superseded} and {dropped}");
    peers
}

#[test]
fn sessions_of_three_sizes_share_a_model_and_one_that_it_cannot_take_is_told() {
    let model = flipping();
    let handler = move |frame: Frame| -> Result<Frame, HandlerError> { Ok(model.call(frame)?) };
    let stream = Stream::builder(VideoStreamHandler::new(handler).skip_frames(true)).build();
    let cluster = Cluster::local([stream]);
    let mut peers = share_a_model(&cluster);
    // The person is told what it takes.
    let told = peers[0].wait_until("a batch in the figures", PATIENCE, |stats| {
        let batch = stats.server_stats.as_ref()?.pointer("/data/handler/batch")?;
        batch.is_object().then(|| batch.clone())
    });
    assert!(told["size"].as_f64() >= Some(1.0) && told["wait_ms"].is_number(), "{told}");
    peers.iter_mut().for_each(Peer::close);
    assert_balanced(&cluster);
}
