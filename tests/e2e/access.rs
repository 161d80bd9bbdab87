//! Who may do what: each request that there is, by each one who may make it or not.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use reframe_tests::browser::Camera;
use reframe_tests::http::{Reply, get, send};
use reframe_tests::local::LocalWorker;
use reframe_tests::peer::{Media, offer_sdp};
use reframe_tests::process::{Process, run};
use reframe_tests::redis::RedisServer;
use reframe_tests::source::{Format, Video};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::json;

use super::browser::{SOON, keep_screenshots, start};
use super::forward::{Gateway, counting};
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

fn request(method: &str, url: &str, bearer: Option<&str>, body: &Value) -> Reply {
    let bearer = bearer.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    let body = if body.is_null() { String::new() } else { body.to_string() };
    send(method, url, &headers, &body)
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

fn offer(id: &str) -> Value {
    json!({ "type": "offer", "sdp": offer_sdp(Media::default()), "webrtc_id": id })
}

fn candidate(id: &str) -> Value {
    let candidate =
        json!({ "candidate": "candidate:1 1 udp 2122260223 127.0.0.1 9 typ host", "sdpMid": "0" });
    json!({ "type": "ice-candidate", "candidate": candidate, "webrtc_id": id })
}

/// A camera that shows this access token.
fn camera(id: &str, token: &str) -> Options {
    let video = Video::Live(Format::SMALL);
    Options { token: Some(token.to_owned()), ..Options::camera(id, video) }
}

#[track_caller]
fn open(cluster: &Cluster, options: Options) -> Peer {
    let peer = Peer::connect(&cluster.page(""), options);
    let peer = peer.unwrap_or_else(|reply| panic!("no answer: {reply:?}"));
    peer.wait_received(1, PATIENCE);
    peer
}

fn with_tokens(keys: &File, options: &[&str]) -> Cluster {
    let auth = ["--auth", "token", "--auth-key-file", keys.path()];
    Cluster::local_with([counting()], &[&auth, options].concat())
}

/// The table of the issue: a row is who asks, a column is what for.
#[test]
fn each_may_do_what_it_may_and_nothing_else() {
    let (keys, other) = (File::new("table", KEY), File::new("foreign", OTHER_KEY));
    let operator = File::new("operator", "the token of an operator\n");
    let cluster = with_tokens(&keys, &["--admin-token-file", operator.path()]);
    let opener = token(&keys, &["--subject", "ada", "--stream", "default"]);
    let mut peer = open(&cluster, camera("mine", &opener));
    let mut stranger = open(&cluster, camera("theirs", &opener));
    let (mine, theirs) = (peer.session_token().to_owned(), stranger.session_token().to_owned());
    let foreign = token(&other, &[]);
    let elsewhere = token(&keys, &["--stream", "other"]);
    let setter = token(&keys, &["--action", "set"]);
    let reader = token(&keys, &["--action", "read"]);
    let viewer = token(&keys, &["--action", "view"]);

    // What is asked: path, method and body, and whether a session's token belongs to it.
    let admin = |path: &str| cluster.admin(path);
    let page = |path: &str| cluster.page(path);
    let ask = |what: &str, bearer: Option<&str>, session: Option<&str>| -> u16 {
        let with = |mut body: Value| {
            if let Some(session) = session {
                body["session_token"] = session.into();
            }
            body
        };
        let reply = match what {
            "page" => request("GET", &page("/"), bearer, &Value::Null),
            "streams" => request("GET", &page("/api/streams"), bearer, &Value::Null),
            "ice" => request("GET", &page("/webrtc/ice_servers"), bearer, &Value::Null),
            "open" => request("POST", &page("/webrtc/offer"), bearer, &offer("new")),
            "candidate" => {
                request("POST", &page("/webrtc/offer"), bearer, &with(candidate("mine")))
            }
            "set" => {
                let body = with(json!({ "webrtc_id": "mine", "by": 3 }));
                request("POST", &page("/input_hook"), bearer, &body)
            }
            "read" => {
                // The stream of events does not end by itself.
                let query = session.map(|token| format!("&session_token={token}"));
                let path = format!("/updates?webrtc_id=mine{}", query.unwrap_or_default());
                return status_of(&page(&path), bearer);
            }
            "list" => request("GET", &admin("/api/sessions"), bearer, &Value::Null),
            "end" => request("DELETE", &admin("/api/sessions/nobody"), bearer, &Value::Null),
            "metrics" => request("GET", &admin("/metrics"), bearer, &Value::Null),
            "health" => request("GET", &admin("/healthz"), bearer, &Value::Null),
            other => panic!("{other}"),
        };
        if what == "open" && reply.status == 200 {
            let operator = Some("the token of an operator");
            request("DELETE", &admin("/api/sessions/new"), operator, &Value::Null);
        }
        reply.status
    };
    let asked = [
        "page",
        "streams",
        "ice",
        "open",
        "candidate",
        "set",
        "read",
        "list",
        "end",
        "metrics",
        "health",
    ];
    let operator_token = Some("the token of an operator");
    for (who, bearer, session, expected) in [
        ("nobody", None, None, [200, 401, 401, 401, 401, 401, 401, 401, 401, 200, 200]),
        (
            "a wrong token",
            Some("a.b.c"),
            None,
            [200, 401, 401, 401, 401, 401, 401, 401, 401, 200, 200],
        ),
        (
            "a foreign token",
            Some(foreign.as_str()),
            None,
            [200, 401, 401, 401, 401, 401, 401, 401, 401, 200, 200],
        ),
        (
            "an opener",
            Some(opener.as_str()),
            None,
            [200, 200, 200, 200, 401, 401, 401, 401, 401, 200, 200],
        ),
        (
            "an opener of another stream",
            Some(elsewhere.as_str()),
            None,
            [200, 200, 200, 403, 401, 401, 401, 401, 401, 200, 200],
        ),
        (
            "a viewer",
            Some(viewer.as_str()),
            None,
            [200, 200, 403, 403, 401, 401, 401, 401, 401, 200, 200],
        ),
        (
            "a setter",
            Some(setter.as_str()),
            None,
            [200, 200, 403, 403, 401, 200, 401, 401, 401, 200, 200],
        ),
        (
            "a reader",
            Some(reader.as_str()),
            None,
            [200, 200, 403, 403, 401, 401, 200, 401, 401, 200, 200],
        ),
        (
            "the session's client",
            None,
            Some(mine.as_str()),
            [200, 401, 401, 401, 200, 200, 200, 401, 401, 200, 200],
        ),
        (
            "another session's client",
            None,
            Some(theirs.as_str()),
            [200, 401, 401, 401, 403, 403, 403, 401, 401, 200, 200],
        ),
        (
            "an access token for a session's",
            None,
            Some(opener.as_str()),
            [200, 401, 401, 401, 403, 403, 403, 401, 401, 200, 200],
        ),
        (
            "the operator",
            operator_token,
            None,
            [200, 401, 401, 401, 401, 401, 401, 200, 404, 200, 200],
        ),
    ] {
        let answered = asked.map(|what| ask(what, bearer, session));
        assert_eq!(answered, expected, "{who}: {asked:?}");
    }
    peer.wait_output("by", PATIENCE, |by| by.as_f64() == Some(3.0));
    let refused = cluster.metrics().by("reframe_access_refused_total", "reason");
    assert!(refused["unauthorized"] > 0.0 && refused["session_token_wrong"] > 0.0, "{refused:?}");
    peer.close();
    stranger.close();
    let log = cluster.gateway.log();
    assert!(log.contains("opened") && log.contains("ada"), "{log}");
    for secret in [KEY, "the token of an operator", &opener, &mine] {
        assert!(!log.contains(secret), "the log has a secret");
    }
}

#[test]
fn what_is_refused_says_what_to_do() {
    let keys = File::new("told", KEY);
    let cluster = with_tokens(&keys, &[]);
    let expired = token(&keys, &["--ttl", "1s"]);
    let refused = |bearer: Option<&str>| {
        let reply = request("POST", &cluster.page("/webrtc/offer"), bearer, &offer("x"));
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"), "{reply:?}");
        reply.json()["meta"]["message"].as_str().unwrap_or_default().to_owned()
    };
    assert!(refused(None).contains("a token is needed"));
    eventually("the token has ended, half a minute included", Duration::from_secs(60), || {
        let reply = request("GET", &cluster.page("/api/token"), Some(&expired), &Value::Null);
        (reply.status == 401).then_some(())
    });
    assert!(refused(Some(&expired)).contains("ask for a new one"));
    let long = "x".repeat(5_000);
    assert!(refused(Some(&long)).contains("more than 4096 bytes"));
    assert_eq!(cluster.sessions(), 0.0);
    // Two of them: which one counts is not guessed.
    let good = format!("Bearer {}", token(&keys, &[]));
    let two = [("authorization", good.as_str()), ("authorization", good.as_str())];
    let reply = send("GET", &cluster.page("/api/streams"), &two, "");
    assert_eq!(reply.status, 401, "{reply:?}");
}

#[test]
fn inputs_and_numbers_of_sessions_are_the_tokens() {
    let keys = File::new("rights", KEY);
    let cluster = with_tokens(&keys, &[]);
    let grant = token(&keys, &["--subject", "ada", "--max-sessions", "1", "--input", "by=7"]);
    let listed = request("GET", &cluster.page("/api/streams"), Some(&grant), &Value::Null).json();
    assert_eq!(listed["streams"][0]["inputs"], json!([]), "what is fixed is not offered");
    let mut peer = open(&cluster, camera("one", &grant));
    peer.wait_output("by", PATIENCE, |by| by.as_f64() == Some(7.0));
    let set = json!({ "webrtc_id": "one", "by": 1, "session_token": peer.session_token() });
    let reply = request("POST", &cluster.page("/input_hook"), None, &set);
    assert_eq!((reply.status, &reply.json()["meta"]["field"]), (422, &json!("by")));
    let refused =
        Peer::connect(&cluster.page(""), camera("two", &grant).with_inputs(json!({ "by": 2 })));
    assert_eq!(refused.expect_err("`by` is fixed").status, 422);
    let refused =
        Peer::connect(&cluster.page(""), camera("two", &grant)).expect_err("one is enough");
    let error = refused.json()["meta"]["error"].clone();
    assert_eq!((refused.status, error), (429, json!("session_limit_reached")));
    peer.close();
    cluster.wait_for_sessions(0, CLOSED);
    // Its own place is no obstacle, and the rights come with the session's token.
    let again = Options {
        token: None,
        session_token: Some(peer.session_token().to_owned()),
        ..camera("again", "")
    };
    let mut again = open(&cluster, again);
    again.wait_output("by", PATIENCE, |by| by.as_f64() == Some(7.0));
    again.close();
}

#[test]
fn keys_are_replaced_while_sessions_run() {
    let (keys, cluster_keys) = (File::new("rotated", KEY), File::new("signing", KEY));
    let cluster = with_tokens(&keys, &["--cluster-key-file", cluster_keys.path()]);
    let old = token(&keys, &[]);
    let mut peer = open(&cluster, camera("first", &old));
    let status =
        |token: &str| request("GET", &cluster.page("/api/token"), Some(token), &Value::Null).status;
    let set = |peer: &Peer| {
        let body = json!({ "webrtc_id": "first", "by": 1, "session_token": peer.session_token() });
        request("POST", &cluster.page("/input_hook"), None, &body).status
    };
    // The new one beside the old one, then alone.
    keys.write(&format!("new {OTHER_KEY}\nold {KEY}\n"));
    cluster_keys.write(&format!("{OTHER_KEY}\n{KEY}\n"));
    let new = token(&keys, &[]);
    eventually("the new key is known", SOON, || (status(&new) == 200).then_some(()));
    assert_eq!((status(&old), set(&peer)), (200, 200));
    keys.write(OTHER_KEY);
    eventually("the old key is gone", SOON, || (status(&old) == 401).then_some(()));
    // A file that is broken changes nothing.
    keys.write("short");
    eventually("it is told", SOON, || {
        cluster.gateway.log().contains("cannot be used").then_some(())
    });
    assert_eq!(status(&new), 200);
    cluster_keys.write(OTHER_KEY);
    eventually("the session's token is of a key that is gone", SOON, || {
        (set(&peer) == 403).then_some(())
    });
    let pictures = peer.stats().received.len();
    peer.wait_received(pictures + 10, PATIENCE);
    peer.close();
}

#[test]
fn a_gateway_passes_on_what_the_clusters_key_has_signed() {
    let (keys, shared) = (File::new("cluster", KEY), File::new("shared", OTHER_KEY));
    let (redis, worker) = (RedisServer::start(), LocalWorker::serve(counting(), 4));
    let auth = ["--auth", "token", "--auth-key-file", keys.path()];
    let with_key = [&auth[..], &["--cluster-key-file", shared.path()]].concat();
    let [a, b] = [(); 2].map(|()| Gateway::start_with(&worker, &redis, &with_key));
    let lone = Gateway::start_with(&worker, &redis, &auth);
    let opener = token(&keys, &[]);
    let peer = Peer::connect(&a.page(""), camera("here", &opener)).expect("an answer");
    peer.wait_received(1, PATIENCE);
    let set = |gateway: &Gateway, session: &str, bearer: Option<&str>| {
        let body = json!({ "webrtc_id": "here", "by": 2, "session_token": session });
        request("POST", &gateway.page("/input_hook"), bearer, &body).status
    };
    assert_eq!(set(&b, peer.session_token(), None), 200);
    assert_eq!(set(&lone, peer.session_token(), None), 403, "its key is another");
    // Ids are their clients' choice: the token of another session of the same id is not this one's.
    let header = json!({ "alg": "HS256", "typ": "reframe-session+jwt" });
    let claims = json!({ "sid": "here", "stream": "default", "opened": 0, "nonce": "another" });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&header), part(&claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, OTHER_KEY.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()));
    let theirs = format!("{message}.{signature}");
    assert_eq!([&a, &b].map(|gateway| set(gateway, &theirs, None)), [403, 403]);
    // Rights over the sessions of a stream hold wherever they run.
    let (setter, reader) =
        (token(&keys, &["--action", "set"]), token(&keys, &["--action", "read"]));
    let by_rights = |gateway: &Gateway, token: &str| {
        let body = json!({ "webrtc_id": "here", "by": 4 });
        request("POST", &gateway.page("/input_hook"), Some(token), &body).status
    };
    assert_eq!([&a, &b].map(|gateway| by_rights(gateway, &setter)), [200, 200]);
    assert_eq!([&a, &b].map(|gateway| by_rights(gateway, &reader)), [401, 401]);
    let other = token(&keys, &["--action", "set", "--stream", "other"]);
    assert_eq!([&a, &b].map(|gateway| by_rights(gateway, &other)), [403, 403]);
    peer.wait_output("by", PATIENCE, |by| by.as_f64() == Some(4.0));
}

