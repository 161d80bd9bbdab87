//! A real Chromium, without a window, driven through Debian's chromedriver: what a person in front of the page would see.
//!
//! Its camera is a clip of [`pattern::Camera`](crate::pattern::Camera), so that a picture read back from the page tells
//! its number and which way up it is. Calls block, and panic with what they were about: there is nobody to handle it.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

use crate::pattern::{self, Camera as Pattern, Code};
use crate::wait::{eventually, try_eventually};
use crate::y4m;

/// From a click to what it leads to. Generous: a cold Chromium on a busy machine takes ten seconds to its first picture.
const PATIENCE: Duration = Duration::from_secs(60);
/// For killed processes to let go of their files.
const CLEAN_UP: Duration = Duration::from_secs(10);
/// The clip: two seconds, 27 MB, at a size that Chromium sends whole from the first second.
const CLIP: (u32, u32, u32, u32) = (640, 480, 30, 60);
/// Pictures are read back at half the clip's size: enough for the code, a quarter of the text through WebDriver.
const READ: (u32, u32) = (320, 240);

/// A host name that leads to this machine, but that browsers do not trust as they trust `localhost`.
pub const UNTRUSTED_HOST: &str = "reframe.test";

/// What the page finds when it asks for a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Camera {
    /// A camera, and a person who allows it.
    Allowed,
    /// A camera, and a person who does not allow it.
    Denied,
    /// No camera.
    Missing,
}

/// One Chromium with a profile of its own. Dropping it ends every process of it.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    driver: Driver,
    session: String,
    /// Fantoccini is asynchronous, the tests are not.
    runtime: tokio::runtime::Runtime,
}

