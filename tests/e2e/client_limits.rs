//! What one client may have: who is one is told by the proxy in front, which is these tests, and by
//! the subject. Each limit is reached, does not touch others, and gives back what it is given back.

use std::net::IpAddr;

use reframe_tests::http::{Reply, delete};
use reframe_tests::source::{Format, Video};
use reframe_tests::wait::for_time;
use serde_json::json;

use super::requests::{self, open, request_with};
use super::*;

/// As a proxy says it.
type Headers<'a> = &'a [(&'a str, &'a str)];

const ONE: (&str, &str) = ("x-forwarded-for", "192.0.2.1");
const OTHER: (&str, &str) = ("x-forwarded-for", "192.0.2.2");

/// A gateway behind a proxy, which is these tests.
fn behind_a_proxy(options: &[&str]) -> Cluster {
    let proxied = ["--auth", "none", "--trusted-proxies", "127.0.0.1"];
    Cluster::launch_with("flip", &[&proxied, options].concat())
}

/// An offer whose client never connects.
fn offer(cluster: &Cluster, headers: Headers<'_>, id: &str) -> Reply {
    request_with("POST", &cluster.page("/webrtc/offer"), headers, &requests::offer(id))
}

fn is_answered(reply: &Reply) -> bool {
    reply.status == 200 && reply.json()["type"] == "answer"
}

#[track_caller]
fn assert_answered(reply: &Reply) {
    assert!(is_answered(reply), "{reply:?}");
}

/// By this limit, with an answer that names the option and says when to come again.
#[track_caller]
fn assert_refused(cluster: &Cluster, reply: &Reply, error: &str, limit: &str, option: &str) {
    let meta = &reply.json()["meta"];
    assert_eq!((reply.status, &meta["error"]), (429, &json!(error)), "{reply:?}");
    let told = meta["message"].as_str().unwrap_or_default();
    assert!(told.contains(option), "{told}");
    assert_eq!(told.contains("--trusted-proxies"), limit.ends_with("_of_address"), "{told}");
    assert!(reply.retry_after.is_some_and(|wait| (1..=3).contains(&wait)), "{reply:?}");
    assert!(limited(cluster, limit) > 0.0, "{limit} is counted");
}

fn limited(cluster: &Cluster, limit: &str) -> f64 {
    cluster.metrics().sum("reframe_client_limited_total", &[("limit", limit)])
}

/// A camera whose client has the address of [`ONE`].
fn camera(id: &str) -> Options {
    let forwarded_for = ONE.1.parse::<IpAddr>().ok();
    Options { forwarded_for, ..Options::camera(id, Video::Live(Format::SMALL)) }
}

