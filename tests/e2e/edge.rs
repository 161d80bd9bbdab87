//! The edge of both HTTP ports: connections that stall, and names and sites that are not ours.

use std::io::Write;
use std::net::TcpStream;

use reframe_tests::attacker::tcp::{self, address, connections};
use reframe_tests::browser::{Camera, UNTRUSTED_HOST};
use reframe_tests::http::{self, Reply, get};
use reframe_tests::process::Process;
use reframe_tests::source::Format;
use serde_json::json;

use super::*;

/// Half a body, of so many bytes, on each; an error is a connection that was closed.
fn send_halves(connections: &mut [TcpStream], half: usize) {
    let head =
        "POST /webrtc/offer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let begun = format!("{head}Content-Length: {}\r\n\r\n{}", 2 * half, " ".repeat(half));
    for connection in connections {
        connection.write_all(begun.as_bytes()).ok();
    }
}

/// What comes until the server closes it.
#[track_caller]
fn until_closed(connection: TcpStream) -> String {
    tcp::until_closed(connection).unwrap_or_else(|open| panic!("{open}"))
}

/// The status of the answer to `GET path` with these headers.
fn ask(url: &str, headers: &str) -> Reply {
    let mut connection = TcpStream::connect(address(url)).expect("the port is open");
    connection.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let path = url.splitn(4, '/').nth(3).unwrap_or_default();
    write!(connection, "GET /{path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n")
        .expect("it is read");
    let text = until_closed(connection);
    let (head, body) =
        text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer but {text:?}"));
    let status =
        head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("an HTTP status");
    Reply { status, body: body.to_owned(), retry_after: None, headers: Vec::new() }
}

fn refused(cluster: &Cluster, port: &str, reason: &str) -> f64 {
    cluster.metrics().sum("reframe_http_refused_total", &[("port", port), ("reason", reason)])
}

fn held(cluster: &Cluster) -> f64 {
    cluster.metrics().sum("reframe_http_connections", &[("port", "public")])
}

#[test]
fn stalled_bodies_cost_little_and_end() {
    const CAP: usize = 512;
    const TRIED: usize = 600;
    // All that one address may hold is a little more than those of the cap have.
    const HALF: usize = (4 << 20) / CAP - 100;
    let most = ["--max-connections-per-address", &CAP.to_string()];
    let cluster = Cluster::launch_with("flip", &most);
    let mut honest = connect(&cluster, "honest", Video::Live(Format::SMALL));
    honest.wait_received(10, PATIENCE);
    let before = cluster.gateway.rss_bytes();
    let mut stalled = connections(address(&cluster.page("/")), [127, 0, 0, 2], TRIED);
    send_halves(&mut stalled, HALF);
    eventually("those above the cap are closed", PATIENCE, || {
        (refused(&cluster, "public", "connections_of_address") == (TRIED - CAP) as f64)
            .then_some(())
    });
    // What was sent, once more for its buffers, and a few megabytes of the stream beside it.
    let grown = cluster.gateway.rss_bytes().saturating_sub(before);
    assert!(grown < 2 * (CAP * HALF) as u64 + (20 << 20), "{} MB", grown >> 20);
    assert_eq!(get(&cluster.page("/api/streams")).expect("others are served").status, 200);
    assert_eq!(get(&cluster.admin("/healthz")).expect("an answer").status, 200);

    let told = stalled
        .into_iter()
        .map(until_closed)
        .filter(|text| text.starts_with("HTTP/1.1 408"))
        .count();
    assert_eq!(told, CAP);
    assert_eq!(refused(&cluster, "public", "body_timeout"), CAP as f64);
    // Longer bodies use up its bytes first: the rest are refused at once, other addresses are
    // served.
    let mut longer = connections(address(&cluster.page("/")), [127, 0, 0, 2], CAP);
    send_halves(&mut longer, 4 * HALF);
    eventually("those above its bytes are refused", PATIENCE, || {
        (refused(&cluster, "public", "body_memory") >= (CAP - CAP / 4) as f64).then_some(())
    });
    let reply =
        http::post(&cluster.page("/input_hook"), " ".repeat(4 * HALF)).expect("others are served");
    assert_eq!(reply.status, 422, "{reply:?}");
    longer.into_iter().for_each(|connection| drop(until_closed(connection)));
    eventually("all places are free", PATIENCE, || (held(&cluster) <= 1.0).then_some(()));
    wait_for_more(&honest);
    honest.close();
    assert_balanced(&cluster);
}

