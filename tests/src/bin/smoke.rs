//! A person at the page of a running installation, for a script that takes parts of it away:
//! `deploy/test-compose.sh`.
//!
//! Opens the page of a stream that flips in a real Chromium, starts it, and says `live` once the
//! camera has come back upside down. Then, for each line of its input, it waits until [`PICTURES`]
//! further pictures of the camera have come back, and says that line and how long it took: whatever
//! was done before the line, the stream goes on. It ends with its input.

use std::io;

use clap::Parser;
use reframe_tests::browser::{Browser, Camera};
use tokio::time::Instant;

/// Watches a stream that flips, for a script.
#[derive(Parser)]
#[command(name = "reframe-smoke", version)]
struct Cli {
    /// The address of its page; one that browsers give a camera to, so https, or on localhost.
    page: String,
}

/// More than a pipeline holds back: they were taken by the camera after the line was read.
const PICTURES: u32 = 30;

fn main() -> io::Result<()> {
    let page = Cli::parse().page;
    let browser = Browser::start(&std::env::temp_dir(), "smoke", Camera::Allowed);
    browser.open(&page);
    browser.click("start");
    browser.wait_for_state("live");
    let mut last = newer(&browser, None);
    say("live");
    for line in io::stdin().lines() {
        let (line, since) = (line?, Instant::now());
        for _ in 0..PICTURES {
            last = newer(&browser, Some(last));
        }
        say(&format!("{line}: {PICTURES} pictures in {:.1} s", since.elapsed().as_secs_f64()));
    }
    Ok(())
}

/// The number of a picture other than `last`: what is shown again while a worker is missing does
/// not count.
fn newer(browser: &Browser, last: Option<u32>) -> u32 {
    let accept = |number| last.is_none_or(|last| last != number);
    browser
        .wait_for_picture("output", "a new picture", |code| code.flipped && accept(code.number))
        .1
        .number
}

#[expect(clippy::print_stdout, reason = "what the script reads")]
fn say(line: &str) {
    println!("{line}");
}
