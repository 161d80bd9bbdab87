//! Several gateways around one Redis, and what happens to it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Redis;
use super::health::Operation;
use super::server::RedisServer;
use super::testing::{LONG, gateway, members, unconnected, until, workers};
use crate::config::redis::{RedisOptions, RedisStore};
use crate::config::tls::cluster_init::{REDIS_RIGHTS as RIGHTS, cluster_init};
use crate::media::session_id::testing::id;
use crate::workers::placement::gauges::Gauges;
use crate::workers::placement::{ClaimError, Placement};

const SHORT: Duration = Duration::from_secs(1);
/// Far beyond what an offer may be held up, near enough to see a wait without a bound.
const AT_ONCE: Duration = Duration::from_secs(10);

fn streams() -> Vec<String> {
    vec!["s".to_owned()]
}

/// Where the gateway of this number is.
fn address(number: u8) -> Option<SocketAddr> {
    Some(([10, 0, 0, number], 9090).into())
}

#[tokio::test]
async fn gateways_see_each_others_slots_and_sessions() {
    let server = RedisServer::start();
    let [a, b] = [gateway(&server, 1, LONG, &[]).await, gateway(&server, 2, LONG, &[]).await];
    let workers = workers(2, 1);
    let (on_a, slot) = a.claim(&id("1"), &workers).await.unwrap();
    assert_eq!(b.claim(&id("1"), &workers).await.err(), Some(ClaimError::Exists));
    let (on_b, _other) = b.claim(&id("2"), &workers).await.unwrap();
    assert_eq!([on_a.name, on_b.name], ["0", "1"]);
    assert_eq!(a.claim(&id("3"), &workers).await.err(), Some(ClaimError::Full { slots: 2 }));
    let many = vec!["other".to_owned(), "s".to_owned()];
    assert_eq!(b.locate(&id("1"), &many).await, address(1));
    assert_eq!(a.locate(&id("2"), &many).await, address(2));
    assert_eq!(a.locate(&id("1"), &many).await, None, "it is us");
    drop(slot);
    until("the slot is free", || members(&server, "worker:0").is_empty()).await;
    assert_eq!(b.locate(&id("1"), &many).await, None);
    assert_eq!(b.claim(&id("1"), &workers).await.unwrap().0.name, "0");
}

#[tokio::test]
async fn a_session_without_a_slot_is_known_until_it_ends() {
    let server = RedisServer::start();
    let [a, b] = [gateway(&server, 1, LONG, &[]).await, gateway(&server, 2, LONG, &[]).await];
    let workers = workers(1, 1);
    for (session, yields) in [("1", false), ("2", true)] {
        assert_eq!(a.look(&id(session), &workers, yields).await, Ok(()));
        assert_eq!(b.locate(&id(session), &streams()).await, address(1));
        assert_eq!(b.look(&id(session), &workers, yields).await, Err(ClaimError::Exists));
        b.disown(&id(session), "s").await;
        assert_eq!(b.locate(&id(session), &streams()).await, address(1), "it is not theirs");
    }
    assert!(members(&server, "worker:0").is_empty() && members(&server, "sessions").is_empty());
    let (_, slot) = a.claim(&id("1"), &workers).await.unwrap();
    for session in ["1", "2"] {
        a.disown(&id(session), "s").await;
    }
    assert_eq!(b.locate(&id("2"), &streams()).await, None);
    assert!(b.locate(&id("1"), &streams()).await.is_some(), "it has a slot by now");
    drop(slot);
    until("the slot is free", || members(&server, "worker:0").is_empty()).await;
    assert_eq!(b.locate(&id("1"), &streams()).await, None);
}

