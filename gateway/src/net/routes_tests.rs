use std::collections::HashMap;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::net::packet::{Kind, classify, tests::check as message};

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

/// Against a model that knows only the last who signed for an address; what the table forgets beyond its bound it says
/// it does not know.
#[test]
fn no_datagram_is_ever_anothers() {
    for seed in 0..50 {
        let mut random = SmallRng::seed_from_u64(seed);
        let (mut routes, mut owner) = (Routes::default(), HashMap::<Path, u32>::new());
        let mut live: Vec<(u32, Id)> = Vec::new();
        for step in 0..2_000_u32 {
            match random.random_range(0..10) {
                0 => live.push((step, joined(&mut routes, &step.to_string(), step))),
                1 if !live.is_empty() => {
                    let (name, id) = live.swap_remove(random.random_range(0..live.len()));
                    routes.remove(id);
                    owner.retain(|_, of| *of != name);
                }
                2..6 if !live.is_empty() => {
                    let (name, _) = live[random.random_range(0..live.len())];
                    let (at, name_text) = (path(random.random_range(0..40)), name.to_string());
                    assert_eq!(check(&mut routes, at, &name_text, &name_text), Ok(name));
                    owner.insert(at, name);
                }
                _ => {
                    let at = path(random.random_range(0..40));
                    if let Ok(found) = routes.at(at) {
                        assert_eq!(owner.get(&at), Some(found), "seed {seed}, step {step}");
                    }
                }
            }
            assert!(routes.sessions.values().all(|session| session.paths.len() <= REMOTES));
            assert_eq!(
                routes.by_path.len(),
                routes.sessions.values().map(|session| session.paths.len()).sum::<usize>()
            );
        }
    }
}