#[test]
fn a_port_that_others_reach_needs_a_decision() {
    let options =
        ["--http", "0.0.0.0:0", "--admin", "127.0.0.1:0", "--workers", "http://127.0.0.1:1"];
    let output = run("reframe-gateway", &options);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{told}");
    assert!(told.contains("--auth: needed") && told.contains("--auth-key-file"), "{told}");
    let mut gateway =
        Process::start("reframe-gateway", &[&options[..], &["--auth", "none"]].concat());
    gateway.announced("page ");
}

/// A proxy on this machine would make everybody a neighbour.
#[test]
fn on_loopback_nobody_may_be_passed_on() {
    let cluster = Cluster::launch("flip");
    for header in ["forwarded", "x-forwarded-for", "X-Forwarded-Proto", "via"] {
        let reply = send("GET", &cluster.page("/api/streams"), &[(header, "1.1 proxy")], "");
        let told = reply.json()["meta"]["message"].to_string();
        assert_eq!(reply.status, 403, "{header}: {reply:?}");
        assert!(told.contains("--auth") && told.contains("--trusted-proxies"), "{told}");
    }
    assert_eq!(get(&cluster.page("/api/streams")).expect("an answer").status, 200);
}

#[test]
fn a_proxy_names_the_person() {
    let options = ["--auth", "proxy", "--auth-header", "X-User", "--trusted-proxies", "127.0.0.1"];
    let cluster = Cluster::local_with([counting()], &options);
    let ask = |headers: &[(&str, &str)]| {
        let reply = send("GET", &cluster.page("/api/token"), headers, "");
        (reply.status, reply.json()["subject"].clone())
    };
    assert_eq!(ask(&[("x-user", "ada@example.com")]), (200, json!("ada@example.com")));
    assert_eq!(ask(&[]).0, 401);
    assert_eq!(ask(&[("x-user", "ada"), ("x-user", "eve")]).0, 401);
    let far = ["--auth", "proxy", "--trusted-proxies", "192.0.2.1"];
    let far = Cluster::local_with([counting()], &far);
    let named = [("x-forwarded-user", "eve")];
    assert_eq!(send("GET", &far.page("/api/token"), &named, "").status, 403, "not a proxy of ours");
}