#[tokio::test]
async fn two_gateways_race_for_the_last_slot_and_one_wins() {
    const ROUNDS: usize = 10_000;
    /// Rounds in which a busy machine's Redis may answer too late for one of them, which then
    /// places by itself.
    const STALLED: usize = 100;
    let server = RedisServer::start();
    let [a, b] = [gateway(&server, 1, LONG, &[]).await, gateway(&server, 2, LONG, &[]).await];
    let mut won = [0, 0];
    let mut workers = workers(ROUNDS + STALLED, 1).into_iter().enumerate();
    while won[0] + won[1] < ROUNDS {
        let (round, worker) = workers.next().expect("Redis answers in time, mostly");
        until("both are connected", || a.store.ready().is_some() && b.store.ready().is_some())
            .await;
        let links = [a.store.ready(), b.store.ready()];
        let (candidates, [first, second]) =
            ([worker], [id(format!("a{round}")), id(format!("b{round}"))]);
        let (first, second) =
            tokio::join!(a.claim(&first, &candidates), b.claim(&second, &candidates));
        if links.iter().any(|link| link.as_ref().is_none_or(|link| link.lost.is_cancelled())) {
            continue;
        }
        let lost = Some(ClaimError::Full { slots: 1 });
        match (first, second) {
            (Ok(_), Err(error)) if Some(&error) == lost.as_ref() => won[0] += 1,
            (Err(error), Ok(_)) if Some(&error) == lost.as_ref() => won[1] += 1,
            (first, second) => panic!("round {round}: {:?} and {:?}", first.err(), second.err()),
        }
    }
}

#[tokio::test]
async fn a_dead_gateways_slots_are_free_within_the_lease() {
    let server = RedisServer::start();
    let [dead, other] =
        [gateway(&server, 1, SHORT, &[]).await, gateway(&server, 2, SHORT, &[]).await];
    let workers = workers(1, 2);
    // Renewed: it stays longer than a lease.
    let _kept = other.claim(&id("kept"), &workers).await.unwrap();
    let lost = dead.claim(&id("lost"), &workers).await.unwrap();
    drop(dead);
    // Nobody is told any more.
    std::mem::forget(lost);
    let mut again = None;
    let deadline = Instant::now() + 20 * SHORT;
    while again.is_none() {
        assert!(Instant::now() < deadline, "the dead gateway's slot is not free");
        again = other.claim(&id("lost"), &workers).await.ok();
        tokio::task::yield_now().await;
    }
    assert_eq!(
        other.claim(&id("more"), &workers).await.err(),
        Some(ClaimError::Full { slots: 2 }),
        "the kept one is"
    );
}

#[tokio::test]
async fn a_session_that_moved_or_came_again_outlives_its_old_slot() {
    let server = RedisServer::start();
    let [a, b] = [gateway(&server, 1, LONG, &[]).await, gateway(&server, 2, LONG, &[]).await];
    let workers = workers(2, 4);
    let (_, old) = a.claim(&id("1"), &workers).await.unwrap();
    let (_, new) = a.claim(&id("1"), &workers).await.unwrap();
    drop(old);
    until("the old slot is told", || members(&server, "worker:0").is_empty()).await;
    let us = address(1);
    assert_eq!(b.locate(&id("1"), &streams()).await, us);
    // The newer of two goes: the worker that it was to move to did not take it.
    let (_, newest) = a.claim(&id("1"), &workers).await.unwrap();
    drop(newest);
    until("the newest slot is told", || members(&server, "worker:0").is_empty()).await;
    assert_eq!(b.locate(&id("1"), &streams()).await, us);
    assert_eq!(server.cli(&["HGET", "reframe:{s}:session:1", "worker"]), "1");
    drop(new);
    until("all is told", || members(&server, "sessions").is_empty()).await;
    assert_eq!(server.cli(&["KEYS", "*"]), "");
}

