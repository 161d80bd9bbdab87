//! A browser's processes: how they are started, and that they all end.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use super::Camera;
use crate::pattern::Camera as Pattern;
use crate::wait::{eventually, try_eventually};
use crate::y4m;

/// For killed processes to let go of their files.
const CLEAN_UP: Duration = Duration::from_secs(10);
/// For a WebDriver server to listen.
const START: Duration = Duration::from_secs(30);
/// The clip: two seconds, 27 MB, at a size that Chromium sends whole from the first second.
const CLIP: (u32, u32, u32, u32) = (640, 480, 30, 60);

/// One second of 720p, 41 MB.
const HD_CLIP: (u32, u32, u32, u32) = (1280, 720, 30, 30);

/// A host name that leads to this machine, but that browsers do not trust as they trust
/// `localhost`.
pub const UNTRUSTED_HOST: &str = "reframe.test";

/// A WebDriver server, and with it the browser that it starts.
#[derive(Debug)]
pub(super) struct Driver {
    process: Child,
    pub(super) url: String,
    /// Profile and clip; gone with the processes that use it.
    directory: PathBuf,
    /// Likewise: what Chromium leaves in its directory for temporary files when it is killed.
    temporary: Option<PathBuf>,
}

impl Driver {
    /// geckodriver; `None` where it is not installed. Debian has no package of it.
    pub(super) fn gecko(directory: PathBuf) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .expect("a free port")
            .port();
        let process = Command::new("geckodriver")
            .args(["--port", &port.to_string(), "--websocket-port", "0", "--profile-root"])
            .arg(&directory)
            .process_group(0)
            // It writes on and on, and would wait for a reader.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let driver =
            Self { process, url: format!("http://127.0.0.1:{port}"), directory, temporary: None };
        eventually("geckodriver listens", START, || TcpStream::connect(("127.0.0.1", port)).ok());
        Some(driver)
    }

    pub(super) fn chrome(directory: PathBuf) -> Self {
        // Not below `directory`: Chromium has a socket in it, whose path may have 107 bytes.
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let temporary =
            std::env::temp_dir().join(format!("reframe-chromium-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&temporary).expect("a directory for temporary files");
        let process = Command::new("chromedriver")
            .arg("--port=0")
            .env("TMPDIR", &temporary)
            // A group of its own, so that Chromium's processes end with it whatever state they are
            // in.
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts (Debian package chromium-driver)");
        let mut driver =
            Self { process, url: String::new(), directory, temporary: Some(temporary) };
        let stdout = driver.process.stdout.take().expect("it is piped");
        // Nothing follows the sentence that ends with the port, so nobody misses the pipe that is
        // closed after it.
        let port = BufReader::new(stdout)
            .lines()
            .map_while(Result::ok)
            .find_map(|line| {
                Some(
                    line.split_once("started successfully on port ")?
                        .1
                        .trim_end_matches('.')
                        .to_owned(),
                )
            })
            .expect("chromedriver says its port");
        driver.url = format!("http://127.0.0.1:{port}");
        driver
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // The first two fail only when the processes are gone already.
        kill_process_group(Pid::from_child(&self.process), Signal::KILL).ok();
        self.process.wait().ok();
        // Chromium's own processes are not our children and may still be writing. What stays costs
        // disk space only.
        for directory in [Some(&self.directory), self.temporary.as_ref()].into_iter().flatten() {
            try_eventually(CLEAN_UP, || std::fs::remove_dir_all(directory).ok());
        }
    }
}

/// Chromium's command line. The profile and the camera's clip are in `directory`.
pub(super) fn arguments(directory: &Path, camera: Camera) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        // Containers give /dev/shm 64 MiB, less than a few tabs of video need.
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        // A tab in the background plays on, as a second visitor would.
        "--disable-renderer-backgrounding",
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.push(format!("--host-resolver-rules=MAP {UNTRUSTED_HOST} 127.0.0.1"));
    arguments.push(format!("--user-data-dir={}", directory.join("profile").display()));
    match camera {
        Camera::Allowed | Camera::AllowedHd => {
            let (width, height, fps, frames) =
                if camera == Camera::AllowedHd { HD_CLIP } else { CLIP };
            let clip = directory.join("camera.y4m");
            y4m::write(&clip, &Pattern::new(width, height), fps, frames)
                .expect("the camera's clip");
            arguments.push("--use-fake-ui-for-media-stream".to_owned());
            arguments.push("--use-fake-device-for-media-stream".to_owned());
            arguments.push(format!("--use-file-for-fake-video-capture={}", clip.display()));
        }
        Camera::Denied => {
            arguments.push("--deny-permission-prompts".to_owned());
            arguments.push("--use-fake-device-for-media-stream".to_owned());
        }
        Camera::Missing => {
            arguments.push("--use-fake-ui-for-media-stream".to_owned());
            arguments.push("--use-fake-device-for-media-stream=device-count=0".to_owned());
        }
    }
    arguments
}
