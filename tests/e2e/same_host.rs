//! Workers on Unix sockets of the gateway's host: their pictures go through memory that is shared.

use std::io::Write;
use std::os::unix::net::UnixStream;

use reframe_proto::exchange::pass;
use reframe_tests::cluster::Worker;
use reframe_tests::source::Format;
use tokio::time::Instant;

use super::*;

fn links(cluster: &Cluster, carrier: &str) -> f64 {
    cluster.metrics().sum("reframe_links_total", &[("carrier", carrier)])
}

fn path(worker: &Worker) -> std::path::PathBuf {
    worker.url.strip_prefix("unix:").expect("announced as it is known").into()
}

#[test]
fn pictures_go_through_shared_memory() {
    let cluster = Cluster::of(vec![Worker::on_socket("flip")]);
    let mut peers: Vec<_> = [Format::VGA, Format::SMALL]
        .map(|format| connect(&cluster, &format.width.to_string(), Video::Live(format)))
        .into();
    for peer in &mut peers {
        peer.wait_received(60, PATIENCE);
        assert_flipped_in_order(&peer.stats());
    }
    assert_eq!((links(&cluster, "memory"), links(&cluster, "messages")), (2.0, 0.0));
    let descriptors = cluster.workers[0].process.descriptors();
    peers.iter_mut().for_each(Peer::close);
    assert_balanced(&cluster);
    assert!(
        descriptors <= 24,
        "{descriptors} descriptors: memory stays mapped, its file does not stay open"
    );
}

#[test]
fn a_worker_that_takes_no_memory_is_sent_messages() {
    let cluster = Cluster::of(vec![Worker::on_socket("flip")]);
    std::fs::remove_file(pass::socket(&path(&cluster.workers[0]))).expect("it is there");
    let peer = connect(&cluster, "one", Video::Live(Format::SMALL));
    peer.wait_received(30, PATIENCE);
    assert_flipped_in_order(&peer.stats());
    assert_eq!((links(&cluster, "memory"), links(&cluster, "messages")), (0.0, 1.0));
}

#[test]
fn junk_at_the_memorys_socket_harms_nobody() {
    let cluster = Cluster::of(vec![Worker::on_socket("flip")]);
    let socket = pass::socket(&path(&cluster.workers[0]));
    let junk: Vec<_> = [&b""[..], b"x", b"12345678", b"PRI * HTTP/2.0\r\n\r\n"]
        .map(|bytes| {
            let mut stream = UnixStream::connect(&socket).expect("the worker listens");
            stream.write_all(bytes).expect("a few bytes have room");
            stream
        })
        .into();
    // A file that is not such memory.
    let stream = UnixStream::connect(&socket).expect("the worker listens");
    pass::send(&stream, 7, std::fs::File::open("/dev/zero").expect("it is there"))
        .expect("it is sent");
    let peer = connect(&cluster, "one", Video::Live(Format::SMALL));
    peer.wait_received(30, PATIENCE);
    assert_flipped_in_order(&peer.stats());
    assert_eq!(links(&cluster, "memory"), 1.0);
    drop((junk, stream));
}

#[test]
fn a_killed_worker_is_followed_by_one_at_its_socket() {
    let mut cluster = Cluster::of(vec![Worker::on_socket("flip")]);
    let mut peer = connect(&cluster, "one", Video::Live(Format::SMALL));
    peer.wait_received(15, PATIENCE);
    let url = cluster.workers[0].url.clone();
    cluster.workers[0].process.kill9();
    assert!(path(&cluster.workers[0]).exists(), "nobody was there to remove it");
    let killed = Instant::now().into_std();
    cluster.workers[0] = Worker::serve_with("flip", &url, &[]);
    peer.wait_until("a picture of now", PATIENCE, |stats| {
        let number = stats.received.last()?.code?.number;
        (stats.sent_at(number)? > killed).then_some(())
    });
    assert_flipped_in_order(&peer.stats());
    assert_eq!(links(&cluster, "memory"), 2.0, "once with each");
    // Told to end, a worker takes its sockets with it. One with a session would wait for it to
    // move.
    peer.close();
    cluster.wait_for_sessions(0, CLOSED);
    let socket = path(&cluster.workers[0]);
    cluster.workers[0].process.terminate();
    assert!(cluster.workers[0].process.exit(PATIENCE).is_some_and(|status| status.success()));
    assert!(!socket.exists() && !pass::socket(&socket).exists());
}
