//! Tokens that nobody minted, at a gateway that wants some: every door stays shut.

use rand::rngs::SmallRng;
use rand::{Rng as _, RngExt as _};
use serde_json::{Value, json};

use super::unique;
use crate::attacker::arena::Arena;
use crate::http::{Reply, send};
use crate::peer::{Media, offer_sdp};
use crate::process::{Process, run};

/// Forged tokens for each door.
const TRIES: usize = 60;
/// Lines of the gateway's log in all: what anybody can cause is told a few times.
const LINES: usize = 60;

/// A file of a secret that goes with the attack.
struct Key(std::path::PathBuf, String);

impl Key {
    fn new(name: &str, random: &mut SmallRng) -> Result<Self, String> {
        let mut secret = [0; 32];
        random.fill_bytes(&mut secret);
        let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = std::env::temp_dir().join(unique(name));
        std::fs::write(&path, &secret).map_err(|error| error.to_string())?;
        Ok(Self(path, secret))
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

/// Access tokens, sessions' tokens and the operator's: of no key, of other keys, broken, huge,
/// twice; and other spellings of the paths, on the public and the admin port; and a browser at the
/// latter. None opens anything, and a good token still does.
pub(super) fn doors(arena: &mut Arena, random: &mut SmallRng) -> Result<String, String> {
    let (key, operator) = (Key::new("doors", random)?, Key::new("operator", random)?);
    let (file, worker) = (key.path(), format!("http://{}", arena.worker));
    let mut gateway = Process::start(
        "reframe-gateway",
        &[
            "--http",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--workers",
            &worker,
            "--auth",
            "token",
            "--auth-key-file",
            file,
            "--admin-token-file",
            operator.path(),
        ],
    );
    let page = gateway.announced("page ").trim_end_matches('/').to_owned();
    let admin = gateway.announced("admin ").trim_end_matches('/').to_owned();
    let minted = run("reframe-gateway", &["token", "--auth-key-file", file]);
    let good = String::from_utf8_lossy(&minted.stdout).trim().to_owned();
    let before = gateway.log().lines().count();
    let mut asked = 0_usize;
    for _ in 0..TRIES {
        let forged = forge(&good, random);
        let bearer = format!("Bearer {forged}");
        let cookie = format!("reframe_token={forged}");
        for headers in [
            vec![("authorization", bearer.as_str())],
            vec![("cookie", cookie.as_str())],
            vec![("authorization", bearer.as_str()), ("authorization", bearer.as_str())],
        ] {
            for (method, path, body) in requests(&forged) {
                asked += 1;
                let reply = ask(method, &format!("{page}{path}"), &headers, &body);
                if !(400..500).contains(&reply.status) {
                    return Err(format!("{method} {path} with {forged}: {reply:?}"));
                }
            }
            for (method, path) in OPERATORS {
                asked += 1;
                let reply = ask(method, &format!("{admin}{path}"), &headers, &Value::Null);
                if !(400..500).contains(&reply.status) {
                    return Err(format!("admin {method} {path} with {forged}: {reply:?}"));
                }
            }
        }
    }
    let bearer = format!("Bearer {good}");
    let headers = [("authorization", bearer.as_str())];
    let reply = send("GET", &format!("{page}/api/streams"), &headers, "");
    // The operator's own browser, led by another page.
    let operators = format!("Bearer {}", operator.1);
    let operators = ("authorization", operators.as_str());
    let list = format!("{admin}/api/sessions");
    for led in [("origin", "http://example.com"), ("sec-fetch-site", "cross-site")] {
        let led = send("GET", &list, &[operators, led], "");
        if led.status != 403 {
            return Err(format!("a browser at the admin port: {led:?}"));
        }
    }
    let listed = send("GET", &list, &[operators], "");
    if listed.status != 200 {
        return Err(format!("the operator is refused: {listed:?}"));
    }
    let lines = gateway.log().lines().count() - before;
    match (reply.status, lines) {
        (200, ..=LINES) => Ok(format!("{asked} requests, none passed")),
        (200, lines) => Err(format!("{lines} lines of log")),
        _ => Err(format!("a good token is refused: {reply:?}")),
    }
}

/// All that the operator's token opens, and the same by other names.
const OPERATORS: [(&str, &str); 6] = [
    ("GET", "/api/sessions"),
    ("GET", "/api/sessions/honest-0"),
    ("DELETE", "/api/sessions/honest-0"),
    ("GET", "//api/sessions"),
    ("GET", "/metrics/../api/sessions"),
    ("GET", "/%61pi/sessions"),
];

fn ask(method: &str, url: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
    let headers = [&[("content-type", "application/json")], headers].concat();
    send(method, url, &headers, &if body.is_null() { String::new() } else { body.to_string() })
}

/// All that a token opens, and the same by other names.
fn requests(forged: &str) -> Vec<(&'static str, &'static str, Value)> {
    let id = unique("door");
    let offer = json!({
        "type": "offer", "sdp": offer_sdp(Media::default()), "webrtc_id": id, "session_token": forged,
    });
    let set = json!({ "webrtc_id": id, "session_token": forged });
    vec![
        ("GET", "/api/streams", Value::Null),
        ("GET", "/flip/api/streams", Value::Null),
        ("GET", "//api/streams", Value::Null),
        ("GET", "/flip/../api/streams", Value::Null),
        ("GET", "/%61pi/streams", Value::Null),
        ("GET", "/webrtc/ice_servers", Value::Null),
        ("GET", "/api/token", Value::Null),
        ("POST", "/api/token", Value::Null),
        ("GET", "/api/sessions", Value::Null),
        ("POST", "/webrtc/offer", offer),
        ("POST", "/input_hook", set),
        ("GET", "/updates?webrtc_id=door&session_token=a.b.c", Value::Null),
    ]
}

/// One that is near `good`, or far from it.
fn forge(good: &str, random: &mut SmallRng) -> String {
    let parts: Vec<&str> = good.split('.').collect();
    match random.random_range(0..8) {
        // `{"alg":"none"}`, with the good one's claims.
        0 => format!("eyJhbGciOiJub25lIn0.{}.", parts[1]),
        1 => format!("{}.{}.", parts[0], parts[1]),
        2 => {
            let mut bytes = good.as_bytes().to_vec();
            let at = random.random_range(0..bytes.len() - 1);
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            String::from_utf8(bytes).unwrap_or_default()
        }
        3 => good[..random.random_range(0..good.len())].to_owned(),
        4 => format!("{}.{}.{}", parts[1], parts[0], parts[2]),
        5 => "x".repeat(random.random_range(4_097..7_000)),
        6 => format!("{good}.{}", parts[2]),
        _ => format!("{}.{}.{}", parts[0], parts[1], "A".repeat(43)),
    }
}