#[tokio::test]
async fn a_redis_that_lost_everything_is_told_again() {
    let mut server = RedisServer::start();
    let [a, b] = [gateway(&server, 1, SHORT, &[]).await, gateway(&server, 2, LONG, &[]).await];
    let workers = workers(3, 200);
    let mut slots = Vec::new();
    for n in 0..300 {
        let gateway = if n % 2 == 0 { &a } else { &b };
        slots.push(gateway.claim(&id(n), &workers).await.unwrap());
    }
    server.kill9();
    // Both place on: the first attempt of each finds out.
    for n in 300..310 {
        let gateway = if n % 2 == 0 { &a } else { &b };
        slots.push(timeout(AT_ONCE, gateway.claim(&id(n), &workers)).await.unwrap().unwrap());
    }
    assert_eq!(timeout(AT_ONCE, a.locate(&id("1"), &streams())).await, Ok(None));
    slots.drain(0..10);
    server.restart();
    until("both are connected", || a.store.ready().is_some() && b.store.ready().is_some()).await;
    until("what was held is there", || members(&server, "sessions").len() == 300).await;
    let sum: usize = (0..3).map(|n| members(&server, &format!("worker:{n}")).len()).sum();
    assert_eq!(sum, 300);
    assert_eq!(b.locate(&id("300"), &streams()).await, address(1));
    assert_eq!(a.store.health.problems(), []);
    // Emptied under a connection that lives on: the next renewal sees to it.
    assert_eq!(server.cli(&["FLUSHALL"]), "OK");
    until("what a holds is there", || members(&server, "sessions").len() == 150).await;
}

#[tokio::test]
async fn foreign_data_under_our_keys_is_told_and_places_go_on() {
    let server = RedisServer::start();
    let a = gateway(&server, 1, SHORT, &[]).await;
    let (workers, key) = (workers(1, 2), "reframe:{s}:worker:0");
    assert_eq!(server.cli(&["SET", key, "somebody's"]), "OK");
    let _first = a.claim(&id("1"), &workers).await.unwrap();
    let _second = a.claim(&id("2"), &workers).await.unwrap();
    assert_eq!(
        a.claim(&id("3"), &workers).await.err(),
        Some(ClaimError::Full { slots: 2 }),
        "by what it knows itself"
    );
    let told = |operation| a.store.health.problems().into_iter().find(|(at, ..)| *at == operation);
    until("the renewal found it too", || told(Operation::Renew).is_some()).await;
    let (_, stream, text) = told(Operation::Claim).unwrap();
    assert_eq!(stream, "s");
    assert!(text.contains("data of another program"), "{text}");
    assert!(a.store.ready().is_some(), "other streams are not its victims");
    assert_eq!(server.cli(&["GET", key]), "somebody's", "not ours to remove");
    assert_eq!(server.cli(&["DEL", key]), "1");
    until("both are there", || members(&server, "worker:0").len() == 2).await;
    until("all is well", || told(Operation::Renew).is_none()).await;
    assert_eq!(a.claim(&id("3"), &workers).await.err(), Some(ClaimError::Full { slots: 2 }));
    assert_eq!(a.store.health.problems(), []);
}

#[tokio::test]
async fn foreign_data_in_a_sessions_place_harms_that_session_only() {
    let server = RedisServer::start();
    let a = gateway(&server, 1, LONG, &[]).await;
    assert_eq!(server.cli(&["SET", "reframe:{s}:session:1", "somebody's"]), "OK");
    let workers = workers(1, 2);
    assert_eq!(a.locate(&id("1"), &streams()).await, None);
    let _first = a.claim(&id("1"), &workers).await.unwrap();
    let _second = a.claim(&id("2"), &workers).await.unwrap();
    assert_eq!(members(&server, "worker:0").len(), 1);
}

