//! Programs in Python that import `reframe` where they imported `fastrtc`.

use std::fs;
use std::path::PathBuf;

use reframe_tests::pattern::{Camera, flip_vertical, psnr};
use reframe_tests::python;
use reframe_tests::source::{Format, Video};
use serde_json::json;

use super::*;

/// A program of this test, in a file of its own.
struct Program(PathBuf);

impl Program {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("reframe-{name}-{}.py", std::process::id()));
        fs::write(&path, text).expect("a file");
        Self(path)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

/// Every plane of a picture that came back, against what it shall be.
#[track_caller]
fn assert_picture(stats: &Stats, shall: impl Fn(u32, u32, &[u8]) -> Vec<u8>) {
    let picture = stats.picture.as_ref().expect("a decoded picture");
    let number = stats.received.last().and_then(|frame| frame.code).expect("a number").number;
    let (width, height) = (picture.width, picture.height);
    let expected = shall(width, height, &Camera::new(width, height).frame(number));
    let luma = width as usize * height as usize;
    let planes = [0..luma, luma..luma / 4 * 5, luma / 4 * 5..luma / 2 * 3];
    for (plane, range) in ["Y", "U", "V"].into_iter().zip(planes) {
        let psnr = psnr(&picture.data[range.clone()], &expected[range]);
        // Twice VP8 and a trip through BGR: about 30 dB; exchanged colours are below 20.
        assert!(psnr > 25.0, "{plane}: {psnr:.1} dB");
    }
}

#[test]
fn a_function_over_arrays_turns_the_picture_upside_down() {
    let cluster = Cluster::launch_python("test", &python::example("flip.py"));
    let mut peer = connect(&cluster, "flip", Video::Live(Format::VGA));
    peer.wait_received(60, PATIENCE);
    let (stats, _) = settle_books(&cluster, &peer);
    assert_flipped_in_order(&stats);
    assert_picture(&stats, flip_vertical);
    peer.close();
    assert_balanced(&cluster);
}