/// FastRTC's front-ends know no session's token.
#[test]
fn ids_alone_are_enough_where_that_was_chosen_and_cannot_be_tried_out() {
    let strict = Cluster::local_with([counting()], &["--auth", "none"]);
    let status = |cluster: &Cluster, id: &str| {
        let body = json!({ "webrtc_id": id, "by": 1 });
        request("POST", &cluster.page("/input_hook"), None, &body).status
    };
    assert_eq!(status(&strict, "nobody"), 401);
    let options = ["--auth", "none", "--legacy-ids", "--trusted-proxies", "127.0.0.1"];
    let legacy = Cluster::local_with([counting()], &options);
    let refused =
        Peer::connect(&legacy.page(""), Options::camera("short", Video::Live(Format::SMALL)));
    assert_eq!(refused.expect_err("it can be guessed").status, 422);
    let id = "long-enough-for-an-id";
    let mut peer = open(&legacy, Options::camera(id, Video::Live(Format::SMALL)));
    assert_eq!(status(&legacy, id), 200);
    // From elsewhere: a program on this machine is not limited.
    let headers = [("content-type", "application/json"), ("x-forwarded-for", "192.0.2.1")];
    let tried = (0..40).map(|n| {
        let body = json!({ "webrtc_id": format!("guessed-at-random-{n}"), "by": 1 }).to_string();
        send("POST", &legacy.page("/input_hook"), &headers, &body).status
    });
    let (wrong, refused) = tried.partition::<Vec<_>, _>(|status| *status == 404);
    assert!((20..30).contains(&wrong.len()), "{wrong:?}");
    assert!(refused.iter().all(|status| *status == 429), "{refused:?}");
    peer.close();
}

