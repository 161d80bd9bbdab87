//! Measures Reframe on this machine: `make bench`.
//!
//! Real processes of this build on the loopback interface and WebRTC clients that send clips
//! encoded beforehand. CPU is counted while no client decodes anything, latency in runs of their
//! own. Every round runs every scenario, so that a machine that is busy for a while is busy for all
//! of them; the table gives medians of the rounds and their spread.
//!
//! [`placement`] is another matter: no video, but many gateways' shares of one Redis.
//!
//! [`floor`] is what the codecs alone cost. Ratios to it travel from machine to machine;
//! milliseconds do not.

mod access;
mod batch;
mod cost;
mod faults;
mod floor;
mod limit;
mod load;
mod loss;
mod overload;
mod placement;
mod python;
mod quality;
mod receive;
mod recovery;
mod report;
mod scaling;
mod setup;
mod slow;
mod streams;
mod viewers;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, ValueEnum};
use reframe_tests::netem::Loss;
use reframe_tests::plot::{self, Panel};
use reframe_tests::source::{Clip, Format};

use self::cost::Size;
use self::report::Report;

/// As the programs that are measured, so that their codecs and ours find the same allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures CPU, latency and memory of Reframe on this machine.
#[derive(Parser)]
#[command(name = "reframe-bench", version)]
struct Cli {
    /// One short round: does everything work, and roughly how fast?
    #[arg(long)]
    quick: bool,

    /// Only these scenarios, with commas between.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<Scenario>,

    /// How long `soak` takes.
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u32).range(1..=1_440))]
    minutes: u32,

    /// Also write the figures of every round to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Also draw `scaling` into this file, as SVG.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// CPU of a frame against that of the codecs alone: 720p and 480p, VP8 and H.264, one stream
    /// and four, the handler in the gateway's process, behind a Unix socket, behind TCP, and
    /// behind TCP with TLS.
    Cost,
    /// How long a frame takes, beyond the codecs.
    Latency,
    /// Cost by streams, size, rate and workers, one round.
    Scaling,
    /// A handler of 200 ms a frame that skips, and a fast one beside it.
    SlowHandler,
    /// A generator's pictures at 30 fps: how exactly they come.
    #[value(name = "receive-30")]
    Receive30,
    /// The same at 60 fps.
    #[value(name = "receive-60")]
    Receive60,
    /// At 30 fps while other work takes 80 % of each core.
    ReceiveBusy,
    /// From the offer to the first picture.
    Setup,
    /// A request whose access token is checked.
    Access,
    /// The same function under FastRTC, in Python here, and in Rust; only by its name, after
    /// `scripts/python.sh install fastrtc test` and `scripts/python.sh package release`.
    Python,
    /// A model that several sessions share, alone, behind a lock and on batches, at 320x240; only
    /// by its name, after `scripts/python.sh install test` and `scripts/python.sh package release`.
    Batch,
    /// A 640x480 stream whose worker is killed, hangs, or drains.
    Faults,
    /// A Chromium with a 720p camera: how soon all of it is sent and shown.
    Quality,
    /// A 640x480 stream over 50 ms each way with 5 % lost at random.
    Loss,
    /// The same with the lost in bursts.
    Bursts,
    /// The same with nothing lost but two seconds.
    Blackout,
    /// Two 1280x720 streams after a standstill of the server, the clients or their feedback, and
    /// after neighbours took the machine.
    Recovery,
    /// The same with one of these each minute; only by its name, with `--minutes`.
    Soak,
    /// Two 1280x720 streams on each core: about what a machine carries.
    Limit,
    /// A 1280x720 stream that up to 50 others watch.
    Viewers,
    /// Two and four times as many 1280x720 streams as fit, and how many a gateway takes by itself.
    Overload,
    /// A thousand workers and a hundred gateways that share a Redis, without video.
    Placement,
}

