//! `@batched`: one function for the frames of several sessions.

use super::super::batch::{WIDE, share_a_model};
use super::*;

/// A model that takes 50 ms for a batch, and cannot take pictures of the small size.
const MODEL: &str = r#"
import time

import numpy as np
from reframe import Stream, VideoStreamHandler, batched

@batched(max_batch=8, setup=lambda: "weights")
def flip(model, images):
    assert model == "weights"
    if any(image.shape[0] == 240 for image in images):
        raise ValueError("no small pictures")
    time.sleep(0.05)
    return [np.flip(image, axis=0) for image in images]

def handler(image):
    return flip(image)

Stream(VideoStreamHandler(handler, skip_frames=True)).ui.launch()
"#;

#[test]
fn a_picture_that_a_model_cannot_take_costs_its_own_session() {
    let program = Program::new("batch", MODEL);
    let cluster = Cluster::python("test", &[program.path()]);
    let mut peers = share_a_model(&cluster);
    let metrics = cluster.metrics();
    let of = |name: &str| metrics.sum(name, &[("stream", "default")]);
    assert!(of("reframe_batch_failures_total") > 0.0);
    let shares = of("reframe_model_share_seconds_sum");
    assert!(shares > 0.0 && shares < of("reframe_model_seconds_sum"), "{shares} s");
    peers.iter_mut().for_each(Peer::close);
    let books = assert_balanced(&cluster);
    assert!(books.dropped > 0.0, "{books}");
}

/// The batch is lost, and its sessions go on in another process.
#[test]
fn a_process_that_is_killed_within_a_batch_loses_no_session() {
    let program = Program::new("batch-killed", &MODEL.replace("0.05", "0.3"));
    let arguments = ["-m", "reframe", "launch", program.path(), "--processes", "2"];
    let cluster = Cluster::python("test", &arguments);
    eventually("two workers", PATIENCE, || (cluster.serving() >= 2.0).then_some(()));
    let mut peers = [("one", Format::VGA), ("two", Format::VGA), ("three", WIDE)]
        .map(|(id, format)| connect(&cluster, id, Video::Live(format)));
    peers.iter().for_each(|peer| peer.wait_received(3, PATIENCE));
    python::kill(python::children(cluster.gateway.id())[0]);
    peers.iter().for_each(wait_for_more);
    eventually("two workers again", PATIENCE, || (cluster.serving() >= 2.0).then_some(()));
    peers.iter_mut().for_each(Peer::close);
    assert_balanced(&cluster);
}

/// As a device that is lost: each call fails from then on.
#[test]
fn a_process_whose_model_fails_for_everybody_is_replaced() {
    let flag = std::env::temp_dir().join(format!("reframe-lost-{}", std::process::id()));
    let path = flag.to_str().expect("a UTF-8 name");
    let lost = format!(
        "    if os.path.exists({path:?}) and open({path:?}).read() == str(os.getpid()):\n        \
             raise RuntimeError(\"the device is lost\")\n    time.sleep(0.05)\n"
    );
    let text =
        MODEL.replace("    time.sleep(0.05)\n", &lost).replace("import time", "import os, time");
    let program = Program::new("batch-lost", &text);
    let arguments = ["-m", "reframe", "launch", program.path(), "--processes", "2"];
    let cluster = Cluster::python("test", &arguments);
    eventually("two workers", PATIENCE, || (cluster.serving() >= 2.0).then_some(()));
    // Two for each process.
    let mut peers: Vec<_> =
        (0..4).map(|n| connect(&cluster, &n.to_string(), Video::Live(Format::VGA))).collect();
    peers.iter().for_each(|peer| peer.wait_received(3, PATIENCE));
    let children = python::children(cluster.gateway.id());
    fs::write(&flag, children[0].to_string()).expect("a file");
    eventually("it has ended", PATIENCE, || (!python::is_alive(children[0])).then_some(()));
    fs::remove_file(&flag).expect("the file");
    peers.iter().for_each(wait_for_more);
    eventually("two workers again", PATIENCE, || (cluster.serving() >= 2.0).then_some(()));
    let log = cluster.gateway.log();
    assert!(log.contains("the model fails for all sessions"), "{log}");
    assert!(log.contains("the device is lost"), "{log}");
    peers.iter_mut().for_each(Peer::close);
    assert_balanced(&cluster);
}