impl Browser {
    /// Starts chromedriver and Chromium with a fresh profile below `directory`, named after `name`.
    ///
    /// # Panics
    /// When either does not start: `chromium` and `chromium-driver` are not installed, most likely.
    #[must_use]
    pub fn start(directory: &Path, name: &str, camera: Camera) -> Self {
        let directory = directory.join(format!("browser-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory for the profile");
        let arguments = arguments(&directory, camera);
        let driver = Driver::start(directory);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let capabilities = json!({
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let Value::Object(capabilities) = capabilities else { unreachable!("it is written as an object") };
        let client = runtime
            .block_on(ClientBuilder::new(HttpConnector::new()).capabilities(capabilities).connect(&driver.url))
            .expect("a session with Chromium");
        let session = runtime.block_on(client.session_id()).expect("the session's id").expect("a session is open");
        Self { client, driver, session, runtime }
    }

    /// Opens `url` and returns when it has loaded.
    pub fn open(&self, url: &str) {
        self.runtime.block_on(self.client.goto(url)).unwrap_or_else(|error| panic!("opening {url}: {error}"));
    }

    /// Opens `url` in another tab and looks at that one from now on; the others go on.
    pub fn open_tab(&self, url: &str) {
        self.runtime
            .block_on(async {
                let tab = self.client.new_window(true).await?;
                self.client.switch_to_window(tab.handle).await
            })
            .expect("another tab");
        self.open(url);
    }

    /// Clicks the element with this id, as a person does: it must be visible and not covered.
    pub fn click(&self, id: &str) {
        self.runtime
            .block_on(async { self.client.find(Locator::Id(id)).await?.click().await })
            .unwrap_or_else(|error| panic!("clicking #{id}: {error}"));
    }

    /// The visible text of the element with this id.
    #[must_use]
    pub fn text(&self, id: &str) -> String {
        self.runtime
            .block_on(async { self.client.find(Locator::Id(id)).await?.text().await })
            .unwrap_or_else(|error| panic!("reading #{id}: {error}"))
    }

    /// What `script`, a function body, returns.
    #[must_use]
    pub fn run(&self, script: &str) -> Value {
        self.runtime
            .block_on(self.client.execute(script, Vec::new()))
            .unwrap_or_else(|error| panic!("running {script:?}: {error}"))
    }

    /// Waits until the page is in `state`.
    ///
    /// # Panics
    /// When it is not within a minute; says what the page shows instead.
    #[track_caller]
    pub fn wait_for_state(&self, state: &str) {
        let mut shown = String::new();
        let reached = try_eventually(PATIENCE, || {
            shown = self.run("return document.body.dataset.state").as_str().unwrap_or_default().to_owned();
            (shown == state).then_some(())
        });
        assert!(reached.is_some(), "the page is {shown:?}, not {state:?}; it says: {:?}", self.text_of_page());
    }

    /// The picture that the video element with this id shows now.
    #[must_use]
    pub fn picture(&self, id: &str) -> Picture {
        let (width, height) = READ;
        let rgb = self.run(&format!(
            "const canvas = new OffscreenCanvas({width}, {height});
             const context = canvas.getContext('2d');
             context.drawImage(document.getElementById('{id}'), 0, 0, {width}, {height});
             const {{ data }} = context.getImageData(0, 0, {width}, {height});
             let text = '';
             for (let i = 0; i < data.length; i += 4) text += String.fromCharCode(data[i], data[i + 1], data[i + 2]);
             return text;"
        ));
        let rgb: Vec<u8> = rgb
            .as_str()
            .expect("a string")
            .chars()
            .map(|byte| u8::try_from(u32::from(byte)).expect("one character is one byte"))
            .collect();
        Picture { rgb }
    }

    /// Waits until the video element with this id shows a picture whose number can be read and that `accept` takes.
    ///
    /// # Panics
    /// When it shows none within a minute.
    #[track_caller]
    pub fn wait_for_picture(&self, id: &str, what: &str, accept: impl Fn(Code) -> bool) -> (Picture, Code) {
        eventually(&format!("#{id} shows {what}"), PATIENCE, || {
            let picture = self.picture(id);
            let code = picture.code().filter(|code| accept(*code))?;
            Some((picture, code))
        })
    }

    /// Sizes the page, in CSS pixels.
    pub fn resize(&self, width: u32, height: u32) {
        // Not the window: Chromium's is never narrower than 500 pixels.
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        let _: Value =
            self.vendor("goog/cdp/execute", &json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": metrics }));
    }

    /// Keeps what the page looks like now as a PNG file.
    pub fn screenshot(&self, path: &Path) {
        let png = self.runtime.block_on(self.client.screenshot()).expect("a screenshot");
        std::fs::create_dir_all(path.parent().expect("a file in a directory")).expect("a directory for screenshots");
        std::fs::write(path, png).unwrap_or_else(|error| panic!("writing {}: {error}", path.display()));
    }

    /// The console's errors since the last call: uncaught exceptions, refused resources, policy violations.
    #[must_use]
    pub fn console_errors(&self) -> Vec<String> {
        let entries = self.vendor("se/log", &json!({ "type": "browser" }));
        let entries = entries.as_array().expect("a list of log entries");
        entries.iter().filter(|entry| entry["level"] == "SEVERE").map(|entry| entry["message"].to_string()).collect()
    }

    fn text_of_page(&self) -> String {
        self.run("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// A command of chromedriver's own, which fantoccini does not know.
    fn vendor(&self, command: &str, body: &Value) -> Value {
        let url = format!("{}/session/{}/{command}", self.driver.url, self.session);
        let mut response = ureq::post(&url).send_json(body).unwrap_or_else(|error| panic!("{command}: {error}"));
        response.body_mut().read_json::<Value>().expect("JSON")["value"].take()
    }
}

fn arguments(directory: &Path, camera: Camera) -> Vec<String> {
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
        Camera::Allowed => {
            let (width, height, fps, frames) = CLIP;
            let clip = directory.join("camera.y4m");
            y4m::write(&clip, &Pattern::new(width, height), fps, frames).expect("the camera's clip");
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

/// What a video element shows, read back through a canvas.
#[derive(Debug)]
pub struct Picture {
    /// [`READ`] pixels, three bytes each.
    rgb: Vec<u8>,
}

impl Picture {
    /// Number and orientation, if they can be read.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        // BT.601 weights, in 256ths.
        let luma: Vec<u8> = self
            .rgb
            .chunks_exact(3)
            .map(|rgb| {
                let sum = 77 * u32::from(rgb[0]) + 150 * u32::from(rgb[1]) + 29 * u32::from(rgb[2]);
                u8::try_from(sum >> 8).expect("the weights add up to 256")
            })
            .collect();
        pattern::read(READ.0, READ.1, &luma)
    }

    /// Mean red, green and blue of the rows between two fractions of the height.
    #[must_use]
    pub fn mean(&self, from: f64, to: f64) -> [f64; 3] {
        let rows = self.rgb.chunks_exact(3 * READ.0 as usize).enumerate();
        let (mut sum, mut pixels) = ([0.0; 3], 0.0);
        for (y, row) in rows {
            if !(from..to).contains(&(y as f64 / f64::from(READ.1))) {
                continue;
            }
            for rgb in row.chunks_exact(3) {
                sum.iter_mut().zip(rgb).for_each(|(sum, value)| *sum += f64::from(*value));
                pixels += 1.0;
            }
        }
        sum.map(|sum| sum / pixels)
    }
}

/// chromedriver, and with it the Chromium that it starts.
#[derive(Debug)]
struct Driver {
    process: Child,
    url: String,
    /// Profile and clip; gone with the processes that use it.
    directory: PathBuf,
}

impl Driver {
    fn start(directory: PathBuf) -> Self {
        let process = Command::new("chromedriver")
            .arg("--port=0")
            // A group of its own, so that Chromium's processes end with it whatever state they are in.
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts (Debian package chromium-driver)");
        let mut driver = Self { process, url: String::new(), directory };
        let stdout = driver.process.stdout.take().expect("it is piped");
        // Nothing follows the sentence that ends with the port, so the pipe that is left unread can never fill up.
        let port = BufReader::new(stdout)
            .lines()
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once("started successfully on port ")?.1.trim_end_matches('.').to_owned()))
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
        // Chromium's own processes are not our children and may still be writing. What stays costs disk space only.
        try_eventually(CLEAN_UP, || std::fs::remove_dir_all(&self.directory).ok());
    }
}
