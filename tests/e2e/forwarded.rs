//! What the owner of a session makes of requests that another gateway forwards: whose they are, and
//! whether their token is this session's.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use reframe_tests::http::{Reply, send};
use reframe_tests::local::LocalWorker;
use reframe_tests::redis::RedisServer;
use reframe_tests::source::Format;
use serde_json::json;
use tokio::time::Instant;

use super::forward::{Gateway, counting};
use super::*;

const CLIENT: &str = "192.0.2.1";
const OPERATOR: &str = "the token of an operator";

/// Two gateways of one deployment. A service lets in everybody with a token, which is the subject.
struct Pair {
    owner: Gateway,
    other: Gateway,
    /// Action and address of each question.
    asked: Arc<Mutex<Vec<(String, String)>>>,
    files: [PathBuf; 2],
    _redis: RedisServer,
    _worker: LocalWorker,
}

impl Pair {
    fn start(name: &str) -> Self {
        let (redis, worker) = (RedisServer::start(), LocalWorker::serve(counting(), 4));
        let file = |kind: &str, text: &str| {
            let file = format!("reframe-forwarded-{name}-{kind}-{}", std::process::id());
            let path = std::env::temp_dir().join(file);
            fs::write(&path, text).expect("a file");
            path
        };
        let key = "0123456789abcdef0123456789abcdef";
        let files = [file("cluster", key), file("operator", OPERATOR)];
        let [cluster, operator] = files.each_ref().map(|path| path.to_str().expect("UTF-8"));
        let asked = Arc::<Mutex<Vec<_>>>::default();
        let service = service(Arc::clone(&asked));
        let options = [
            ["--auth", "http"],
            ["--auth-http", &service],
            ["--cluster-key-file", cluster],
            ["--admin-token-file", operator],
            // The tests name their addresses as a proxy does.
            ["--trusted-proxies", "127.0.0.1"],
        ];
        let start = || Gateway::start_with(&worker, &redis, options.as_flattened());
        let (owner, other) = (start(), start());
        Self { owner, other, asked, files, _redis: redis, _worker: worker }
    }

    fn open(&self, id: &str) -> Peer {
        // An id may be known for a moment after its session has ended.
        let peer = eventually("an answer", PATIENCE, || {
            let camera = Options::camera(id, Video::Live(Format::SMALL));
            let options = Options { token: Some("ada".to_owned()), ..camera };
            Peer::connect(&self.owner.page(""), options).ok()
        });
        peer.wait_received(1, PATIENCE);
        peer
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.files.iter().for_each(|file| drop(fs::remove_file(file)));
    }
}

fn service(asked: Arc<Mutex<Vec<(String, String)>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("its address"));
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let asked = Arc::clone(&asked);
            thread::spawn(move || decide(connection, &asked).ok());
        }
    });
    url
}

fn decide(connection: TcpStream, asked: &Mutex<Vec<(String, String)>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let question: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |field: &str| question[field].as_str().unwrap_or("none").to_owned();
    asked.lock().expect("whole").push((text("action"), text("ip")));
    let answer = json!({ "subject": text("token") }).to_string();
    let length = answer.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    reader.get_mut().write_all((head + &answer).as_bytes())
}

fn candidate(gateway: &Gateway, id: &str, token: &str) -> Value {
    let candidate =
        json!({ "candidate": "candidate:1 1 udp 2122260223 127.0.0.1 9 typ host", "sdpMid": "0" });
    let body = json!({
        "type": "ice-candidate", "candidate": candidate, "webrtc_id": id, "session_token": token,
    });
    let headers = [("content-type", "application/json")];
    send("POST", &gateway.page("/webrtc/offer"), &headers, &body.to_string()).json()
}

#[test]
fn the_owner_knows_the_client_of_a_forwarded_request() {
    let pair = Pair::start("client");
    let mut peer = pair.open("here");
    let headers = [
        ("content-type", "application/json"),
        ("x-forwarded-for", CLIENT),
        // A client's invention.
        ("x-reframe-client", "192.0.2.66"),
    ];
    let set = |gateway: &Gateway, bearer: Option<&str>, body: Value| -> Reply {
        let bearer = bearer.map(|token| format!("Bearer {token}"));
        let bearer = bearer.as_deref().map(|bearer| ("authorization", bearer));
        let headers: Vec<_> = headers.into_iter().chain(bearer).collect();
        send("POST", &gateway.page("/input_hook"), &headers, &body.to_string())
    };
    let by_rights = json!({ "webrtc_id": "here", "by": 5 });
    for gateway in [&pair.owner, &pair.other] {
        assert_eq!(set(gateway, Some("bob"), by_rights.clone()).status, 200);
    }
    peer.wait_output("by", PATIENCE, |by| by.as_f64() == Some(5.0));
    // Each gateway asked for itself, with the same address.
    let asked: Vec<_> = pair.asked.lock().expect("whole").clone();
    let set_by = asked.iter().filter(|(action, _)| action == "set").map(|(_, ip)| ip.as_str());
    assert_eq!(set_by.collect::<Vec<_>>(), [CLIENT, CLIENT], "{asked:?}");
    let lines = |log: &str, what: &str| {
        let lines = log.lines().filter(|line| line.contains("audit") && line.contains(what));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let used = eventually("both are in the owner's log", PATIENCE, || {
        Some(lines(&pair.owner.log(), "used")).filter(|used| used.len() == 2)
    });
    assert!(used.iter().all(|line| line.contains(CLIENT) && line.contains("bob")), "{used:?}");
    // Without a certificate on the other side the owner wants the operator's token too.
    let session = pair.other.admin("/api/sessions/here");
    let bearer = format!("Bearer {OPERATOR}");
    let asked = |headers: &[(&str, &str)]| send("GET", &session, headers, "").status;
    assert_eq!((asked(&[]), asked(&[("authorization", &bearer)])), (401, 200));
    assert!(!pair.owner.log().contains("192.0.2.66"), "nobody believes a client's header");
    peer.close();
}

/// Ids are their clients' choice: the token of an earlier session of the same id has the cluster's
/// signature and the right id, and another number.
#[test]
fn the_token_of_a_session_that_ended_is_none_for_the_next_of_its_id() {
    let pair = Pair::start("token");
    let mut first = pair.open("same");
    let old = first.session_token().to_owned();
    first.close();
    eventually("it has ended", PATIENCE, || {
        (candidate(&pair.owner, "same", &old)["meta"]["error"] == "unknown_connection")
            .then_some(())
    });
    let stop = AtomicBool::new(false);
    let mut next = thread::scope(|scope| {
        // Before the next offer, while its answer is made, and after.
        let tries = scope.spawn(|| {
            let (mut answers, since) = (Vec::new(), Instant::now());
            // Bounded, as nobody stops it when no session begins.
            while !stop.load(Ordering::Relaxed) && since.elapsed() < 3 * PATIENCE {
                for gateway in [&pair.owner, &pair.other] {
                    answers.push(candidate(gateway, "same", &old));
                }
            }
            answers
        });
        let next = pair.open("same");
        stop.store(true, Ordering::Relaxed);
        let answers = tries.join().expect("each has an answer");
        let refused = |answer: &&Value| answer["meta"]["error"] == "unknown_connection";
        assert_eq!(answers.iter().find(|answer| !refused(answer)), None);
        assert!(!answers.is_empty());
        next
    });
    for gateway in [&pair.owner, &pair.other] {
        assert_eq!(candidate(gateway, "same", next.session_token())["status"], "success");
    }
    next.close();
}