/// How long to look. Seconds are seconds of sent video.
struct Plan {
    rounds: u32,
    /// Of the slow handler's scenario, which takes longer than all others together.
    slow_rounds: u32,
    /// Of the three generators', each of which is as long.
    receive_rounds: u32,
    floor_frames: u32,
    warm_up_secs: u32,
    window_secs: u32,
    slow_secs: u32,
    receive_secs: u32,
    loss_secs: u32,
    churn_secs: u32,
}

impl Plan {
    /// A quarter of an hour for `cost`, nine minutes for all others.
    const FULL: Self = Self {
        rounds: 3,
        slow_rounds: 2,
        receive_rounds: 1,
        floor_frames: 150,
        warm_up_secs: 2,
        window_secs: 6,
        slow_secs: 60,
        receive_secs: 60,
        loss_secs: 60,
        churn_secs: 40,
    };
    /// Five minutes.
    const QUICK: Self = Self {
        rounds: 1,
        slow_rounds: 1,
        receive_rounds: 1,
        floor_frames: 90,
        warm_up_secs: 1,
        window_secs: 3,
        slow_secs: 20,
        receive_secs: 10,
        loss_secs: 15,
        churn_secs: 10,
    };
}

/// Between keyframes of a clip: rare, as browsers send them, yet a request for one is not answered
/// from far ahead.
const KEYFRAME_EVERY: u32 = 90;
/// Ten seconds at 30 fps.
const SHORT_FRAMES: u32 = 300;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let plan = if cli.quick { Plan::QUICK } else { Plan::FULL };
    let (report, panels) = run(&plan, &cli.only, cli.minutes);
    print(&format!("\n{report}"));
    let json = cli.json.map(|path| (path, report.json().to_string()));
    let svg = cli.svg.map(|path| (path, plot::svg(&panels).expect("lines can be drawn")));
    let mut exit = ExitCode::SUCCESS;
    for (path, text) in json.into_iter().chain(svg) {
        if let Err(error) = fs::write(&path, text) {
            progress(&format!("cannot write {}: {error}", path.display()));
            exit = ExitCode::FAILURE;
        }
    }
    exit
}

