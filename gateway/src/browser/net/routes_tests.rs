use std::collections::HashMap;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::browser::net::packet::{Kind, classify, tests::check as message};

/// A session that is known by `name`.
fn joined<T>(routes: &mut Routes<T>, name: &str, to: T) -> Id {
    let id = routes.add(to);
    routes.learn(id, credentials(name));
    id
}

fn credentials(name: &str) -> Credentials {
    Credentials { ufrag: name.to_owned(), password: format!("password of {name}") }
}

fn path(port: u16) -> Path {
    Path { socket: usize::from(port % 2), remote: SocketAddr::from(([192, 0, 2, 1], port)) }
}

/// A check by somebody who knows the password of `knows`.
fn check(routes: &mut Routes<u32>, path: Path, ufrag: &str, knows: &str) -> Result<u32, Stray> {
    let message = message(&format!("{ufrag}:theirs"), &credentials(knows).password);
    let Kind::Check(check) = classify(&message) else { panic!("not a check") };
    routes.check(path, &check).copied()
}

#[test]
fn a_signed_check_teaches_an_address_and_nothing_else_does() {
    let mut routes = Routes::default();
    joined(&mut routes, "a", 1);
    assert_eq!(routes.at(path(1)), Err(Stray::UnknownAddress));
    assert_eq!(check(&mut routes, path(1), "a", "b"), Err(Stray::Forged));
    assert_eq!(check(&mut routes, path(1), "b", "b"), Err(Stray::UnknownUfrag));
    assert_eq!(routes.at(path(1)), Err(Stray::UnknownAddress));
    assert_eq!(check(&mut routes, path(1), "a", "a"), Ok(1));
    assert_eq!(routes.at(path(1)), Ok(&1));
    // The same address at another of our sockets is another path.
    assert_eq!(routes.at(Path { socket: 7, ..path(1) }), Err(Stray::UnknownAddress));
}

#[test]
fn an_address_moves_to_whoever_signs_for_it() {
    let mut routes = Routes::default();
    let (a, b) = (joined(&mut routes, "a", 1), joined(&mut routes, "b", 2));
    check(&mut routes, path(1), "a", "a").unwrap();
    // Knowing the other's ufrag is not enough to take its address.
    assert_eq!(check(&mut routes, path(1), "b", "a"), Err(Stray::Forged));
    assert_eq!(routes.at(path(1)), Ok(&1));
    check(&mut routes, path(1), "b", "b").unwrap();
    assert_eq!(routes.at(path(1)), Ok(&2));
    // The end of the first does not touch what is the second's now.
    routes.remove(a);
    assert_eq!(routes.at(path(1)), Ok(&2));
    routes.remove(b);
    assert!(routes.by_path.is_empty() && routes.by_ufrag.is_empty() && routes.sessions.is_empty());
}

#[test]
fn a_restart_adds_credentials_and_ends_the_oldest() {
    let mut routes = Routes::default();
    let id = joined(&mut routes, "a", 1);
    let other = joined(&mut routes, "other", 2);
    routes.learn(id, credentials("other"));
    assert_eq!(check(&mut routes, path(1), "other", "other"), Ok(2));
    routes.learn(id, credentials("b"));
    assert_eq!(check(&mut routes, path(2), "a", "a"), Ok(1), "until all use the new ones");
    routes.learn(id, credentials("c"));
    assert_eq!(check(&mut routes, path(3), "a", "a"), Err(Stray::UnknownUfrag));
    assert_eq!(check(&mut routes, path(3), "b", "b"), Ok(1));
    assert_eq!(check(&mut routes, path(3), "c", "c"), Ok(1));
    routes.remove(id);
    routes.remove(other);
    assert!(routes.by_path.is_empty() && routes.by_ufrag.is_empty());
}

#[test]
fn an_address_that_is_checked_outlives_any_number_of_others() {
    let mut routes = Routes::default();
    joined(&mut routes, "a", 1);
    for port in 1..1_000 {
        // Between two of its checks: all the others that there is room for.
        if usize::from(port) % (REMOTES - 1) == 1 {
            check(&mut routes, path(0), "a", "a").unwrap();
        }
        check(&mut routes, path(port), "a", "a").unwrap();
        assert_eq!(routes.at(path(0)), Ok(&1), "{port}");
    }
    assert_eq!(routes.by_path.len(), REMOTES);
    // What anybody can send does not keep it: a datagram, or a check that is not signed.
    for port in 1_000..1_000 + u16::try_from(REMOTES).unwrap() {
        routes.at(path(0)).ok();
        assert_eq!(
            check(&mut routes, path(0), "a", "b"),
            Err(Stray::Forged),
            "on a known path too"
        );
        check(&mut routes, path(port), "a", "a").unwrap();
    }
    assert_eq!(routes.at(path(0)), Err(Stray::UnknownAddress));
}

/// Against a model: each session's addresses, those with the latest checks first.
#[test]
fn no_datagram_is_ever_anothers() {
    for seed in 0..50 {
        let mut random = SmallRng::seed_from_u64(seed);
        let (mut routes, mut model) = (Routes::default(), HashMap::<u32, Vec<Path>>::new());
        let mut live: Vec<(u32, Id)> = Vec::new();
        for step in 0..2_000_u32 {
            match random.random_range(0..100) {
                0 => live.push((step, joined(&mut routes, &step.to_string(), step))),
                1 if !live.is_empty() => {
                    let (name, id) = live.swap_remove(random.random_range(0..live.len()));
                    routes.remove(id);
                    model.remove(&name);
                }
                2..60 if !live.is_empty() => {
                    let (name, _) = live[random.random_range(0..live.len())];
                    let (at, name_text) = (path(random.random_range(0..200)), name.to_string());
                    assert_eq!(check(&mut routes, at, &name_text, &name_text), Ok(name));
                    model.values_mut().for_each(|paths| paths.retain(|known| *known != at));
                    let paths = model.entry(name).or_default();
                    paths.insert(0, at);
                    paths.truncate(REMOTES);
                }
                _ => {
                    let at = path(random.random_range(0..200));
                    let owner =
                        model.iter().find(|(_, paths)| paths.contains(&at)).map(|(name, _)| name);
                    assert_eq!(routes.at(at).ok(), owner, "seed {seed}, step {step}");
                }
            }
            assert_eq!(routes.by_path.len(), model.values().map(Vec::len).sum::<usize>());
        }
    }
}