/// As in Jupyter: whoever has the address that was printed.
#[test]
fn a_page_in_the_network_is_opened_by_its_link() {
    let options = ["launch", "--demo", "flip", "--http", "0.0.0.0:0", "--admin", "127.0.0.1:0"];
    let mut launched = Process::start("reframe-worker", &options);
    let link = launched.announced("page ");
    let (page, token) = link.split_once("/?t=").expect("a token in the address");
    assert_eq!(get(&format!("{page}/api/streams")).expect("an answer").status, 401);
    let browser = start("link", Camera::Allowed);
    browser.open(&format!("{page}/"));
    eventually("it says what it needs", SOON, || {
        browser.text("outcome").contains("needs a token").then_some(())
    });
    keep_screenshots(&browser, "denied");
    browser.open(&link);
    eventually("the stream's title", SOON, || (browser.text("title") == "Flip").then_some(()));
    let address = browser.run("return location.href");
    assert!(!address.to_string().contains(token), "{address}");
    let cookies = browser.run("return document.cookie");
    assert_eq!(cookies, json!(""), "no script reads it");
    browser.click("start");
    browser.wait_for_state("live");
    // The cookie is enough from now on.
    browser.open(&format!("{page}/"));
    eventually("the stream's title", SOON, || (browser.text("title") == "Flip").then_some(()));
    let errors = browser.console_errors();
    assert!(errors.iter().all(|error| error.contains("401")), "{errors:?}");
}

