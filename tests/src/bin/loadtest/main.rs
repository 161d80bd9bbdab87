//! Load on a gateway, and what came back: `docs/load-testing.md`.
//!
//! | module | what it is |
//! |---|---|
//! | [`options`], [`plan`] | what to do, and when |
//! | [`run`], [`progress`] | does it; the only ones that wait |
//! | [`retry`] | which refusals are worth another offer |
//! | [`stream`], [`usage`], [`memory`], [`seconds`] | what was seen, as figures |
//! | [`report`], [`table`], [`plot`] | all of it, as JSON, as text and as SVG |

mod memory;
mod options;
mod plan;
mod plot;
mod progress;
mod report;
mod retry;
mod run;
mod seconds;
mod stream;
mod table;
mod usage;

use std::error::Error;
use std::fs;
use std::io::{Write, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use reframe_tests::source::{Clip, Format};

use self::options::Options;
use self::progress::write;
use self::report::Report;

/// As the programs under test, so that the tool's part of the machine's time is what it would be in
/// their place.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A stream was refused or fell silent, or the report could not be written.
const NOT_ALL: u8 = 1;
/// `EX_USAGE` of sysexits.h.
const BAD_OPTION: u8 = 64;

/// A clip's length: a picture's number says how old it is up to this. Encoding takes as long on a
/// slow core.
const CLIP_SECS: u64 = 10;
/// Between keyframes of the clip: as rare as a browser's, yet a request for one is not answered
/// from far ahead.
const KEYFRAME_SECS: u32 = 3;

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            // Help and version are no errors, and go to standard output.
            let code = if error.use_stderr() { BAD_OPTION.into() } else { ExitCode::SUCCESS };
            error.print().ok();
            return code;
        }
    };
    // Before the run: its report shall not be lost to a folder that is not there.
    let files = [("--json", &options.json), ("--svg", &options.svg)].map(|(name, file)| {
        let created = file.as_ref().map_or(Ok(()), |file| fs::File::create(file).map(drop));
        created.map_err(|error| format!("{name}: {error}"))
    });
    if let Some(error) = options.check().err().or_else(|| files.into_iter().find_map(Result::err)) {
        write(&format!("error: {error}\n"));
        return BAD_OPTION.into();
    }
    match load(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => NOT_ALL.into(),
        Err(error) => {
            write(&format!("error: {error}\n"));
            NOT_ALL.into()
        }
    }
}

/// Runs and reports; true when every stream was served.
fn load(options: &Options) -> Result<bool, Box<dyn Error>> {
    let (plan, format) = (options.plan(), options.format());
    let seconds = plan.end().as_secs().min(CLIP_SECS);
    let Format { width, height, fps, bitrate_kbps, codec } = format;
    write(&format!(
        "encoding {seconds} s of {width}x{height} at {fps} fps, {bitrate_kbps} kbit/s, {codec}\n"
    ));
    let clip = Arc::new(encode(format, seconds, options.deaf)?);
    let run = run::run(&plan, &options.target(), &clip, &options.pid)?;
    let report = Report::of(&run, &plan, format, &options.pid);
    save(options.json.as_deref(), || Ok(serde_json::to_string(&report)?))?;
    save(options.svg.as_deref(), || plot::svg(&report.seconds))?;
    // Not `println`, which panics when whoever reads has seen enough.
    write!(stdout(), "\n{report}").ok();
    Ok(report.all_served())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most 10 s at 120 fps"
)]
fn encode(format: Format, seconds: u64, deaf: bool) -> Result<Clip, Box<dyn Error>> {
    let fps = format.fps as u32;
    let encode = if deaf { Clip::encode } else { Clip::obedient };
    Ok(encode(format, seconds as u32 * fps, KEYFRAME_SECS * fps)?)
}

fn save(
    file: Option<&Path>,
    text: impl FnOnce() -> Result<String, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let Some(file) = file else { return Ok(()) };
    fs::write(file, text()?).map_err(|error| format!("{}: {error}", file.display()).into())
}
