//! Tests of [`super`].

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::config::client_limits::ClientLimitOptions;
use crate::media::session_id::testing::id;

const SECOND: Duration = Duration::from_secs(1);

/// As without any option, but for these two.
fn clients(pending: u32, sessions: u32) -> Clients {
    let options = ClientLimitOptions {
        max_pending_per_client: pending.to_string(),
        max_sessions_per_client: sessions.to_string(),
        ..ClientLimitOptions::default()
    };
    let mut problems = Vec::new();
    Clients::new(options.validate(&mut problems).unwrap_or_else(|| panic!("{problems:?}")))
}

fn address(last: u8) -> Option<IpAddr> {
    Some([192, 0, 2, last].into())
}

/// The label of the limit that refuses an offer; nothing where it is counted.
fn offer(
    clients: &mut Clients,
    now: Instant,
    session: &str,
    address: Option<IpAddr>,
    subject: Option<&str>,
    replaces: Option<&str>,
) -> &'static str {
    let (id, max_sessions) = (id(session), None);
    let offer = NewOffer { id: &id, address, subject, max_sessions, replaces };
    match clients.take_offer(now, &offer) {
        Ok(()) => "",
        Err(OfferRefused::Client(limit)) => limit.label(),
        Err(other) => panic!("{other:?}"),
    }
}

/// Offers of one client that are counted: so many of `count`, each `every` apart.
fn counted(address: Option<IpAddr>, subject: Option<&str>, every: Duration, count: u32) -> u32 {
    let (mut clients, start) = (clients(1_000, 100_000), Instant::now());
    (0..count)
        .map(|n| {
            let told =
                offer(&mut clients, start + every * n, &n.to_string(), address, subject, None);
            assert!(["", "offers_of_address", "offers_of_subject"].contains(&told), "{told}");
            u32::from(told.is_empty())
        })
        .sum()
}

#[test]
fn an_address_and_a_subject_offer_eight_in_a_row_and_then_two_a_second() {
    for (address, subject) in [(address(1), None), (None, Some("ada")), (address(1), Some("ada"))] {
        assert_eq!(counted(address, subject, Duration::ZERO, 100), 8);
        // Twenty seconds, and the burst.
        assert_eq!(counted(address, subject, SECOND / 5, 101), 48);
        assert_eq!(counted(address, subject, SECOND / 2, 100), 100);
    }
    assert_eq!(counted(None, None, Duration::ZERO, 100), 100, "this machine is not limited");
}

#[test]
fn one_client_does_not_use_up_what_another_has() {
    let (mut clients, now) = (clients(100, 100), Instant::now());
    let mut tell =
        |session: &str, address, subject| offer(&mut clients, now, session, address, subject, None);
    for n in 0..8 {
        assert_eq!(tell(&format!("ada-{n}"), address(1), Some("ada")), "");
    }
    assert_eq!(tell("more", address(1), None), "offers_of_address");
    assert_eq!(tell("elsewhere", address(2), Some("ada")), "offers_of_subject");
    // The refused ones took nothing of the address that they came from.
    for n in 0..8 {
        assert_eq!(tell(&format!("eve-{n}"), address(2), Some("eve")), "");
    }
    let [one, same, other] = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"];
    let mut from = |session: String, ip: &str| tell(&session, ip.parse().ok(), None);
    for n in 0..8 {
        assert_eq!(from(format!("one-{n}"), one), "");
    }
    assert_eq!(from("same".to_owned(), same), "offers_of_address", "a /64 is one client");
    assert_eq!(from("other".to_owned(), other), "");
}

#[test]
fn pending_sessions_are_bounded_until_a_check_comes_or_they_end() {
    let (mut clients, now) = (clients(2, 100), Instant::now());
    for session in ["a", "b"] {
        assert_eq!(offer(&mut clients, now, session, address(1), Some("ada"), None), "");
    }
    assert_eq!(offer(&mut clients, now, "c", address(1), None, None), "pending_of_address");
    assert_eq!(offer(&mut clients, now, "c", None, Some("ada"), None), "pending_of_subject");
    assert_eq!(offer(&mut clients, now, "d", address(2), Some("eve"), None), "");
    clients.checked(&id("a"));
    clients.checked(&id("a"));
    assert_eq!(offer(&mut clients, now, "c", address(1), Some("ada"), None), "");
    clients.ended(&id("a"));
    assert_eq!(
        offer(&mut clients, now, "e", address(1), None, None),
        "pending_of_address",
        "it was not pending"
    );
    clients.ended(&id("b"));
    assert_eq!(offer(&mut clients, now, "e", address(1), None, None), "");
    // The place of one that is pending.
    assert_eq!(offer(&mut clients, now, "f", address(1), None, Some("e")), "");
    assert_eq!(offer(&mut clients, now, "g", address(1), None, Some("d")), "pending_of_address");
}

#[test]
fn sessions_are_bounded_and_the_one_that_is_replaced_does_not_count() {
    let (mut clients, now) = (clients(100, 2), Instant::now());
    for session in ["a", "b"] {
        assert_eq!(offer(&mut clients, now, session, address(1), Some("ada"), None), "");
        clients.checked(&id(session));
    }
    assert_eq!(offer(&mut clients, now, "c", address(1), None, None), "sessions_of_address");
    assert_eq!(offer(&mut clients, now, "c", None, Some("ada"), None), "sessions_of_subject");
    assert_eq!(offer(&mut clients, now, "x", address(2), Some("eve"), None), "");
    let replaced = |clients: &mut Clients, session: &str, address, replaces| {
        offer(clients, now, session, address, Some("ada"), Some(replaces))
    };
    assert_eq!(replaced(&mut clients, "d", address(1), "x"), "sessions_of_address", "another's");
    assert_eq!(replaced(&mut clients, "d", address(1), "gone"), "sessions_of_address");
    // From another network: there it is one more, for the subject it is not.
    assert_eq!(replaced(&mut clients, "d", address(2), "a"), "");
    assert_eq!(replaced(&mut clients, "e", address(1), "b"), "sessions_of_subject", "once");
    clients.ended(&id("a"));
    assert_eq!(replaced(&mut clients, "e", address(1), "b"), "");
    assert_eq!(replaced(&mut clients, "f", address(1), "b"), "sessions_of_subject", "once");
}

