use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::*;
use crate::browser::net::MediaPort;
use crate::browser::net::stun::tests::FakeServer;
use crate::config::public::{Public, Source, StunServer};

/// Several times the first pauses.
const PATIENCE: Duration = Duration::from_secs(60);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn media(sources: Vec<Source>) -> Media {
    Media {
        addresses: vec![ip("127.0.0.1"), ip("127.0.0.2")],
        port: 0,
        public: Public(sources),
        public_port: 7_000,
        tcp: false,
        candidates: Candidates::Checked,
    }
}

async fn finder(sources: Vec<Source>, audience: Audience) -> Finder {
    let sockets = ["127.0.0.1:9".parse().unwrap(), "127.0.0.2:9".parse().unwrap()];
    let mut finder = Finder::new(&media(sources), audience, &sockets);
    assert!(finder.look().await, "there was nothing before");
    finder
}

fn texts(finder: &Finder) -> Vec<String> {
    finder.addresses().iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn all_sources_are_told_in_their_order_and_each_once() {
    let stun = FakeServer::start("127.0.0.1:0", "192.0.2.3", true).await;
    let sources = vec![
        Source::Address(ip("192.0.2.1")),
        Source::Stun(vec![stun.server.clone()]),
        Source::Name("localhost".to_owned()),
        Source::Address(ip("2001:db8::1")),
        Source::Address(ip("192.0.2.1")),
    ];
    let mut finder = finder(sources, Audience::Everybody).await;
    // Without the family that we have not.
    let told = ["192.0.2.1:7000", "192.0.2.3:7000", "127.0.0.1:7000"];
    assert_eq!((texts(&finder), finder.is_private), (told.map(str::to_owned).to_vec(), false));
    assert!(finder.may_change() && !finder.look().await, "nothing new");
    // It is asked again, and where it says nothing its last address holds.
    stun.answers.store(false, Ordering::Relaxed);
    assert!(!finder.look().await);
    assert_eq!((texts(&finder), finder.failing.len()), (told.map(str::to_owned).to_vec(), 1));
    let listed = Finder::new(
        &media(vec![Source::Address(ip("192.0.2.1"))]),
        Audience::Everybody,
        &["127.0.0.1:9".parse().unwrap()],
    );
    assert!(!listed.may_change());
}

#[tokio::test]
async fn private_is_what_only_other_networks_would_miss() {
    let told = |text: &str| vec![Source::Address(ip(text))];
    for (sources, private) in [
        (vec![], true),
        (told("10.0.0.7"), true),
        (told("100.64.0.7"), true),
        (told("192.0.2.1"), false),
        ([told("10.0.0.7"), told("192.0.2.1")].concat(), false),
    ] {
        for (audience, told) in [
            (Audience::Everybody, private),
            (Audience::Relayed, private),
            (Audience::ThisMachine, false),
        ] {
            assert_eq!(finder(sources.clone(), audience).await.is_private, told, "{sources:?}");
        }
    }
}

#[tokio::test]
async fn a_silent_server_is_asked_until_it_answers_and_meanwhile_we_serve() {
    let late = FakeServer::start("127.0.0.1:0", "192.0.2.3", false).await;
    let gone = StunServer { host: "no-such-name.invalid".to_owned(), port: 1 };
    let media = media(vec![Source::Stun(vec![gone, late.server.clone()])]);
    let port: Arc<MediaPort> = MediaPort::open(media, Audience::Everybody, 8).await.unwrap();
    let before = port.join();
    assert!(before.candidates().contains(" 127.0.0.1 7000 "), "{}", before.candidates());
    late.answers.store(true, Ordering::Relaxed);
    let until = Instant::now() + PATIENCE;
    while !port.join().candidates().contains(" 192.0.2.3 7000 ") {
        assert!(Instant::now() < until, "{}", port.join().candidates());
        // Between two looks: nothing announces what new sessions are told.
        sleep(Duration::from_millis(50)).await;
    }
    assert!(!port.join().candidates().contains("127.0.0.1"));
}

#[test]
fn pauses_grow_while_a_source_fails() {
    let pauses = [0, 1, 2, 3, 5, 6, 40].map(|failures| pause(failures).as_secs());
    assert_eq!(pauses, [60, 2, 4, 8, 32, 60, 60]);
}
