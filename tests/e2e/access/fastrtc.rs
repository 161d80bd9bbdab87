//! A front-end that was written for FastRTC (`fastrtc.html`), in a real Chromium, at an address of
//! its own: it shows ids, and no session's token.

use reframe_tests::browser::{Browser, Camera};
use reframe_worker::{
    AdditionalOutputs, Frame, HandlerError, Number, Session, Slider, Stream, VideoStreamHandler,
};

use super::super::browser::{SOON, start};
use super::reverse_proxy::reverse_proxy;
use super::stub::service;
use super::*;

/// As `crypto.randomUUID()` makes them.
const LONG_ID: &str = "0b8f0d0e-5a0c-4b57-9a2c-6a6f4c1c7d10";

/// The picture as it came, and the input as an output.
fn echoing() -> Stream {
    let handler = |frame: Frame, session: &Session| {
        let by: f64 = session.inputs().get("by")?;
        Ok::<_, HandlerError>((frame, AdditionalOutputs::new([by])))
    };
    Stream::builder(VideoStreamHandler::new(handler))
        .additional_inputs([Slider::new("by", 0.0..=10.0).value(1.0)])
        .additional_outputs([Number::new("by")])
        .build()
}

struct FrontEnd {
    browser: Browser,
    address: String,
}

impl FrontEnd {
    fn start(name: &str) -> Self {
        let (address, _) = service(|_| (200, include_str!("fastrtc.html").to_owned()));
        Self { browser: start(name, Camera::Allowed), address }
    }

    /// A gateway that takes requests of its pages.
    fn gateway(&self, options: &[&str]) -> Cluster {
        let origin = self.address.trim_end_matches('/');
        Cluster::local_with([echoing()], &[&["--allowed-origins", origin], options].concat())
    }

    /// Shows the page; gives the answer to its offer.
    fn open(&self, server: &str, options: &[(&str, &str)]) -> Value {
        let options = options.iter().map(|(name, value)| format!("&{name}={value}"));
        let options: String = options.collect();
        self.browser.open(&format!("{}?server={server}{options}", self.address));
        self.told("an answer to its offer", "answer")
    }

    fn told(&self, what: &str, name: &str) -> Value {
        let script = format!("return window.{name} ?? null");
        eventually(what, SOON, || Some(self.browser.run(&script)).filter(|told| !told.is_null()))
    }

    /// Sets the input; gives the answer.
    fn set(&self, by: u8) -> Value {
        self.browser.run(&format!("window.wasSet = undefined; set({by})"));
        self.told("an answer to what it sets", "wasSet")
    }

    #[track_caller]
    fn assert_shows_the_picture(&self, answer: &Value) {
        assert_eq!(answer["status"], 200, "{answer}");
        self.browser.wait_for_picture("output", "what the camera sees", |code| !code.flipped);
    }

    /// Video, inputs and outputs.
    #[track_caller]
    fn assert_works(&self, server: &str, options: &[(&str, &str)]) {
        let answer = self.open(server, options);
        self.assert_shows_the_picture(&answer);
        let answer = self.set(7);
        assert_eq!(answer["status"], 200, "{answer}");
        eventually("the output follows the input", SOON, || {
            let output = self.browser.run("return Number(window.newest)");
            (output.as_f64() == Some(7.0)).then_some(())
        });
    }

    /// Video alone, and the answers say what is missing.
    #[track_caller]
    fn assert_shows_only(&self, server: &str, options: &[(&str, &str)]) {
        let answer = self.open(server, options);
        self.assert_shows_the_picture(&answer);
        let refused = self.set(7);
        assert_eq!(refused["status"], 401, "{refused}");
        let told = refused["body"]["meta"]["message"].to_string();
        assert!(told.contains("--legacy-ids") && told.contains("session_token"), "{told}");
        self.told("that it may not read", "unread");
        assert_eq!(self.browser.run("return window.newest ?? null"), Value::Null);
    }
}

#[test]
fn on_a_loopback_address_it_works_as_it_is() {
    let front_end = FrontEnd::start("fastrtc-local");
    let gateway = front_end.gateway(&[]);
    front_end.assert_works(&gateway.page(""), &[]);
}

#[test]
fn with_legacy_ids_it_works_in_each_mode() {
    let front_end = FrontEnd::start("fastrtc-legacy");
    let keys = File::new("fastrtc", KEY);
    let (decides, _) = service(|question| {
        if question["token"] == "ada's" { (204, String::new()) } else { (403, "no".to_owned()) }
    });
    let gateway = |auth: &[&str]| front_end.gateway(&[&["--legacy-ids", "--auth"], auth].concat());
    let long = ("id", LONG_ID);

    let none = gateway(&["none"]);
    front_end.assert_works(&none.page(""), &[long]);
    let opener = token(&keys, &[]);
    let tokens = gateway(&["token", "--auth-key-file", keys.path()]);
    front_end.assert_works(&tokens.page(""), &[long, ("bearer", &opener)]);
    let decided = gateway(&["http", "--auth-http", &decides]);
    front_end.assert_works(&decided.page(""), &[long, ("bearer", "ada's")]);
    let proxied = gateway(&["proxy", "--trusted-proxies", "127.0.0.1"]);
    let proxy = reverse_proxy(&proxied.page(""), "X-Forwarded-User", "ada");
    front_end.assert_works(&proxy, &[long]);
    let linked = gateway(&["link"]);
    let link = linked.page("");
    let (page, drawn) = link.split_once("/?t=").expect("a token in the address");
    front_end.assert_works(page, &[long, ("bearer", drawn)]);
}

#[test]
fn without_legacy_ids_it_shows_video_and_says_what_is_missing() {
    let front_end = FrontEnd::start("fastrtc-strict");
    let keys = File::new("fastrtc-strict", KEY);
    let none = front_end.gateway(&["--auth", "none"]);
    front_end.assert_shows_only(&none.page(""), &[]);
    let auth = ["--auth", "token", "--auth-key-file", keys.path()];
    let tokens = front_end.gateway(&auth);
    let opener = token(&keys, &[]);
    front_end.assert_shows_only(&tokens.page(""), &[("bearer", &opener)]);

    // An id stands for its session, so it must not be guessed; and it does not open a stream.
    let legacy = front_end.gateway(&[&auth[..], &["--legacy-ids"]].concat());
    let refused = front_end.open(&legacy.page(""), &[("bearer", &opener)]);
    let told = refused["body"]["meta"]["message"].to_string();
    assert_eq!(refused["status"], 422, "{refused}");
    assert!(told.contains("at least 16 characters"), "{told}");
    let refused = front_end.open(&legacy.page(""), &[("id", LONG_ID)]);
    let told = refused["body"]["meta"]["message"].to_string();
    assert_eq!(refused["status"], 401, "{refused}");
    assert!(told.contains("a token is needed"), "{told}");
    assert_eq!(legacy.sessions(), 0.0);
}