#[test]
fn the_admin_port_answers_with_few_descriptors() {
    const DESCRIPTORS: usize = 1_024;
    let ports = ["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let options = [&ports[..], &["--max-connections-per-address", "400"]].concat();
    let mut gateway = Process::start_limited(DESCRIPTORS, "reframe-gateway", &options);
    let page = gateway.announced("page ");
    let admin = gateway.announced("admin ").trim_end_matches('/').to_owned();
    let mut stalled = Vec::new();
    for source in 2..5 {
        let mut some = connections(address(&page), [127, 0, 0, source], 400);
        send_halves(&mut some, 10_000);
        stalled.extend(some);
        assert_eq!(get(&format!("{admin}/healthz")).expect("an answer").status, 200);
    }
    assert!(gateway.descriptors() < DESCRIPTORS * 3 / 4, "{}", gateway.descriptors());
    let metrics = Metrics::parse(&get(&format!("{admin}/metrics")).expect("an answer").body);
    assert!(metrics.sum("reframe_http_refused_total", &[("reason", "connections")]) > 0.0);
    stalled.into_iter().for_each(|connection| drop(until_closed(connection)));
    assert_eq!(get(&page).expect("strangers have left").status, 200);
}

#[test]
fn a_later_head_has_its_time_too() {
    let cluster = Cluster::launch("flip");
    let one = || connections(address(&cluster.page("/")), [127, 0, 0, 1], 1).pop().expect("one");
    let mut stalls = one();
    // The beginning of a second request comes with the first one, and nothing more.
    let first = "GET /api/streams HTTP/1.1\r\nHost: localhost\r\n\r\n";
    write!(stalls, "{first}GET /api/streams HT").expect("it is read");
    let text = until_closed(stalls);
    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{text}");

    let mut peer = connect(&cluster, "flooded", Video::Live(Format::SMALL));
    let mut floods = one();
    write!(floods, "GET /updates?webrtc_id=flooded HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("it is read");
    // Requests in advance, of which none is ever answered: the stream before them does not end.
    floods.write_all(first.repeat(4_000).as_bytes()).ok();
    until_closed(floods);
    // The other one may have been closed by the server's own clock, which does not count.
    assert_eq!(refused(&cluster, "public", "head_size"), 1.0);
    peer.close();
}

#[test]
fn only_known_names_are_answered_on_both_ports() {
    let cluster = Cluster::launch_with("flip", &["--allowed-hosts", "Video.Test"]);
    let port = address(&cluster.page("/")).port();
    for url in [cluster.page("/api/streams"), cluster.admin("/api/sessions")] {
        for host in [
            "127.0.0.1",
            "192.168.1.7",
            "[::1]",
            "localhost",
            "app.localhost",
            "video.test",
            "VIDEO.test.",
        ] {
            for host in [host.to_owned(), format!("{host}:{port}")] {
                let reply = ask(&url, &format!("Host: {host}\r\n"));
                assert_eq!(reply.status, 200, "{host}: {reply:?}");
            }
        }
        for host in
            ["evil.test", "127.0.0.1.evil.test", "video.test.evil.test", "localhost.evil.test:80"]
        {
            let reply = ask(&url, &format!("Host: {host}\r\n"));
            let meta = &reply.json()["meta"];
            assert_eq!(
                (reply.status, &meta["error"]),
                (421, &json!("unknown_host")),
                "{host}: {reply:?}"
            );
            let message = meta["message"].as_str().expect("a message");
            assert!(message.contains(host) && message.contains("--allowed-hosts"), "{message}");
        }
        let long = "x".repeat(20_000);
        let reply = ask(&url, &format!("Host: {long}\r\n"));
        assert!(reply.status == 421 && reply.body.len() < 500, "{reply:?}");
        assert_eq!(ask(&url, "").status, 400);
        assert_eq!(ask(&url, "Host: localhost\r\nHost: localhost\r\n").status, 400);
    }
    // What a request line names counts, whatever `Host` says.
    let mut connection = TcpStream::connect(address(&cluster.page("/"))).expect("the port is open");
    write!(
        connection,
        "GET http://evil.test/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    assert!(until_closed(connection).starts_with("HTTP/1.1 421"));
    // The four names and the long one; at the public port the request line too.
    for (port, count) in [("public", 6.0), ("admin", 5.0)] {
        assert_eq!(refused(&cluster, port, "host"), count, "{port}");
    }
}

#[test]
fn pages_of_other_sites_are_refused_or_allowed_by_name() {
    let cluster = Cluster::launch_with("flip", &["--allowed-origins", "https://friend.test"]);
    let (streams, sessions) = (cluster.page("/api/streams"), cluster.admin("/api/sessions"));
    let own = format!("http://{}", address(&streams));
    let from = |url: &str, origin: &str| {
        let host = address(url);
        ask(url, &format!("Host: {host}\r\nOrigin: {origin}\r\n"))
    };
    for origin in [own.as_str(), "https://friend.test"] {
        assert_eq!(from(&streams, origin).status, 200, "{origin}");
    }
    for origin in ["null", "https://evil.test", "http://friend.test", "http://localhost", "file://"]
    {
        let reply = from(&streams, origin);
        let meta = &reply.json()["meta"];
        assert_eq!(
            (reply.status, &meta["error"]),
            (403, &json!("forbidden_origin")),
            "{origin}: {reply:?}"
        );
        assert!(
            meta["message"].as_str().expect("a message").contains("--allowed-origins"),
            "{reply:?}"
        );
    }
    // No page has any business there, not even one of its own address.
    for origin in [format!("http://{}", address(&sessions)), own, "https://friend.test".to_owned()]
    {
        assert_eq!(from(&sessions, &origin).status, 403, "{origin}");
    }

    let preflight = |origin: &str| {
        let mut connection = TcpStream::connect(address(&streams)).expect("the port is open");
        let head = "OPTIONS /webrtc/offer HTTP/1.1\r\nHost: \
                    localhost\r\nAccess-Control-Request-Method: POST\r\n";
        write!(connection, "{head}Origin: {origin}\r\nConnection: close\r\n\r\n")
            .expect("it is read");
        until_closed(connection).to_ascii_lowercase()
    };
    let allowed = preflight("https://friend.test");
    assert!(allowed.starts_with("http/1.1 204"), "{allowed}");
    assert!(
        allowed.contains("\r\naccess-control-allow-origin: https://friend.test\r\n"),
        "{allowed}"
    );
    let denied = preflight("https://evil.test");
    assert!(denied.starts_with("http/1.1 403") && !denied.contains("access-control"), "{denied}");
    assert!(
        refused(&cluster, "public", "origin") >= 6.0 && refused(&cluster, "admin", "origin") == 3.0
    );
}

/// A real browser, in which a site's name leads to this machine.
#[test]
fn a_site_that_rebinds_its_name_reads_nothing() {
    let cluster = Cluster::launch("flip");
    let browser = browser::start("rebound", Camera::Allowed);
    for url in [cluster.page("/api/streams"), cluster.admin("/api/sessions")] {
        browser.open(&url.replace("127.0.0.1", UNTRUSTED_HOST));
        let shown = browser.run("return document.body.innerText");
        let shown = shown.as_str().expect("a text");
        assert!(
            shown.contains("unknown_host")
                && !shown.contains("\"streams\"")
                && !shown.contains("\"sessions\""),
            "{shown}"
        );
    }
}
