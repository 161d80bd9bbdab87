//! With the real ffmpeg, on files that it makes first.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::time::Duration;
use std::{env, fs, io, thread};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::{SourceError, Video, VideoOptions};
use crate::{Frame, HandlerError, Inputs, PixelFormat, Session};

/// A file that is gone after its test.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        Self(env::temp_dir().join(format!("reframe-{}-{name}", process::id())))
    }

    /// What ffmpeg makes of these arguments.
    fn make(name: &str, arguments: &[&str]) -> Self {
        let file = Self::new(name);
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-nostdin", "-loglevel", "error", "-y"]).args(arguments).arg(&file.0);
        assert!(ffmpeg.status().unwrap().success());
        file
    }

    /// Lossless; picture `n` has the brightness 20 + 4 n all over.
    fn steps(name: &str, (width, height): (u32, u32), fps: &str, frames: u32) -> Self {
        // Cropped last: what ffmpeg draws has even sides.
        let (even_width, even_height) = (width.next_multiple_of(2), height.next_multiple_of(2));
        let graph = format!(
            "color=size={even_width}x{even_height}:rate={fps},format=yuv420p,geq=lum='20+4*N':cb=128:cr=128,\
             crop={width}:{height}:0:0:exact=1"
        );
        Self::make(
            name,
            &["-f", "lavfi", "-i", &graph, "-frames:v", &frames.to_string(), "-c:v", "ffv1"],
        )
    }
}

impl Drop for File {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

/// The numbers of frames from [`File::steps`], each checked to be of one brightness.
fn numbers(frames: impl Iterator<Item = Result<Frame, HandlerError>>) -> Vec<u32> {
    let number = |frame: Frame| {
        assert_eq!(frame.format(), PixelFormat::I420);
        let plane = &frame.data()[..(frame.width() * frame.height()) as usize];
        assert!(
            plane.iter().all(|pixel| *pixel == plane[0]),
            "{:?}",
            &plane[..plane.len().min(32)]
        );
        (u32::from(plane[0]) - 20) / 4
    };
    frames.map(|frame| number(frame.unwrap())).collect()
}

fn i420() -> VideoOptions {
    Video::options().pixel_format(PixelFormat::I420)
}

fn runs(id: u32) -> bool {
    Path::new(&format!("/proc/{id}")).exists()
}

#[test]
fn every_frame_comes_once_and_in_order_in_every_size() {
    for (width, height) in [(320, 240), (33, 17), (16, 16), (17, 16), (1920, 1080)] {
        let file = File::steps(&format!("steps-{width}x{height}.mkv"), (width, height), "30", 12);
        let mut video = i420().open(&file.0).unwrap();
        assert_eq!((video.width(), video.height(), video.fps()), (width, height, 30.0));
        let first = video.next().unwrap().unwrap();
        assert_eq!((first.width(), first.height()), (width, height));
        assert_eq!(numbers(video.by_ref()), Vec::from_iter(1..12), "{width}x{height}");
        assert!(video.next().is_none());
    }
}

/// As browsers and phones record.
#[test]
fn an_uneven_rate_repeats_no_frame() {
    let graph = "color=size=32x16:rate=30,format=yuv420p,geq=lum='20+4*N':cb=128:cr=128,\
                 settb=1/1000,setpts='33*N+mod(7*N\\,11)'";
    let coded =
        ["-frames:v", "12", "-fps_mode", "passthrough", "-enc_time_base", "1/1000", "-c:v", "ffv1"];
    let file = File::make("uneven.mkv", &[&["-f", "lavfi", "-i", graph], &coded[..]].concat());
    assert_eq!(numbers(i420().open(&file.0).unwrap()), Vec::from_iter(0..12));
}

#[test]
fn frames_come_in_the_format_that_was_asked_for() {
    let file = File::steps("formats.mkv", (34, 18), "30", 1);
    for format in [PixelFormat::Rgb24, PixelFormat::Bgr24, PixelFormat::I420, PixelFormat::Gray8] {
        let frame =
            Video::options().pixel_format(format).open(&file.0).unwrap().next().unwrap().unwrap();
        assert_eq!(frame.format(), format);
    }
    assert_eq!(Video::open(&file.0).unwrap().next().unwrap().unwrap().format(), PixelFormat::Rgb24);
}

#[test]
fn size_and_rate_can_be_others_than_the_sources() {
    let file = File::steps("scaled.mkv", (64, 48), "30000/1001", 30);
    assert!((Video::open(&file.0).unwrap().fps() - 29.97).abs() < 0.001);
    let video = i420().size(33, 17).fps(10.0).open(&file.0).unwrap();
    assert_eq!((video.width(), video.height(), video.fps()), (33, 17, 10.0));
    let numbers = numbers(video);
    assert_eq!(numbers.len(), 10);
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}

#[test]
fn high_definition_colours_become_those_of_the_wire() {
    let graph =
        "color=red:size=64x64:rate=30,scale=out_color_matrix=bt709:out_range=tv,format=yuv420p";
    let tags = ["-colorspace", "bt709", "-color_range", "tv", "-c:v", "ffv1", "-frames:v", "1"];
    let file = File::make("bt709.mkv", &[&["-f", "lavfi", "-i", graph][..], &tags].concat());
    let frame = i420().open(&file.0).unwrap().next().unwrap().unwrap();
    let (u, v) = (64 * 64, 64 * 64 + 32 * 32);
    let (yuv, red) = ([0, u, v].map(|at| frame.data()[at]), [81_u8, 90, 240]);
    assert!(yuv.iter().zip(red).all(|(a, b)| a.abs_diff(b) <= 3), "red is {yuv:?}, not {red:?}");
}

#[test]
fn a_loop_has_no_seam() {
    let file = File::steps("loop.mkv", (32, 32), "30", 7);
    let video = i420().looping(true).open(&file.0).unwrap();
    assert_eq!(numbers(video.take(30)), Vec::from_iter((0..30).map(|n| n % 7)));
}

#[test]
fn the_sample_clip_loops_too() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/sample.mp4");
    let video = i420().looping(true).open(sample).unwrap();
    assert_eq!((video.width(), video.height(), video.fps()), (640, 360, 30.0));
    let frames: Vec<Frame> = video.take(302).map(Result::unwrap).collect();
    assert!(frames[300..] == frames[..2]);
    assert_ne!(frames[0], frames[1]);
}

