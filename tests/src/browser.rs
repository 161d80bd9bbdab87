//! A real Chromium, without a window, driven through Debian's chromedriver: what a person in front
//! of the page would see. And a Firefox, where there is geckodriver.
//!
//! Its camera is a clip of [`pattern::Camera`](crate::pattern::Camera), so that a picture read back
//! from the page tells its number and which way up it is. Calls block, and panic with what they
//! were about: there is nobody to handle it.

mod driver;
mod flows;
mod picture;

use std::path::Path;
use std::time::Duration;

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

pub use self::driver::UNTRUSTED_HOST;
use self::driver::{Driver, arguments};
pub use self::flows::Flows;
pub use self::picture::Picture;
use self::picture::READ;
use crate::pattern::Code;
use crate::wait::{eventually, try_eventually};

/// From a click to what it leads to. Generous: a cold Chromium on a busy machine takes ten seconds
/// to its first picture.
const PATIENCE: Duration = Duration::from_secs(60);

/// WebDriver's names of keys (its section 17.4.2).
pub const KEY_END: &str = "\u{e010}";
/// See [`KEY_END`].
pub const KEY_HOME: &str = "\u{e011}";
/// See [`KEY_END`].
pub const KEY_RIGHT: &str = "\u{e014}";

/// What the page finds when it asks for a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Camera {
    /// A camera, and a person who allows it.
    Allowed,
    /// The same, of 1280x720.
    AllowedHd,
    /// A camera, and a person who does not allow it.
    Denied,
    /// No camera.
    Missing,
}

