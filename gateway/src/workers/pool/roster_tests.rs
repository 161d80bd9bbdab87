use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};

use super::*;
use crate::stream::spec::testing::spec;

/// A declaration of the process `instance`; `title` stands for all that may contradict.
fn declaration(instance: &str, stream: &str, title: &str) -> Arc<Spec> {
    Arc::new(Spec { instance: instance.into(), title: title.into(), ..spec(stream, 1) })
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Part `n` of the configuration is the `n`th of `workers`.
fn roster(workers: &[&str]) -> Roster {
    let mut roster = Roster::default();
    for (source, name) in workers.iter().enumerate() {
        assert_eq!(roster.list(source, &names(&[name])).1, []);
    }
    roster
}

fn serves(roster: &mut Roster, name: &str, spec: Arc<Spec>) -> Changes {
    let mut changes = roster.declare(name, spec);
    changes.extend(roster.report(name, Health::Serving));
    changes
}

fn used(roster: &Roster) -> Vec<&str> {
    roster.used().into_iter().map(|(name, _)| name.as_str()).collect()
}

fn change(name: &str, standing: Standing) -> (String, Standing) {
    (name.into(), standing)
}

#[test]
fn workers_are_used_in_the_order_of_the_configuration_as_long_as_they_serve() {
    let mut roster = roster(&["b", "a"]);
    assert_eq!(
        serves(&mut roster, "a", declaration("1", "flip", "")),
        [change("a", Standing::Used)]
    );
    assert_eq!(
        serves(&mut roster, "b", declaration("2", "flip", "")),
        [change("b", Standing::Used)]
    );
    assert_eq!(roster.report("b", Health::Serving), []);
    assert_eq!(used(&roster), ["b", "a"]);
    for health in [Health::Draining, Health::Away] {
        assert_eq!(roster.report("b", health), [change("b", Standing::Out)]);
        assert_eq!(used(&roster), ["a"]);
        assert_eq!(roster.report("b", Health::Serving), [change("b", Standing::Used)]);
    }
}

/// A declaration of the process `instance`, which began at `started`.
fn began(instance: &str, started: u64, title: &str) -> Arc<Spec> {
    Arc::new(Spec { started, ..(*declaration(instance, "flip", title)).clone() })
}

#[test]
fn the_newest_generation_comes_first_until_the_last_of_its_workers_drains() {
    let mut roster = roster(&["old1", "new1", "old2", "new2"]);
    serves(&mut roster, "old1", began("1", 10, "old"));
    serves(&mut roster, "old2", began("2", 20, "old"));
    assert_eq!(used(&roster), ["old1", "old2"]);
    let changes = serves(&mut roster, "new1", began("3", 30, "new"));
    assert_eq!(changes, [change("new1", Standing::Used)], "the others stay");
    assert_eq!(used(&roster), ["new1", "old1", "old2"]);
    assert_eq!(roster.streams()["flip"].title, "new");
    // An old worker that crashed begins again: its generation is as old as its oldest.
    roster.report("old2", Health::Away);
    serves(&mut roster, "old2", began("4", 40, "old"));
    assert_eq!(used(&roster), ["new1", "old1", "old2"]);
    serves(&mut roster, "new2", began("5", 50, "new"));
    assert_eq!(used(&roster), ["new1", "new2", "old1", "old2"]);
    for drains in ["new1", "new2"] {
        assert_eq!(roster.report(drains, Health::Draining), [change(drains, Standing::Out)]);
    }
    assert_eq!(roster.streams()["flip"].title, "old");
    assert_eq!(used(&roster), ["old1", "old2"]);
}

#[test]
fn too_many_generations_are_refused_from_the_newest_on() {
    let mut roster = roster(&["1", "2", "3", "4", "5"]);
    let mut serve = |n: u64| {
        let name = n.to_string();
        serves(&mut roster, &name, began(&name, n, &name))
    };
    // The order in which they come decides nothing.
    for n in [5, 1, 4, 2] {
        serve(n);
    }
    let changes = serve(3);
    let refused = || change("5", Standing::Contradicts(vec!["title"]));
    assert_eq!(changes, [change("3", Standing::Used), refused()]);
    assert_eq!(used(&roster), ["4", "3", "2", "1"]);
    assert_eq!(roster.standing("5"), Some(&refused().1));
    let changes = roster.report("1", Health::Draining);
    assert_eq!(changes, [change("1", Standing::Out), change("5", Standing::Used)]);
    assert_eq!(used(&roster), ["5", "4", "3", "2"]);
}

#[test]
fn a_process_that_is_refused_is_refused_at_both_its_addresses() {
    let mut roster = roster(&["1", "2", "3", "4", "5", "twin"]);
    for n in 1..=5 {
        serves(&mut roster, &n.to_string(), began(&n.to_string(), n, &n.to_string()));
    }
    let refused = || Standing::Contradicts(vec!["title"]);
    assert_eq!(roster.standing("5"), Some(&refused()));
    let changes = serves(&mut roster, "twin", began("5", 5, "5"));
    assert_eq!(changes, [change("twin", refused())]);
    roster.report("1", Health::Away);
    let twin = Standing::Twin("5".into());
    assert_eq!(
        (roster.standing("5"), roster.standing("twin")),
        (Some(&Standing::Used), Some(&twin))
    );
}

#[test]
fn a_worker_that_does_not_say_when_it_began_is_the_oldest_and_none_becomes_younger() {
    let mut roster = roster(&["a", "b"]);
    serves(&mut roster, "a", began("1", 10, "old"));
    serves(&mut roster, "b", began("2", 0, "new"));
    assert_eq!(used(&roster), ["a", "b"]);
    // Its clock was ahead, and that time has come.
    roster.declare("b", began("2", 20, "new"));
    assert_eq!(used(&roster), ["b", "a"]);
    roster.declare("a", began("1", 30, "old"));
    assert_eq!(used(&roster), ["b", "a"], "the same process");
    roster.declare("a", began("3", 30, "old"));
    assert_eq!(used(&roster), ["a", "b"], "another process");
}

/// Gateways hear of the same workers in any order, and of some that are gone by now.
#[test]
fn two_gateways_with_the_same_workers_agree_on_the_newest_generation() {
    let mut refusals = 0;
    for seed in 0..500 {
        let mut rng = StdRng::seed_from_u64(seed);
        let workers: Vec<_> = (0..rng.random_range(1..12))
            .map(|n| {
                let title = rng.random_range(0..7).to_string();
                // Some began at once, and some do not say when.
                (n.to_string(), began(&n.to_string(), rng.random_range(0..6), &title))
            })
            .collect();
        let mut gateway = || {
            let listed: Vec<&str> = workers.iter().map(|(name, _)| name.as_str()).collect();
            let mut roster = Roster::default();
            roster.list(0, &names(&listed));
            for _ in 0..rng.random_range(0..20) {
                let (name, _) = workers.choose(&mut rng).unwrap();
                let title = rng.random_range(0..9).to_string();
                let instance = format!("before{}", rng.random_range(0..99));
                serves(&mut roster, name, began(&instance, rng.random_range(0..9), &title));
                roster.report(name, Health::Away);
            }
            let mut order: Vec<_> = workers.iter().collect();
            order.shuffle(&mut rng);
            for (name, spec) in order {
                serves(&mut roster, name, Arc::clone(spec));
            }
            roster
        };
        let (one, other) = (gateway(), gateway());
        let seen = |roster: &Roster| {
            let standings = roster.workers.iter();
            let standings = standings.map(|(_, worker)| (worker.standing.clone(), worker.newer));
            (roster.newest()["flip"].title.clone(), standings.collect::<Vec<_>>())
        };
        assert_eq!(seen(&one), seen(&other), "seed {seed}: {workers:?}");
        let refused = |worker: &&Worker| matches!(worker.standing, Standing::Contradicts(_));
        refusals += one.workers.values().filter(refused).count();
        let oldest = |title: &str| {
            workers.iter().filter(|(_, spec)| spec.title == title).map(|(_, spec)| age(spec)).min()
        };
        let newest = &one.newest()["flip"].title;
        for (_, spec) in one.used() {
            assert!(oldest(&spec.title) <= oldest(newest), "seed {seed}: {workers:?}");
        }
    }
    assert!(refusals > 100, "{refusals}");
}

#[test]
fn every_field_but_instance_and_capacity_is_part_of_the_declaration() {
    let old = spec("flip", 1);
    let with = |change: fn(&mut Spec)| {
        let mut new = spec("flip", 1);
        change(&mut new);
        old.differences(&new)
    };
    assert_eq!(with(|spec| (spec.instance, spec.capacity) = ("2".into(), 7)), [""; 0]);
    assert_eq!(with(|spec| spec.subtitle = "s".into()), ["subtitle"]);
    assert_eq!(with(|spec| spec.mode = crate::stream::spec::Mode::Send), ["mode"]);
    assert_eq!(with(|spec| (spec.fps, spec.skip_frames) = (29.97, true)), ["fps", "skip_frames"]);
    assert_eq!(with(|spec| spec.concurrency_limit = Some(1)), ["concurrency_limit"]);
    assert_eq!(
        with(|spec| spec.time_limit = Some(std::time::Duration::from_secs(1))),
        ["time_limit"]
    );
    let kind = crate::stream::inputs::Kind::Checkbox { value: true };
    let input = || crate::stream::inputs::Input {
        name: "n".into(),
        label: String::new(),
        info: String::new(),
        kind,
    };
    let mut new = spec("flip", 1);
    new.inputs.push(input());
    assert_eq!(old.differences(&new), ["inputs"]);
}

#[test]
fn one_process_at_two_addresses_is_used_at_the_first() {
    let mut roster = roster(&["url", "name"]);
    let process = || declaration("1", "flip", "");
    serves(&mut roster, "name", process());
    assert_eq!(
        serves(&mut roster, "url", process()),
        [change("url", Standing::Twin("name".into()))]
    );
    assert_eq!(used(&roster), ["name"]);
    let (listed, changes) = roster.list(1, &names(&[]));
    assert_eq!(listed.vanished, ["name"]);
    assert_eq!(changes, [change("name", Standing::Out), change("url", Standing::Used)]);
}

#[test]
fn what_vanishes_is_forgotten_once_it_is_away_and_its_page_stays() {
    let mut roster = Roster::default();
    let (listed, _) = roster.list(0, &names(&["a", "b"]));
    assert_eq!(
        (listed.added, listed.unknown, listed.vanished),
        (vec!["a".into(), "b".into()], vec!["a".into(), "b".into()], vec![])
    );
    serves(&mut roster, "a", declaration("1", "flip", ""));
    let (listed, changes) = roster.list(0, &names(&["b", "c"]));
    assert_eq!(
        (listed.added, listed.unknown, listed.vanished),
        (vec!["c".into()], vec!["c".into()], vec!["a".into()])
    );
    assert_eq!((changes, used(&roster).len()), (vec![change("a", Standing::Out)], 0));
    // It still serves, for the sessions that it has; and may come back.
    assert!(!roster.forget("a") && !roster.forget("b"));
    let (listed, changes) = roster.list(0, &names(&["a", "b"]));
    assert_eq!(
        (listed.added, listed.unknown, listed.vanished),
        (vec!["a".into()], vec![], vec!["c".into()])
    );
    assert_eq!(changes, [change("a", Standing::Used)]);
    assert!(roster.forget("c"));

    roster.list(0, &names(&["b"]));
    roster.report("a", Health::Away);
    assert!(roster.forget("a"));
    assert_eq!(roster.streams().keys().collect::<Vec<_>>(), ["flip"]);
    serves(&mut roster, "b", declaration("2", "flip", "newer"));
    assert_eq!(roster.streams()["flip"].title, "newer");
    // In two parts of the configuration: the other still names it.
    roster.list(1, &names(&["b"]));
    roster.list(0, &names(&[]));
    assert_eq!(used(&roster), ["b"]);
}

/// Whatever workers and names do: the used ones are sound, none is refused without a reason, and no
/// change goes untold.
#[test]
fn any_history_keeps_the_promises() {
    let all = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let (mut twins, mut contradictions) = (0, 0);
    for seed in 0..300 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut roster = Roster::default();
        let mut known: BTreeMap<String, Standing> = BTreeMap::new();
        for step in 0..100 {
            let name = *all.choose(&mut rng).unwrap();
            let sources = rng.random_range(0..2);
            let changes = match rng.random_range(0..6) {
                0 => {
                    let some = all.into_iter().filter(|_| rng.random_bool(0.8));
                    roster.list(sources, &some.map(str::to_owned).collect()).1
                }
                1 => roster.report(name, Health::Draining),
                2 => {
                    let changes = roster.report(name, Health::Away);
                    if roster.forget(name) {
                        known.remove(name);
                    }
                    changes
                }
                _ if roster
                    .workers
                    .get(name)
                    .is_some_and(|worker| worker.health == Health::Away) =>
                {
                    let instance = rng.random_range(0..20).to_string();
                    let stream = *["x", "x", "x", "y"].choose(&mut rng).unwrap();
                    let title = rng.random_range(0..9).to_string();
                    let spec = declaration(&instance, stream, &title);
                    let started = rng.random_range(0..4);
                    serves(&mut roster, name, Arc::new(Spec { started, ..(*spec).clone() }))
                }
                _ => roster.report(name, Health::Serving),
            };
            known.extend(changes.into_iter().filter(|(name, _)| roster.workers.contains_key(name)));

            let context = format!("seed {seed}, step {step}: {roster:#?}");
            let fit = |worker: &&Worker| {
                !worker.sources.is_empty()
                    && worker.health == Health::Serving
                    && worker.spec.is_some()
            };
            for (name, worker) in &roster.workers {
                assert_eq!(
                    worker.standing,
                    known.get(name).cloned().unwrap_or_default(),
                    "{context}"
                );
                assert_eq!(worker.standing == Standing::Out, !fit(&worker), "{context}");
                let mut others = roster.used().into_iter().filter(|(other, _)| *other != name);
                let spec = worker.spec.as_deref();
                match &worker.standing {
                    Standing::Out => {}
                    Standing::Used => others.for_each(|(_, other)| {
                        assert_ne!(spec.unwrap().instance, other.instance, "{context}");
                    }),
                    Standing::Twin(of) => {
                        twins += 1;
                        assert!(
                            others
                                .any(|(other, s)| other == of
                                    && s.instance == spec.unwrap().instance)
                        );
                    }
                    Standing::Contradicts(fields) => {
                        contradictions += 1;
                        assert_eq!(fields, &["title"]);
                        let titles: BTreeSet<_> = others
                            .filter(|(_, other)| other.name == spec.unwrap().name)
                            .map(|(_, other)| other.title.clone())
                            .collect();
                        // A twin has the standing of what it is a twin of, whatever it declares.
                        let twin = |other: &&Worker| {
                            let other = other.spec.as_ref().filter(|_| fit(other));
                            other.is_some_and(|other| other.instance == spec.unwrap().instance)
                        };
                        if roster.workers.values().filter(twin).count() > 1 {
                            continue;
                        }
                        assert_eq!(titles.len(), GENERATIONS, "{context}");
                        assert!(!titles.contains(&spec.unwrap().title), "{context}");
                    }
                }
            }
        }
    }
    assert!(twins > 100 && contradictions > 100, "{twins} {contradictions}");
}