#[test]
fn rewinds_from_anywhere() {
    let file = File::steps("rewind.mkv", (32, 32), "30", 5);
    let mut video = i420().open(&file.0).unwrap();
    let first = video.process_id().unwrap();
    assert_eq!(numbers(video.by_ref().take(3)), [0, 1, 2]);
    video.rewind().unwrap();
    assert!(!runs(first));
    assert_eq!(numbers(video.by_ref()), [0, 1, 2, 3, 4]);
    video.rewind().unwrap();
    assert_eq!(numbers(video.by_ref()), [0, 1, 2, 3, 4]);
    fs::remove_file(&file.0).unwrap();
    assert!(matches!(video.rewind(), Err(SourceError::NotFound(_))));
    assert!(video.next().is_none());
}

#[test]
fn real_time_is_not_faster_than_the_clip() {
    let file = File::steps("realtime.mkv", (32, 32), "10", 20);
    let start = Instant::now();
    assert_eq!(numbers(i420().realtime(true).open(&file.0).unwrap()).len(), 20);
    // Two seconds, of which newer ffmpegs give the first half at once.
    assert!(start.elapsed() > Duration::from_secs(1), "{:?}", start.elapsed());
}

#[test]
fn each_kind_of_unplayable_source_says_so() {
    let garbage = File::new("garbage.mp4");
    fs::write(&garbage.0, "no video".repeat(1000)).unwrap();
    let audio = File::make("audio.wav", &["-f", "lavfi", "-i", "sine=duration=0.1"]);
    let gone = "/nowhere/clip.mp4";
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = |source: &Path| Video::open(source).unwrap_err().to_string();
    assert_eq!(text(gone.as_ref()), "there is no file `/nowhere/clip.mp4`");
    assert_eq!(text(&audio.0), format!("`{}` has no video in it", audio.0.display()));
    let found = "Invalid data found when processing input";
    assert_eq!(text(&garbage.0), format!("`{}` cannot be played: {found}", garbage.0.display()));
    assert!(
        text("/tmp".as_ref()).ends_with("cannot be played: Is a directory"),
        "{}",
        text("/tmp".as_ref())
    );
    let refused = text(format!("http://me:secret@{closed}/clip.mp4?key=secret").as_ref());
    assert_eq!(refused, format!("`http://{closed}/clip.mp4` cannot be played: Connection refused"));
}

#[test]
fn an_absent_ffmpeg_says_how_to_install_it() {
    let mut options = Video::options();
    options.program = "ffmpeg-that-is-not-there".into();
    let error = options.open("/dev/null").unwrap_err().to_string();
    let expected = "the program `ffmpeg-that-is-not-there` is not installed (Debian, Ubuntu: \
                    apt-get install ffmpeg)";
    assert_eq!(error, expected);
    options.program = "true".into();
    let error = options.open("/dev/null").unwrap_err();
    assert_eq!(error, SourceError::Malformed("there is no header"));
}

