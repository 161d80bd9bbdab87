//! How a gateway behaves towards tools and operators: HTTP's rules, start-up failures, signals.

use std::fs::File;
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use reframe_tests::http;
use reframe_tests::process::{Process, command, run};
use serde_json::json;

use super::*;

/// Far more than a start, or an end, takes.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_path_answers_each_method_as_http_says() {
    let cluster = Cluster::launch("flip");
    for url in [
        cluster.page("/"),
        cluster.page("/flip/"),
        cluster.page("/page.js"),
        cluster.page("/api/streams"),
        cluster.admin("/healthz"),
        cluster.admin("/readyz"),
        cluster.admin("/metrics"),
        cluster.admin("/api/sessions"),
    ] {
        let head = http::send("HEAD", &url, &[], "");
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{url}");
        for method in ["OPTIONS", "PUT", "POST"] {
            let refused = http::send(method, &url, &[], "");
            assert_eq!(refused.status, 405, "{method} {url}");
            assert_eq!(refused.header("allow"), Some("GET, HEAD"), "{method} {url}");
            assert_eq!(refused.json()["meta"]["error"], "method_not_allowed", "{method} {url}");
        }
    }
    let offer = cluster.page("/webrtc/offer");
    assert_eq!(http::send("GET", &offer, &[], "").header("allow"), Some("POST"));
    assert_eq!(http::get(&cluster.page("/nothing/here")).expect("an answer").status, 404);
}

#[test]
fn what_a_redirect_was_asked_for_goes_on() {
    let cluster = Cluster::launch_all();
    let to = |path: &str| {
        let redirect = http::send("GET", &cluster.page(path), &[], "");
        assert_eq!(redirect.status, 307, "{path}");
        redirect.header("location").map(str::to_owned)
    };
    assert_eq!(to("/flip").as_deref(), Some("flip/"));
    assert_eq!(to("/flip?ice=tcp&x=%20y").as_deref(), Some("flip/?ice=tcp&x=%20y"));
}

#[test]
fn a_body_that_is_not_taken_is_told_why() {
    let cluster = Cluster::launch("flip");
    let post = |headers: &[(&str, &str)], body: &str| {
        let reply = http::send("POST", &cluster.page("/input_hook"), headers, body);
        let meta = reply.json()["meta"].clone();
        assert!(meta["message"].is_string() || reply.status == 404, "{reply:?}");
        (reply.status, meta["error"].clone())
    };
    let kind = "content-type";
    let unknown = r#"{"webrtc_id": "nobody"}"#;
    for json in ["application/json", "application/JSON", "Application/Json; charset=utf-8"] {
        assert_eq!(post(&[(kind, json)], unknown), (404, json!("unknown_connection")), "{json}");
    }
    let invalid = json!("invalid_request");
    assert_eq!(post(&[(kind, "text/plain")], unknown), (415, invalid.clone()));
    let compressed = [(kind, "application/json"), ("content-encoding", "gzip")];
    assert_eq!(post(&compressed, unknown), (415, invalid.clone()));
    let long = format!("{{\"webrtc_id\": \"{}\"}}", "x".repeat(200_000));
    assert_eq!(post(&[(kind, "application/json")], &long), (413, invalid));
}

/// One line that names the option and the cause.
#[test]
fn an_address_that_is_taken_is_told_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let (http, admin) = ("127.0.0.1:0", "127.0.0.1:0");
    for (option, address) in [
        ("--http", address.as_str()),
        ("--admin", address.as_str()),
        ("--media-port", "1"),
        ("--http", "203.0.113.7:80"),
    ] {
        let mut args = vec!["--http", http, "--admin", admin, "--auth", "none"];
        match args.iter().position(|arg| *arg == option) {
            Some(at) => args[at + 1] = address,
            None => args.extend([option, address]),
        }
        // Root may have port 1, and another program may not.
        let _other = (option == "--media-port").then(|| std::net::UdpSocket::bind("0.0.0.0:1"));
        let output = run("reframe-gateway", &args);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{option}: {text}");
        let told: Vec<&str> =
            text.lines().filter(|line| line.starts_with("reframe-gateway: ")).collect();
        assert!(told.len() == 1 && told[0].contains(option), "{option}: {text}");
        assert!(!text.contains("panicked"), "{option}: {text}");
    }
}

#[test]
fn a_gateway_serves_whoever_reads_its_output() {
    let full = File::options().write(true).open("/dev/full").expect("Linux has it");
    for output in [Stdio::from(full), closed_pipe()] {
        let admin = free_port();
        let mut gateway = command("reframe-gateway")
            .args(["--http", "127.0.0.1:0", "--admin", &admin])
            .stdout(output)
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let ready = format!("http://{admin}/healthz");
        eventually("it serves", SOON, || {
            http::get(&ready).is_ok_and(|reply| reply.status == 200).then_some(())
        });
        gateway.kill().expect("it runs");
        gateway.wait().expect("it was started here");
    }
}

/// A pipe whose reader is gone.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    Stdio::from(writer)
}

/// One that was free a moment ago.
fn free_port() -> String {
    let port = TcpListener::bind("127.0.0.1:0").expect("a free port");
    port.local_addr().expect("an address").to_string()
}

#[test]
fn a_closed_terminal_ends_it_like_a_told_one() {
    let mut gateway =
        Process::start("reframe-gateway", &["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    gateway.announced("admin ");
    gateway.hang_up();
    let ended = gateway.exit(SOON).unwrap_or_else(|| panic!("it runs on\n{}", gateway.log()));
    assert!(ended.success(), "{ended}\n{}", gateway.log());
    assert!(gateway.log().contains("stopping"), "{}", gateway.log());
}