fn end(cluster: &Cluster, id: &str) {
    let reply = delete(&cluster.admin(&format!("/api/sessions/{id}"))).expect("an answer");
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[test]
fn offers_of_one_address_are_a_burst_and_then_a_rate() {
    const BURST: usize = 3;
    let pending = ["--max-pending-per-client", "1000"];
    let rate = ["--offer-rate", "1", "--offer-burst", &BURST.to_string()];
    let cluster = behind_a_proxy(&[&pending[..], &rate].concat());
    let replies: Vec<_> = (0..20).map(|n| offer(&cluster, &[ONE], &format!("one-{n}"))).collect();
    // The first ones, and one for each second that it took.
    let answered = replies.iter().filter(|reply| is_answered(reply)).count();
    assert!((BURST..20).contains(&answered), "{answered}");
    assert!(replies[..BURST].iter().all(is_answered), "{replies:?}");
    let refused = replies.iter().rfind(|reply| !is_answered(reply)).expect("some were refused");
    assert_refused(&cluster, refused, "rate_limited", "offers_of_address", "--offer-rate");
    assert_eq!(limited(&cluster, "offers_of_address"), (20 - answered) as f64);
    assert_answered(&offer(&cluster, &[OTHER], "other"));
    // Whoever forges one header cannot take away what the proxy says in the other.
    let forged = [ONE, ("forwarded", "for=192.0.2.3")];
    let doubtful = (0..20).map(|n| offer(&cluster, &forged, &format!("forged-{n}")));
    assert!(!doubtful.collect::<Vec<_>>().iter().all(is_answered), "they count for the proxy");
    let mut tries = 0;
    eventually("the next second", PATIENCE, || {
        tries += 1;
        is_answered(&offer(&cluster, &[ONE], &format!("again-{tries}"))).then_some(())
    });
}

#[test]
fn sessions_that_nobody_has_connected_to_are_few_for_each_address() {
    let cluster = behind_a_proxy(&["--max-pending-per-client", "2"]);
    // Who has connected does not count.
    let mut peers = ["a", "b"].map(|id| open(&cluster, camera(id)));
    for id in ["c", "d"] {
        assert_answered(&offer(&cluster, &[ONE], id));
    }
    let refused = offer(&cluster, &[ONE], "e");
    let (limit, option) = ("pending_of_address", "--max-pending-per-client");
    assert_refused(&cluster, &refused, "rate_limited", limit, option);
    assert_answered(&offer(&cluster, &[OTHER], "other"));
    end(&cluster, "c");
    eventually("its place is free", CLOSED, || {
        is_answered(&offer(&cluster, &[ONE], "e")).then_some(())
    });
    peers.iter_mut().for_each(Peer::close);
}

#[test]
fn sessions_of_one_address_are_bounded_and_one_that_ended_leaves_its_place() {
    let cluster = behind_a_proxy(&["--max-sessions-per-client", "2"]);
    let mut peers = ["a", "b"].map(|id| open(&cluster, camera(id)));
    let refused = || Peer::connect(&cluster.page(""), camera("c")).expect_err("two are enough");
    let (limit, option) = ("sessions_of_address", "--max-sessions-per-client");
    assert_refused(&cluster, &refused(), "session_limit_reached", limit, option);
    assert_answered(&offer(&cluster, &[OTHER], "other"));
    // The page's own place is no obstacle to it, though its old session is there still.
    let session_token = Some(peers[0].session_token().to_owned());
    let mut again = open(&cluster, Options { session_token, ..camera("again") });
    assert_refused(&cluster, &refused(), "session_limit_reached", limit, option);
    peers.iter_mut().for_each(Peer::close);
    let mut next = eventually("a place is free", PATIENCE, || {
        Peer::connect(&cluster.page(""), camera("c")).ok()
    });
    next.wait_received(1, PATIENCE);
    next.close();
    again.close();
}

/// All of one office, or of one room, have one address. Who is refused comes again, as the page
/// does.
#[test]
fn a_class_behind_one_address_gets_in() {
    const PAGES: usize = 12;
    let cluster = behind_a_proxy(&[]);
    let page = |n: usize| {
        let options = Options { decode: false, ..camera(&format!("page-{n}")) };
        let peer = eventually("a turn", PATIENCE, || {
            let answered = Peer::connect(&cluster.page(""), options.clone());
            let refused = match answered {
                Ok(peer) => return Some(peer),
                Err(refused) => refused,
            };
            let wait = refused.retry_after.unwrap_or_else(|| panic!("{refused:?}"));
            for_time(Duration::from_secs(wait.into()));
            None
        });
        peer.wait_received(1, PATIENCE);
        peer
    };
    let mut peers: Vec<Peer> = std::thread::scope(|scope| {
        let pages: Vec<_> = (0..PAGES).map(|n| scope.spawn(move || page(n))).collect();
        pages.into_iter().map(|page| page.join().expect("it is live")).collect()
    });
    assert_eq!(cluster.sessions(), PAGES as f64);
    peers.iter_mut().for_each(Peer::close);
}

#[test]
fn a_subject_has_its_limits_wherever_it_comes_from() {
    let proxy = ["--auth", "proxy", "--auth-header", "X-User", "--trusted-proxies", "127.0.0.1"];
    let few = ["--max-sessions-per-client", "2"];
    let cluster = Cluster::launch_with("flip", &[&proxy[..], &few].concat());
    let [ada, eve] = ["ada", "eve"].map(|name| ("x-user", name));
    assert_answered(&offer(&cluster, &[ada], "a"));
    assert_answered(&offer(&cluster, &[ada, ONE], "b"));
    for headers in [&[ada][..], &[ada, ONE], &[ada, OTHER]] {
        let refused = offer(&cluster, headers, "c");
        let (limit, option) = ("sessions_of_subject", "--max-sessions-per-client");
        assert_refused(&cluster, &refused, "session_limit_reached", limit, option);
    }
    assert_answered(&offer(&cluster, &[eve, ONE], "d"));
    end(&cluster, "a");
    eventually("her place is free", CLOSED, || {
        is_answered(&offer(&cluster, &[ada, OTHER], "c")).then_some(())
    });
}

#[test]
fn a_program_on_this_machine_is_not_limited() {
    let least = [
        ["--offer-rate", "1"],
        ["--offer-burst", "1"],
        ["--max-pending-per-client", "1"],
        ["--max-sessions-per-client", "1"],
    ];
    let cluster = behind_a_proxy(least.as_flattened());
    for n in 0..10 {
        assert_answered(&offer(&cluster, &[], &n.to_string()));
    }
    assert_answered(&offer(&cluster, &[ONE], "one"));
    assert!(!is_answered(&offer(&cluster, &[ONE], "two")));
    let refused: f64 = cluster.metrics().by("reframe_client_limited_total", "limit").values().sum();
    assert_eq!(refused, 1.0);
}

#[test]
fn wrong_ids_of_one_address_are_few() {
    const MOST: usize = 5;
    let cluster = behind_a_proxy(&["--legacy-ids", "--max-wrong-ids", &MOST.to_string()]);
    let ask = |headers: Headers<'_>, n: usize| {
        let body = json!({ "webrtc_id": format!("guessed-at-random-{n}"), "by": 1 });
        request_with("POST", &cluster.page("/input_hook"), headers, &body)
    };
    let replies: Vec<_> = (0..20).map(|n| ask(&[ONE], n)).collect();
    let wrong = replies.iter().filter(|reply| reply.status == 404).count();
    // One more is forgotten every twelve seconds.
    assert!((MOST..MOST + 5).contains(&wrong), "{replies:?}");
    let refused = replies.iter().rfind(|reply| reply.status != 404).expect("some were refused");
    assert_refused(&cluster, refused, "rate_limited", "wrong_ids_of_address", "--max-wrong-ids");
    assert_eq!(ask(&[OTHER], 0).status, 404);
    assert!((0..20).all(|n| ask(&[], n).status == 404), "a program on this machine");
}