#[test]
fn pictures_that_are_too_large_can_be_made_smaller() {
    let file = File::steps("wide.mkv", (4098, 16), "30", 1);
    let refused = Video::open(&file.0).unwrap_err();
    assert!(matches!(refused, SourceError::TooLarge { width: 4098, height: 16, .. }), "{refused}");
    assert_eq!(numbers(i420().size(64, 16).open(&file.0).unwrap()), [0]);
}

#[test]
fn a_path_is_a_path_whatever_is_in_it() {
    let file = File::steps("a b%d'\"$(id)|é:-y.mkv", (16, 16), "30", 2);
    assert_eq!(numbers(i420().open(&file.0).unwrap()), [0, 1]);
}

#[test]
fn the_child_is_gone_after_the_end_an_error_and_a_drop() {
    let file = File::steps("child.mkv", (640, 480), "30", 50);
    let mut video = i420().looping(true).open(&file.0).unwrap();
    let id = video.process_id().unwrap();
    assert!(runs(id) && video.next().is_some());
    drop(video);
    assert!(!runs(id));

    let mut video = i420().open(&file.0).unwrap();
    let id = video.process_id().unwrap();
    assert_eq!(video.by_ref().count(), 50);
    assert!(!runs(id));
}

#[test]
fn a_silent_source_is_an_error_not_a_wait() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = Video::options().silence(Duration::from_millis(300));
    let source = format!("http://{}/live", listener.local_addr().unwrap());
    assert_eq!(options.open(&source).unwrap_err(), SourceError::Silent { name: source });
}

#[test]
fn a_closed_session_ends_what_waits_and_the_child() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let source = format!("http://{}/live", listener.local_addr().unwrap());
    let (inputs, session) = session();
    let opened = thread::spawn(move || {
        session.set_current();
        Video::open(source)
    });
    let ten_seconds = Timespec { tv_sec: 10, tv_nsec: 0 };
    assert_eq!(poll(&mut [PollFd::new(&listener, PollFlags::IN)], Some(&ten_seconds)), Ok(1));
    let (mut connection, _) = listener.accept().unwrap();
    drop(inputs);
    assert_eq!(opened.join().unwrap().unwrap_err(), SourceError::Closed);
    // Ends when the child's side of it does; it may do so with a reset.
    connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let end = io::copy(&mut connection, &mut io::sink());
    assert!(!matches!(end, Err(error) if error.kind() == io::ErrorKind::WouldBlock));
}

#[test]
fn a_closed_session_ends_a_source_that_has_more() {
    let file = File::steps("closed.mkv", (32, 32), "30", 5);
    let (inputs, session) = session();
    session.set_current();
    let mut video = i420().looping(true).open(&file.0).unwrap();
    let id = video.process_id().unwrap();
    assert_eq!(numbers(video.by_ref().take(6)), [0, 1, 2, 3, 4, 0]);
    drop(inputs);
    assert!(video.next().is_none() && !runs(id));
}

/// A session that lasts as long as the sender.
fn session() -> (watch::Sender<Inputs>, Session) {
    let (inputs, watched) = watch::channel(Inputs::default());
    let (replies, _) = mpsc::channel(1);
    (inputs, Session::new("test".into(), watched, &replies, false, crate::health::Health::new()))
}

/// Many bytes of the pictures are wrong, and ffmpeg has more to say of it than a pipe holds.
#[test]
fn a_noisy_ffmpeg_blocks_nobody() {
    let graph = "testsrc2=size=320x240:rate=30";
    let encoder = ["-frames:v", "600", "-c:v", "mpeg4", "-g", "5", "-q:v", "3"];
    let file = File::make("noisy.avi", &[&["-f", "lavfi", "-i", graph][..], &encoder].concat());
    let mut bytes = fs::read(&file.0).unwrap();
    // Not the headers, nor the index at the end.
    let end = bytes.len() - 100_000;
    for byte in bytes[20_000..end].iter_mut().step_by(97) {
        *byte ^= 0x55;
    }
    fs::write(&file.0, bytes).unwrap();
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-loglevel", "error", "-i"]).arg(&file.0).args(["-f", "null", "-"]);
    assert!(ffmpeg.output().unwrap().stderr.len() > 65_536);
    let frames = i420().open(&file.0).unwrap().filter(Result::is_ok).count();
    assert!(frames > 300, "{frames}");
}