/// One browser with a profile of its own. Dropping it ends every process of it.
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
        let driver = Driver::chrome(directory);
        let capabilities = json!({
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        Self::connect(driver, capabilities)
    }

    /// Starts geckodriver and a Firefox with the camera that it makes up itself; `None` where there
    /// is no geckodriver. No console and no sizes of the page: those commands are Chromium's.
    ///
    /// # Panics
    /// When Firefox does not start: `firefox-esr` is not installed, most likely.
    #[must_use]
    pub fn start_firefox(directory: &Path, name: &str) -> Option<Self> {
        let directory = directory.join(format!("firefox-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory for the profile");
        let driver = Driver::gecko(directory)?;
        let capabilities = json!({
            "moz:firefoxOptions": {
                "binary": "/usr/bin/firefox-esr",
                "args": ["-headless"],
                "prefs": {
                    "media.navigator.streams.fake": true,
                    "media.navigator.permission.disabled": true,
                    // The gateway under test has no other address.
                    "media.peerconnection.ice.loopback": true,
                    // Codecs from the network.
                    "media.gmp-manager.updateEnabled": false,
                },
            },
        });
        Some(Self::connect(driver, capabilities))
    }

    fn connect(driver: Driver, capabilities: Value) -> Self {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let Value::Object(capabilities) = capabilities else {
            unreachable!("it is written as an object")
        };
        let client = runtime
            .block_on(
                ClientBuilder::new(HttpConnector::new())
                    .capabilities(capabilities)
                    .connect(&driver.url),
            )
            .expect("a session with the browser");
        let session = runtime
            .block_on(client.session_id())
            .expect("the session's id")
            .expect("a session is open");
        Self { client, driver, session, runtime }
    }

    /// Opens `url` and returns when it has loaded.
    pub fn open(&self, url: &str) {
        self.runtime
            .block_on(self.client.goto(url))
            .unwrap_or_else(|error| panic!("opening {url}: {error}"));
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

    /// Closes the tab that is looked at, and looks at the first again.
    pub fn close_tab(&self) {
        self.runtime
            .block_on(async {
                self.client.close_window().await?;
                let first = self.client.windows().await?.swap_remove(0);
                self.client.switch_to_window(first).await
            })
            .expect("the first tab");
    }

    /// What follows is about this frame of the page, by its place, until another page is opened.
    ///
    /// # Panics
    /// When there is no such frame.
    pub fn enter_frame(&self, place: u16) {
        self.runtime.block_on(self.client.enter_frame(place)).expect("a frame");
    }

    /// Clicks the element with this id, as a person does: it must be visible and not covered.
    pub fn click(&self, id: &str) {
        self.runtime
            .block_on(async { self.client.find(Locator::Id(id)).await?.click().await })
            .unwrap_or_else(|error| panic!("clicking #{id}: {error}"));
    }

    /// Types `keys` into the element with this id; WebDriver has code points for those without a
    /// character ([`KEY_END`]).
    pub fn press(&self, id: &str, keys: &str) {
        self.runtime
            .block_on(async { self.client.find(Locator::Id(id)).await?.send_keys(keys).await })
            .unwrap_or_else(|error| panic!("typing into #{id}: {error}"));
    }

    /// The newest value that the output of this name shows; `Null` while it shows none.
    #[must_use]
    pub fn output(&self, name: &str) -> Value {
        let json = self.run(&format!(
            "return document.getElementById('output-{name}').dataset.value ?? 'null'"
        ));
        json.as_str().and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
    }

    /// The visible text of the element with this id.
    #[must_use]
    pub fn text(&self, id: &str) -> String {
        self.runtime
            .block_on(async { self.client.find(Locator::Id(id)).await?.text().await })
            .unwrap_or_else(|error| panic!("reading #{id}: {error}"))
    }

    /// What `script`, a function body, returns.
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
            shown = self
                .run("return document.body.dataset.state")
                .as_str()
                .unwrap_or_default()
                .to_owned();
            (shown == state).then_some(())
        });
        assert!(
            reached.is_some(),
            "the page is {shown:?}, not {state:?}; it says: {:?}",
            self.text_of_page()
        );
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
             for (let i = 0; i < data.length; i += 4)
               text += String.fromCharCode(data[i], data[i + 1], data[i + 2]);
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

    /// Waits until the video element with this id shows a picture whose number can be read and that
    /// `accept` takes.
    ///
    /// # Panics
    /// When it shows none within a minute.
    #[track_caller]
    pub fn wait_for_picture(
        &self,
        id: &str,
        what: &str,
        accept: impl Fn(Code) -> bool,
    ) -> (Picture, Code) {
        eventually(&format!("#{id} shows {what}"), PATIENCE, || {
            let picture = self.picture(id);
            let code = picture.code().filter(|code| accept(*code))?;
            Some((picture, code))
        })
    }

    /// Sizes the page, in CSS pixels.
    pub fn resize(&self, width: u32, height: u32) {
        // Not the window: Chromium's is never narrower than 500 pixels.
        let is_phone = width < 500;
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone,
        });
        let _: Value = self.vendor(
            "goog/cdp/execute",
            &json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": metrics }),
        );
    }

    /// Keeps what the page looks like now as a PNG file.
    pub fn screenshot(&self, path: &Path) {
        let png = self.runtime.block_on(self.client.screenshot()).expect("a screenshot");
        std::fs::create_dir_all(path.parent().expect("a file in a directory"))
            .expect("a directory for screenshots");
        std::fs::write(path, png)
            .unwrap_or_else(|error| panic!("writing {}: {error}", path.display()));
    }

    /// The console's errors since the last call: uncaught exceptions, refused resources, policy
    /// violations.
    #[must_use]
    pub fn console_errors(&self) -> Vec<String> {
        let entries = self.vendor("se/log", &json!({ "type": "browser" }));
        let entries = entries.as_array().expect("a list of log entries");
        entries
            .iter()
            .filter(|entry| entry["level"] == "SEVERE")
            .map(|entry| entry["message"].to_string())
            .collect()
    }

    fn text_of_page(&self) -> String {
        self.run("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// A command of chromedriver's own, which fantoccini does not know.
    fn vendor(&self, command: &str, body: &Value) -> Value {
        let url = format!("{}/session/{}/{command}", self.driver.url, self.session);
        let mut response =
            ureq::post(&url).send_json(body).unwrap_or_else(|error| panic!("{command}: {error}"));
        response.body_mut().read_json::<Value>().expect("JSON")["value"].take()
    }
}
