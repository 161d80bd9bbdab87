//! scratch
use reframe_tests::{cluster::Cluster, peer::*, source::*};
use std::time::Duration;
#[allow(clippy::all, clippy::disallowed_methods, clippy::print_stdout, reason = "scratch")]
fn main() {
    tracing_subscriber::fmt().with_env_filter(std::env::var("LOG").unwrap_or("off".into())).init();
    let cluster = Cluster::launch_with("flip", &["--log", "debug"]);
    for wait in std::env::args().skip(1) {
        let wait: f64 = wait.parse().unwrap();
        let mut peer =
            Peer::connect(&cluster.page(""), Options::camera(format!("w{wait}"), Video::Live(Format::SMALL))).unwrap();
        peer.wait_connected(Duration::from_secs(20));
        peer.wait_received(5, Duration::from_secs(20));
        std::thread::sleep(Duration::from_secs_f64(wait));
        let t = std::time::Instant::now();
        println!("CLOSE {wait}");
        peer.close();
        let closed = t.elapsed();
        while cluster.sessions() > 0.0 && t.elapsed() < Duration::from_secs(12) {
            std::thread::sleep(Duration::from_millis(20));
        }
        println!("wait {wait}: close() took {closed:?}, freed after {:?} {}", t.elapsed(), peer.stats().summary());
    }
    if std::env::var("GLOG").is_ok() {
        println!("{}", cluster.gateway.log());
    }
}