#[test]
fn of_the_tokens_number_and_the_servers_the_less_holds() {
    let (mut clients, now) = (clients(100, 2), Instant::now());
    let mut begin = |session: &str, max_sessions| {
        let (id, address) = (id(session), address(1));
        let (subject, replaces) = (Some("ada"), None);
        clients.take_offer(now, &NewOffer { id: &id, address, subject, max_sessions, replaces })
    };
    assert_eq!(begin("a", Some(1)), Ok(()));
    let reached = |of, what, max| Err(OfferRefused::Client(ClientLimit { of, what, max }));
    assert_eq!(begin("b", Some(1)), reached(Client::Subject, Limited::TokenSessions, 1));
    assert_eq!(begin("b", Some(7)), Ok(()));
    assert_eq!(begin("c", Some(7)), reached(Client::Address, Limited::Sessions, 2));
}

#[test]
fn more_clients_than_are_remembered_are_served_and_none_with_a_session_is_forgotten() {
    let (mut clients, start) = (clients(1_000, 1_000), Instant::now());
    let numbered = |n: usize| Some(IpAddr::from(u32::try_from(n).unwrap().to_be_bytes()));
    let offer_of = |clients: &mut Clients, now, n: usize, session: usize| {
        offer(clients, now, &session.to_string(), numbered(n), None, None)
    };
    // One stays; one has used its burst; each of the others offers once.
    assert_eq!(offer_of(&mut clients, start, 0, 0), "");
    for session in 1..=8 {
        assert_eq!(offer_of(&mut clients, start, 1, session), "");
        clients.ended(&id(session));
    }
    for n in 2..MAX_IDLE + 500 {
        assert_eq!(offer_of(&mut clients, start, n, n + 8), "");
        clients.ended(&id(n + 8));
    }
    assert!(clients.each.len() <= MAX_IDLE + 2, "{}", clients.each.len());
    assert_eq!(clients.each[&Key::Network(numbered(0).unwrap())].sessions, 1);
    assert_eq!(offer_of(&mut clients, start, 1, 9), "offers_of_address", "it is remembered");
    // With sessions they are as many as there are.
    for n in 0..MAX_IDLE + 500 {
        assert_eq!(offer_of(&mut clients, start + SECOND, 100_000 + n, 100_000 + n), "");
    }
    let held = clients.each.values().filter(|used| used.sessions > 0).count();
    assert_eq!(held, MAX_IDLE + 501);
    assert!(clients.each.len() <= held + MAX_IDLE, "{}", clients.each.len());
}

/// Whatever comes in whatever order: the counts are those of the sessions, and nothing stays.
#[test]
fn counts_are_those_of_the_sessions_at_any_time() {
    for seed in 0..30 {
        let mut random = SmallRng::seed_from_u64(seed);
        let (mut clients, mut now) = (clients(5, 8), Instant::now());
        let mut alive: Vec<SessionId> = Vec::new();
        for n in 0..2_000 {
            now += Duration::from_millis(random.random_range(0..200));
            let pick = |random: &mut SmallRng, alive: &[SessionId]| {
                let any = !alive.is_empty() && random.random_range(0..8) > 0;
                any.then(|| alive[random.random_range(0..alive.len())].clone())
            };
            // Some have no address, and some no subject; what is picked may have ended.
            let picked = pick(&mut random, &alive).unwrap_or_else(|| id("nobody"));
            match random.random_range(0..4) {
                0 | 1 => {
                    let id = id(n);
                    let address = address(random.random_range(0..6)).filter(|_| n % 7 > 0);
                    let subject = ["ada", "eve", "bob"].get(random.random_range(0..5)).copied();
                    let max_sessions = Some(6).filter(|_| n % 3 == 0);
                    let replaces = Some(picked.as_str()).filter(|_| n % 2 == 0);
                    let offer = NewOffer { id: &id, address, subject, max_sessions, replaces };
                    if clients.take_offer(now, &offer).is_ok() {
                        alive.push(id);
                    }
                }
                2 => clients.checked(&picked),
                _ => {
                    clients.ended(&picked);
                    alive.retain(|id| *id != picked);
                }
            }
            assert_eq!(clients.sessions.len(), alive.len(), "seed {seed}");
            for (client, used) in &clients.each {
                let own = || clients.sessions.values().filter(|one| one.clients.contains(client));
                let pending = own().filter(|session| session.pending).count();
                let counts = (used.sessions as usize, used.pending as usize);
                assert_eq!(counts, (own().count(), pending), "seed {seed}: {client:?}");
                // One more where it took the place of another.
                assert!(used.sessions <= 9 && used.pending <= 6, "seed {seed}: {used:?}");
            }
        }
        for session in alive {
            clients.ended(&session);
            clients.ended(&session);
        }
        assert!(clients.sessions.is_empty(), "seed {seed}");
        for (client, used) in &clients.each {
            assert_eq!((used.sessions, used.pending), (0, 0), "seed {seed}: {client:?}");
            assert!(used.offers.full_in(now + SECOND * 4).is_zero(), "seed {seed}");
        }
    }
}
