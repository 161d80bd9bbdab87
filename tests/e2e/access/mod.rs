//! Who may do what: each request that there is, by each one who may make it or not.
//!
//! | module | what it is |
//! |---|---|
//! | `table` | each by each, on the public and the admin port, of one gateway and of two |
//! | `ports` | the same for the ports inside the cluster |
//! | `redis` | the same for Redis' user, and which Redis is taken |
//! | `start`, `tokens`, `jwks`, `service`, `proxy`, `link` | what is special to each `--auth` |
//! | `gateways` | what one gateway passes on to another |
//! | `frame`, `fastrtc`, `legacy` | the page in a frame; FastRTC's front-ends |
//! | `stub`, `reverse_proxy` | a service, and a proxy, that these tests play |

mod fastrtc;
mod frame;
mod gateways;
mod jwks;
mod legacy;
mod link;
mod ports;
mod proxy;
mod redis;
mod reverse_proxy;
mod service;
mod start;
mod stub;
mod table;
mod tokens;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use reframe_tests::browser::Browser;
use reframe_tests::process::run;
use reframe_tests::source::{Format, Video};
use serde_json::json;

use super::forward::counting;
use super::requests::{offer, open, request};
use super::*;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const OTHER_KEY: &str = "fedcba9876543210fedcba9876543210";

/// A file of its own in the temporary folder, which only we may read.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let file = format!("reframe-access-{name}-{}", std::process::id());
        let file = Self(std::env::temp_dir().join(file));
        file.write(text);
        file
    }

    /// At once, as whoever replaces a key should: a gateway may look at any moment.
    fn write(&self, text: &str) {
        let beside = self.0.with_extension("new");
        fs::write(&beside, text).expect("a file");
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).expect("our own file");
        fs::rename(&beside, &self.0).expect("our own file");
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a UTF-8 path")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

/// What `reframe-gateway token` prints.
fn token(keys: &File, options: &[&str]) -> String {
    let args = [&["token", "--auth-key-file", keys.path()], options].concat();
    let output = run("reframe-gateway", &args);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("a token").trim().to_owned()
}

/// The status of an answer that may never end.
fn status_of(url: &str, bearer: Option<&str>) -> u16 {
    let (host, path) = url.trim_start_matches("http://").split_once('/').expect("a path");
    let mut connection = TcpStream::connect(host).expect("the gateway listens");
    let bearer = bearer.map(|token| format!("Authorization: Bearer {token}\r\n"));
    let bearer = bearer.unwrap_or_default();
    let head = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\n{bearer}\r\n");
    connection.write_all(head.as_bytes()).expect("it is read");
    let mut line = String::new();
    BufReader::new(connection).read_line(&mut line).expect("an answer");
    line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line")
}

fn candidate(id: &str) -> Value {
    let candidate =
        json!({ "candidate": "candidate:1 1 udp 2122260223 127.0.0.1 9 typ host", "sdpMid": "0" });
    json!({ "type": "ice-candidate", "candidate": candidate, "webrtc_id": id })
}

/// The console has nothing but what was refused before the right thing was shown.
#[track_caller]
fn assert_only_refused(browser: &Browser) {
    let errors = browser.console_errors();
    assert!(errors.iter().all(|error| error.contains("401")), "{errors:?}");
}

/// A camera that shows this access token.
fn camera(id: &str, token: &str) -> Options {
    let video = Video::Live(Format::SMALL);
    Options { token: Some(token.to_owned()), ..Options::camera(id, video) }
}

fn with_tokens(keys: &File, options: &[&str]) -> Cluster {
    let auth = ["--auth", "token", "--auth-key-file", keys.path()];
    Cluster::local_with([counting()], &[&auth, options].concat())
}