/// A service on loopback: answers each request with what `decide` says of its body.
fn service(
    decide: impl Fn(&Value) -> (u16, String) + Send + Sync + 'static,
) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("its address"));
    let (asked, decide) = (Arc::new(AtomicUsize::new(0)), Arc::new(decide));
    let counted = Arc::clone(&asked);
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let (counted, decide) = (Arc::clone(&counted), Arc::clone(&decide));
            // Browsers open connections and ask nothing on them.
            thread::spawn(move || serve(connection, &counted, &*decide).ok());
        }
    });
    (url, asked)
}

fn serve(
    connection: TcpStream,
    asked: &AtomicUsize,
    decide: &dyn Fn(&Value) -> (u16, String),
) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line)? > 2 {
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    asked.fetch_add(1, Ordering::Relaxed);
    let (status, body) = decide(&serde_json::from_slice(&body).unwrap_or_default());
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    reader.get_mut().write_all((head + &body).as_bytes())
}

#[test]
fn a_service_decides() {
    let (url, asked) = service(|question| {
        assert_eq!(
            (&question["ip"], &question["stream"]),
            (&json!("127.0.0.1"), &json!("default"))
        );
        match (question["token"].as_str(), question["action"].as_str()) {
            (Some("ada's"), Some("open")) => {
                (200, json!({ "subject": "ada", "inputs": { "by": 9 } }).to_string())
            }
            (Some("bob's"), Some("set")) => (204, String::new()),
            _ => (403, "no".to_owned()),
        }
    });
    let cluster = Cluster::local_with([counting()], &["--auth", "http", "--auth-http", &url]);
    let status = |path: &str, token: Option<&str>| {
        request("GET", &cluster.page(path), token, &Value::Null).status
    };
    assert_eq!(status("/api/streams", None), 401);
    assert_eq!(status("/api/streams", Some("eve's")), 401);
    assert_eq!(status("/api/streams", Some("ada's")), 200);
    let before = asked.load(Ordering::Relaxed);
    let mut peer = open(&cluster, camera("mine", "ada's"));
    assert!(asked.load(Ordering::Relaxed) <= before + 1, "it was asked a moment ago");
    peer.wait_output("by", PATIENCE, |by| by.as_f64() == Some(9.0));
    let set = |token: &str| {
        let body = json!({ "webrtc_id": "mine", "by": 3 });
        request("POST", &cluster.page("/input_hook"), Some(token), &body).status
    };
    assert_eq!((set("ada's"), set("bob's")), (401, 422), "`by` is fixed for everybody");
    peer.close();
    // Nobody is let in because a service is away.
    let away = ["--auth", "http", "--auth-http", "http://127.0.0.1:1/"];
    let away = Cluster::local_with([counting()], &away);
    let reply = request("POST", &away.page("/webrtc/offer"), Some("ada's"), &offer("x"));
    assert_eq!((reply.status, &reply.json()["meta"]["error"]), (503, &json!("auth_unavailable")));
}