#[tokio::test]
async fn an_owner_that_no_gateway_is_is_nobody() {
    let server = RedisServer::start();
    let [a, b] = [gateway(&server, 1, LONG, &[]).await, gateway(&server, 2, LONG, &[]).await];
    let _slot = a.claim(&id("1"), &workers(1, 2)).await.unwrap();
    for forged in
        ["http://127.0.0.1:6379", "http://10.0.0.1:9090/secret?", "http://169.254.169.254:80", "x"]
    {
        assert_eq!(server.cli(&["HSET", "reframe:{s}:session:1", "gateway", forged]), "0");
        assert_eq!(b.locate(&id("1"), &streams()).await, None, "{forged}");
        let problems = b.store.health.problems();
        let [(Operation::Locate, _, text)] = &problems[..] else { panic!("{problems:?}") };
        assert!(text.contains("somebody else"), "{text}");
    }
    assert_eq!(
        server.cli(&["HSET", "reframe:{s}:session:1", "gateway", "http://10.0.0.1:9090"]),
        "0"
    );
    assert_eq!(b.locate(&id("1"), &streams()).await, address(1));
    assert_eq!(b.store.health.problems(), []);
}

#[tokio::test]
async fn a_password_from_a_file_is_read_for_each_connection() {
    let mut server = RedisServer::with_password("first");
    let port = server.url().rsplit_once(':').unwrap().1.to_owned();
    let file = std::env::temp_dir().join(format!("reframe-redis-password-{}", std::process::id()));
    std::fs::write(&file, "wrong\n").unwrap();
    let client = ::redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
    let us = address(1).unwrap();
    let store = RedisStore { client, password_file: Some(file.clone()) };
    let a = Redis::start(store, us, SHORT, Gauges::new(Box::new(Vec::new)));
    until("it is told", || !a.store.health.problems().is_empty()).await;
    std::fs::write(&file, "first\nanother line").unwrap();
    until("it is connected", || a.store.ready().is_some()).await;
    std::fs::write(&file, "second").unwrap();
    assert_eq!(server.cli(&["CONFIG", "SET", "requirepass", "second"]), "OK");
    // The connection that there is stays good; the next one needs the new password.
    let mut other = ::redis::Client::open(format!("redis://:second@127.0.0.1:{port}"))
        .unwrap()
        .get_connection()
        .unwrap();
    let killed: u32 =
        ::redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal"]).query(&mut other).unwrap();
    assert_eq!(killed, 1);
    until("it notices", || a.store.ready().is_none()).await;
    until("it is connected again", || a.store.ready().is_some()).await;
    std::fs::remove_file(&file).unwrap();
    server.kill9();
    until("the file is missed", || {
        a.store.health.problems().iter().any(|(_, _, text)| text.contains("--redis-password-file"))
    })
    .await;
}

#[tokio::test]
async fn a_user_needs_no_more_than_the_documented_rights_and_a_missing_one_is_told() {
    let documented = include_str!("../../../../docs/operations.md");
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(plain(documented).contains(&plain(RIGHTS)), "docs/operations.md has other rights");
    let server = RedisServer::start();
    let give = |rights: &str| {
        let mut command = vec!["ACL", "SETUSER", "gateway", "reset", "on", ">secret"];
        command.extend(rights.split_whitespace());
        assert_eq!(server.cli(&command), "OK");
    };
    let port = server.url().rsplit_once(':').unwrap().1.to_owned();
    let url = format!("redis://gateway:secret@127.0.0.1:{port}");
    give(RIGHTS);
    let workers = workers(1, 2);
    let a = unconnected(&url, 1, LONG, &workers);
    until("it is connected", || a.store.ready().is_some()).await;
    let (_, slot) = a.claim(&id("1"), &workers).await.unwrap();
    assert_eq!(members(&server, "worker:0").len(), 1, "it is in the store");
    a.look(&id("2"), &workers, false).await.unwrap();
    a.disown(&id("2"), "s").await;
    a.locate(&id("3"), &streams()).await;
    drop(slot);
    until("the slot is free", || members(&server, "worker:0").is_empty()).await;
    assert_eq!(a.store.health.problems(), []);

    give(&RIGHTS.replace("+zadd ", ""));
    let _slot = a.claim(&id("4"), &workers).await.unwrap();
    let problems = a.store.health.problems();
    let text = problems.iter().map(|(_, _, text)| text.as_str()).collect::<String>();
    // Within a script Redis 7.0 does not say which: `ACL LOG` does.
    assert!(text.contains("may not do") && text.contains("docs/operations.md"), "{text}");
}