fn run(plan: &Plan, only: &[Scenario], minutes: u32) -> (Report, Vec<Panel>) {
    let wanted = |scenario| only.is_empty() || only.contains(&scenario);
    let mut report = Report::default();
    if wanted(Scenario::Placement) {
        step("placement");
        placement::simulate(&mut report, plan);
    }
    if only == [Scenario::Placement] {
        return (report, Vec::new());
    }
    let panels =
        if wanted(Scenario::Scaling) { scaling::lines(&mut report, plan) } else { Vec::new() };
    if only == [Scenario::Scaling] {
        return (report, panels);
    }
    progress("encoding the clips");
    let sizes = ["720p", "480p"].into_iter().zip([Format::HD, Format::VGA]);
    let sizes: Vec<_> =
        sizes.map(|(name, format)| Size::new(name, format, SHORT_FRAMES, KEYFRAME_EVERY)).collect();
    // As long as the longest run, so that no number repeats in it: the age of a picture is then
    // never ambiguous.
    let vga = clip(Format::VGA, plan.slow_secs * 30);
    let obedient =
        || Clip::obedient(Format::HD, SHORT_FRAMES, KEYFRAME_EVERY).expect("the encoder works");
    let obedient = wanted(Scenario::Overload).then(|| Arc::new(obedient()));
    if only.contains(&Scenario::Soak) {
        step("soak");
        recovery::soak(&mut report, "soak", sizes[0].vp8(), minutes);
    }
    if only == [Scenario::Soak] {
        return (report, panels);
    }
    let mut small = None;
    for round in 1..=plan.rounds {
        progress(&format!("round {round} of {}", plan.rounds));
        if wanted(Scenario::Cost) {
            cost::ratios(&mut report, &sizes, plan);
        }
        if wanted(Scenario::Latency) {
            cost::latency(&mut report, &sizes, plan);
        }
        if let Some(obedient) = &obedient {
            let hd = sizes[0].vp8();
            step("overload");
            overload::beyond(&mut report, "overload-2x", 2, obedient, plan);
            overload::beyond(&mut report, "overload-4x", 4, obedient, plan);
            overload::beyond(&mut report, "overload-2x-deaf", 2, hd, plan);
            overload::beyond(&mut report, "overload-4x-deaf", 4, hd, plan);
            overload::limited(&mut report, "overload-limit", obedient, plan);
        }
        if wanted(Scenario::SlowHandler) && round <= plan.slow_rounds {
            step("slow-handler");
            slow::beside_a_fast_one(&mut report, "slow-handler", &vga, plan);
        }
        if wanted(Scenario::Access) {
            step("access");
            access::checked(&mut report, "access", plan);
        }
        if only.contains(&Scenario::Python) {
            step("python");
            let clips = [("720p", sizes[0].vp8()), ("480p", sizes[1].vp8())];
            python::side_by_side(&mut report, clips, plan);
        }
        if only.contains(&Scenario::Batch) {
            step("batch");
            batch::ways(
                &mut report,
                "batch",
                small.get_or_insert_with(|| clip(Format::SMALL, 600)),
                plan,
            );
        }
        if wanted(Scenario::Setup) {
            step("setup");
            setup::steps(&mut report, "setup", &vga, plan);
            setup::aiortc(&mut report, "setup aiortc");
        }
        if wanted(Scenario::Faults) {
            step("faults");
            faults::workers(&mut report, "faults", &vga, plan);
        }
        if wanted(Scenario::Limit) {
            step("limit");
            limit::at_the_limit(&mut report, "limit", sizes[0].vp8(), plan);
        }
        if wanted(Scenario::Viewers) {
            step("viewers");
            viewers::lines(&mut report, "viewers", sizes[0].vp8(), plan);
        }
        if wanted(Scenario::Recovery) {
            step("recovery");
            recovery::disturbances(&mut report, "recovery", sizes[0].vp8(), plan);
        }
        if wanted(Scenario::Quality) {
            step("quality");
            quality::chromium(&mut report, "quality");
        }
        for (scenario, name, loss) in [
            (Scenario::Loss, "loss", Loss::Random(0.05)),
            (Scenario::Bursts, "bursts", Loss::Bursts { share: 0.05, length: 4.0 }),
        ] {
            if wanted(scenario) && round <= plan.receive_rounds {
                step(name);
                loss::lossy(&mut report, name, loss, &vga, plan);
            }
        }
        if wanted(Scenario::Blackout) {
            step("blackout");
            loss::blackout(&mut report, "blackout", &vga);
        }
        for (scenario, name, fps, busy) in [
            (Scenario::Receive30, "receive-30", 30_u32, false),
            (Scenario::Receive60, "receive-60", 60, false),
            (Scenario::ReceiveBusy, "receive-busy", 30, true),
        ] {
            if wanted(scenario) && round <= plan.receive_rounds {
                step(name);
                receive::metronome(&mut report, name, fps, busy, plan);
            }
        }
    }
    (report, panels)
}

fn clip(format: Format, frames: u32) -> Arc<Clip> {
    Arc::new(Clip::encode(format, frames, KEYFRAME_EVERY).expect("the encoder works"))
}

/// Tells whoever waits what comes next.
fn step(what: &str) {
    progress(&format!("{what} (load average {})", load()));
}

/// Of the last minute: more than our own work means that somebody else's is in the figures.
fn load() -> String {
    let line = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    line.split(' ').next().unwrap_or_default().to_owned()
}

#[expect(
    clippy::print_stderr,
    reason = "for the person who waits; the table alone goes to standard output"
)]
fn progress(line: &str) {
    eprintln!("{line}");
}

#[expect(clippy::print_stdout, reason = "the result")]
fn print(table: &str) {
    println!("{table}");
}
