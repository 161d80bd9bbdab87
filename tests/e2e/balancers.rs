//! What a load balancer in front of gateways asks of them, and a page behind one that waits.

use std::net::TcpListener;

use reframe_tests::browser::Camera;
use reframe_tests::cluster::Worker;
use reframe_tests::http::{get, send};
use reframe_tests::ingress::Ingress;
use reframe_tests::process::Process;
use reframe_tests::source::Format;
use reframe_tests::wait::for_time;
use reframe_worker::{Frame, Stream, VideoStreamHandler};

use super::browser::start;
use super::*;

/// Without a worker: longer than every limit that a page's wait could run into. A gateway reads a
/// request within 5 s, a page waits 20 s for an answer and regains a session within 60 s, and
/// proxies give an idle connection up after 60 s.
const AWAY: Duration = Duration::from_secs(62);
/// Without a gateway.
const CLOSED_FOR: Duration = Duration::from_secs(4);

#[test]
fn the_public_port_answers_probes_without_a_token_and_names_nothing() {
    let key = std::env::temp_dir().join(format!("reframe-balancers-{}", std::process::id()));
    std::fs::write(&key, "0123456789abcdef0123456789abcdef").expect("a file");
    let key_file = key.to_str().expect("a UTF-8 path");
    // Streams of such names are where all streams are.
    let streams = ["healthz", "readyz"].map(|name| {
        let handler = VideoStreamHandler::new(|frame: Frame| Ok(frame));
        Stream::builder(handler).name(name).build()
    });
    let mut cluster =
        Cluster::local_with(streams, &["--auth", "token", "--auth-key-file", key_file]);
    for (path, body) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        for url in [cluster.page(path), cluster.admin(path)] {
            let reply = get(&url).expect("an answer");
            assert_eq!((reply.status, reply.body.as_str()), (200, body), "{url}");
        }
        let page = get(&cluster.page(&format!("{path}/"))).expect("an answer");
        assert!(page.status == 200 && page.body.contains("<video"), "{page:?}");
        let url = cluster.page(path);
        assert_eq!(send("HEAD", &url, &[], "").status, 200);
        assert_eq!(send("POST", &url, &[], "").status, 405);
        // As for every request: the name must be the gateway's.
        assert_eq!(send("GET", &url, &[("host", "evil.test")], "").status, 421);
    }
    let version = get(&cluster.page("/version")).expect("an answer");
    assert_eq!(version.status, 404, "what else the admin port has");
    cluster.gateway.terminate();
    let status = cluster.gateway.exit(PATIENCE);
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
    std::fs::remove_file(&key).expect("the file");
}

#[test]
fn a_gateway_that_stops_tells_its_balancer() {
    let worker = Worker::serve("flip");
    let cluster = Cluster::of_with(vec![worker], &["--grace", "60"]);
    let mut peer = connect(&cluster, "stays", Video::Live(Format::SMALL));
    cluster.gateway.terminate();
    for url in [cluster.page("/readyz"), cluster.admin("/readyz")] {
        let reply = eventually("not ready", PATIENCE, || {
            get(&url).ok().filter(|reply| reply.status == 503)
        });
        assert_eq!(reply.body, "stopping\n");
    }
    assert_eq!(get(&cluster.page("/healthz")).expect("an answer").status, 200);
    peer.close();
}

/// The page comes through a proxy, and waits: for a worker, then for a server.
#[test]
fn a_page_behind_a_proxy_waits_and_then_plays() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("its address").to_string();
    drop(free);
    let workers = format!("http://{address}");
    let options = ["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", &workers];
    let calm = ["--bitrate-min", "1000", "--max-load", "100"];
    let mut gateway = Process::start("reframe-gateway", &[&options[..], &calm].concat());
    let ingress = Ingress::start(&gateway.announced("page "));
    let browser = start("waits", Camera::Allowed);
    browser.open(&ingress.page("/"));
    let phase = |name: &str| {
        let now = browser.run("return document.body.dataset.phase");
        (now == name).then_some(())
    };
    eventually("the page waits for a worker", PATIENCE, || phase("waiting"));
    browser.click("start");
    eventually("so it does when started", PATIENCE, || phase("queued"));
    for_time(AWAY);
    assert!(browser.text("phase").starts_with("Waiting for a worker"), "{}", browser.text("phase"));
    let _worker = Worker::serve_with("flip", &address, &[]);
    browser.wait_for_state("live");
    browser.wait_for_picture("output", "the camera upside down", |code| code.flipped);
    browser.click("start");
    browser.wait_for_state("idle");

    ingress.close(true);
    browser.click("start");
    eventually("the page waits for the server", PATIENCE, || phase("away"));
    for_time(CLOSED_FOR);
    assert_eq!(browser.run("return document.body.dataset.state"), "connecting");
    // At once, and after pauses of a second and two at most.
    let offers = ingress.offers_refused();
    assert!((2..8).contains(&offers), "{offers} offers in {CLOSED_FOR:?}");
    ingress.close(false);
    browser.wait_for_state("live");
    browser.wait_for_picture("output", "the camera upside down", |code| code.flipped);
    browser.click("start");
    browser.wait_for_state("idle");
}