/// As in docs/operations.md: by TLS, with the user and its password in options of their own.
#[tokio::test]
async fn a_user_with_a_password_file_comes_by_tls_and_a_foreign_redis_is_refused() {
    let folder = std::env::temp_dir().join(format!("reframe-rediss-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let pair = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        (
            file(&format!("{name}.pem"), &certificate),
            file(&format!("{name}.key"), &key.serialize_pem()),
        )
    };
    let ((cert, key), (foreign, _)) = (pair("own"), pair("foreign"));
    let server = RedisServer::with_tls(&cert, &key);
    let mut command = vec!["ACL", "SETUSER", "gateway", "reset", "on", ">secret"];
    command.extend(RIGHTS.split_whitespace());
    assert_eq!(server.cli(&command), "OK");
    let options = |ca: &str| RedisOptions {
        redis: Some(server.tls_url()),
        redis_user: Some("gateway".into()),
        redis_password_file: Some(file("password", "secret\n")),
        redis_ca: Some(ca.to_owned()),
    };
    let started = |ca: &str, number| {
        let (mut problems, workers) = (Vec::new(), workers(1, 2));
        let store = options(ca).validate(&mut problems);
        let store = store.unwrap_or_else(|| panic!("{problems:?}"));
        let gauges = Gauges::new(Box::new(move || workers.clone()));
        Redis::start(store, address(number).unwrap(), LONG, gauges)
    };
    let a = started(&cert, 1);
    until("it is connected", || a.store.ready().is_some()).await;
    let _slot = a.claim(&id("1"), &workers(1, 2)).await.unwrap();
    assert_eq!(members(&server, "worker:0").len(), 1, "it is in the store");
    assert_eq!(a.store.health.problems(), []);

    let b = started(&foreign, 2);
    until("it is told", || !b.store.health.problems().is_empty()).await;
    let problems = b.store.health.problems();
    let [(Operation::Connect, _, text)] = &problems[..] else { panic!("{problems:?}") };
    assert!(text.contains("certificate") && text.contains("--redis-ca"), "{text}");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// `redis.acl` and `redis.password`, as Redis and a gateway are given them.
#[tokio::test]
async fn the_user_of_cluster_init_comes_by_its_password_and_nobody_without() {
    let folder = std::env::temp_dir().join(format!("reframe-acl-{}", std::process::id()));
    let _made = cluster_init(&folder).unwrap();
    let server = RedisServer::start();
    let users = std::fs::read_to_string(folder.join("redis.acl")).unwrap();
    // The last one first: the first shuts out who adds them here.
    for user in users.lines().rev() {
        let rules = user.strip_prefix("user ").unwrap().split_whitespace();
        let command: Vec<_> = ["ACL", "SETUSER"].into_iter().chain(rules).collect();
        assert_eq!(server.cli(&command), "OK");
    }
    assert!(server.cli(&["PING"]).contains("NOAUTH"));
    let options = RedisOptions {
        redis: Some(server.url()),
        redis_user: Some("gateway".into()),
        redis_password_file: folder.join("redis.password").to_str().map(str::to_owned),
        redis_ca: None,
    };
    let (mut problems, workers) = (Vec::new(), workers(1, 2));
    let store = options.validate(&mut problems).unwrap_or_else(|| panic!("{problems:?}"));
    let gauges = Gauges::new(Box::new(move || workers.clone()));
    let a = Redis::start(store, address(1).unwrap(), LONG, gauges);
    until("it is connected", || a.store.ready().is_some()).await;
    assert_eq!(a.store.health.problems(), []);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Redis' MISCONF: reads are answered, writes refused, and a PING with them.
#[tokio::test]
async fn a_redis_that_cannot_save_is_told_and_places_go_on() {
    let server = RedisServer::start();
    let workers = workers(1, 3);
    let a = gateway(&server, 1, SHORT, &workers).await;
    let (_, _before) = a.claim(&id("1"), &workers).await.unwrap();
    server.stop_saving();
    until("it is told", || !a.store.health.problems().is_empty()).await;
    let (_, _during) = a.claim(&id("2"), &workers).await.unwrap();
    let problems = a.store.health.problems();
    let unsaved = "it takes no writes, because it cannot save its data (MISCONF; its own log has \
        why): free its disk, or switch saving off, which Reframe does not need";
    assert!(problems.iter().all(|(_, _, text)| text == unsaved), "{problems:?}");
    assert!(problems.iter().any(|(operation, ..)| *operation == Operation::Claim), "{problems:?}");
    server.save_nothing();
    until("nothing is wrong, though nobody claims", || a.store.health.problems().is_empty()).await;
    until("both are in the store", || members(&server, "worker:0").len() == 2).await;
}

#[tokio::test]
async fn a_refused_password_is_told_and_tried_again() {
    let server = RedisServer::with_password("right");
    let port = server.url().rsplit_once(':').unwrap().1.to_owned();
    for url in [format!("redis://127.0.0.1:{port}"), format!("redis://:wrong@127.0.0.1:{port}")] {
        let a = unconnected(&url, 1, SHORT, &[]);
        until("it is told", || !a.store.health.problems().is_empty()).await;
        let problems = a.store.health.problems();
        let [(Operation::Connect, _, text)] = &problems[..] else { panic!("{problems:?}") };
        assert!(text.contains("the name or the password") && !text.contains("wrong"), "{text}");
        let _slot = a.claim(&id("1"), &workers(1, 1)).await.unwrap();
    }
    // The password that it has becomes the right one.
    let a = unconnected(&format!("redis://:new@127.0.0.1:{port}"), 1, SHORT, &[]);
    let _slot = a.claim(&id("1"), &workers(1, 1)).await.unwrap();
    until("it is told", || !a.store.health.problems().is_empty()).await;
    assert_eq!(server.cli(&["CONFIG", "SET", "requirepass", "new"]), "OK");
    until("it is connected", || a.store.ready().is_some()).await;
    assert_eq!(a.store.health.problems(), []);
    let mut connection = ::redis::Client::open(format!("redis://:new@127.0.0.1:{port}"))
        .unwrap()
        .get_connection()
        .unwrap();
    let held: u32 =
        ::redis::cmd("ZCARD").arg("reframe:{s}:worker:0").query(&mut connection).unwrap();
    assert_eq!(held, 1, "what it placed meanwhile is there");
}

#[tokio::test]
async fn a_redis_that_does_not_answer_holds_nobody_up() {
    let server = RedisServer::start();
    let a = gateway(&server, 1, LONG, &[]).await;
    let workers = workers(1, 10);
    server.pause();
    let mut slots = Vec::new();
    for n in 0..4 {
        slots.push(timeout(AT_ONCE, a.claim(&id(n), &workers)).await.unwrap().unwrap());
    }
    assert_eq!(timeout(AT_ONCE, a.locate(&id("x"), &streams())).await, Ok(None));
    until("it is told", || {
        a.store.health.problems().iter().any(|(at, ..)| *at == Operation::Connect)
    })
    .await;
    server.go_on();
    until("it is connected", || a.store.ready().is_some()).await;
    assert_eq!(
        members(&server, "worker:0").len(),
        4,
        "one slot each, though the first claim was heard in the end"
    );
}

#[tokio::test]
async fn something_else_on_its_port_is_told() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let a = unconnected(&url, 1, SHORT, &[]);
    let (mut stream, _) = listener.accept().await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n")
        .await
        .unwrap();
    until("it is told", || !a.store.health.problems().is_empty()).await;
    assert!(a.claim(&id("1"), &workers(1, 1)).await.is_ok());
}