/// As identity providers publish them; and another one while it runs.
#[test]
fn public_keys_are_fetched_and_fetched_again_for_a_new_one() {
    let random = SystemRandom::new();
    let pair = || {
        let document = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
        Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("a key")
    };
    let (old, new) = (pair(), pair());
    let jwk = |name: &str, key: &Ed25519KeyPair| {
        let x = URL_SAFE_NO_PAD.encode(key.public_key().as_ref());
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": name, "x": x })
    };
    let sets = [
        json!({ "keys": [jwk("old", &old)] }),
        json!({ "keys": [jwk("old", &old), jwk("new", &new)] }),
    ];
    let shown = Arc::new(AtomicUsize::new(0));
    let current = Arc::clone(&shown);
    let (url, asked) = service(move |_| (200, sets[current.load(Ordering::Relaxed)].to_string()));
    let options = ["--auth", "token", "--auth-jwks", &url, "--auth-audience", "video"];
    let cluster = Cluster::local_with([counting()], &options);
    let signed = |name: &str, key: &Ed25519KeyPair, audience: &str| {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims =
            json!({ "sub": "ada", "exp": 4_102_444_800_u64, "aud": audience, "reframe": {} });
        let message = format!("{}.{}", part(json!({ "alg": "EdDSA", "kid": name })), part(claims));
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()).as_ref()))
    };
    let status =
        |token: &str| request("GET", &cluster.page("/api/token"), Some(token), &Value::Null).status;
    eventually("the keys are there", SOON, || {
        (status(&signed("old", &old, "video")) == 200).then_some(())
    });
    assert_eq!(status(&signed("old", &old, "another service")), 401);
    shown.store(1, Ordering::Relaxed);
    eventually("an unknown key has them fetched again", SOON, || {
        (status(&signed("new", &new, "video")) == 200).then_some(())
    });
    assert!(asked.load(Ordering::Relaxed) < 6, "tokens that anybody can make cost few requests");
}

/// A dashboard or a notebook: no cookie of ours goes there.
#[test]
fn a_page_in_a_frame_of_another_site_keeps_its_token_in_memory() {
    let keys = File::new("framed", KEY);
    let auth = ["--auth", "token", "--auth-key-file", keys.path()];
    let framed = [&auth[..], &["--frame-ancestors", "'self' http://localhost:*"]].concat();
    let (open, closed) =
        (Cluster::launch_with("flip", &framed), Cluster::launch_with("flip", &auth));
    let token = token(&keys, &[]);
    let browser = start("framed", Camera::Allowed);
    let show = |cluster: &Cluster| {
        let frame =
            format!("<iframe src=\"{}?t={token}\" allow=\"camera\"></iframe>", cluster.page("/"));
        let (url, _) =
            service(move |_| (200, format!("<!doctype html><title>other</title>{frame}")));
        // Another site than 127.0.0.1.
        browser.open(&url.replace("127.0.0.1", "localhost"));
        browser.enter_frame(0);
    };
    show(&open);
    eventually("the stream's title", SOON, || (browser.text("title") == "Flip").then_some(()));
    assert_eq!(browser.run("return document.cookie + location.search"), json!(""));
    browser.click("start");
    browser.wait_for_state("live");
    show(&closed);
    let shown = browser.run("return document.getElementById('title') === null");
    assert_eq!(shown, json!(true), "--frame-ancestors is 'none' by default");
}
