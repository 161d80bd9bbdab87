//! The page in a real Firefox. Its made-up camera shows one colour that changes, without a number
//! to read.

use std::path::Path;

use reframe_tests::browser::Browser;
use reframe_tests::cluster::Cluster;
use reframe_tests::wait::eventually;

use crate::browser::SOON;

/// How long it must play.
const SECONDS: f64 = 2.0;

#[test]
#[ignore = "needs geckodriver: make test-firefox"]
fn the_picture_comes_back() {
    let browser = Browser::start_firefox(Path::new(env!("CARGO_TARGET_TMPDIR")), "flip");
    let browser = browser.expect("a geckodriver, which `make test-firefox` installs");
    let cluster = Cluster::launch("flip");
    browser.open(&cluster.page("/"));
    eventually("the stream's title", SOON, || (browser.text("title") == "Flip").then_some(()));
    for _ in 0..2 {
        browser.click("start");
        browser.wait_for_state("live");
        let emitted = || cluster.metrics().sum("reframe_frames_emitted_total", &[]);
        let before = emitted();
        eventually("processed frames", SOON, || {
            (emitted() - before >= SECONDS * 30.0).then_some(())
        });
        // Its playback quality counts no frames of a stream.
        eventually("they are shown", SOON, || {
            let shown = browser.run(
                "const output = document.getElementById('output'); return output.videoWidth && \
                 output.currentTime",
            );
            (shown.as_f64()? >= SECONDS).then_some(())
        });
        // The same colour on both sides, up to what a round trip changes it by: not the grey of a
        // missing picture.
        eventually("the camera's colour", SOON, || {
            let [sent, shown] = ["preview", "output"].map(|id| browser.picture(id).mean(0.1, 0.9));
            let distance = sent.iter().zip(shown).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            (distance < 40.0).then_some(())
        });
        browser.click("start");
        browser.wait_for_state("idle");
        cluster.wait_for_sessions(0, SOON);
    }
}
