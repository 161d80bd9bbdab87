use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
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
    roster.declare(name, spec);
    roster.report(name, Health::Serving)
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

#[test]
fn a_contradiction_is_refused_until_the_last_of_the_old_declaration_drains() {
    let mut roster = roster(&["new", "old1", "old2", "other"]);
    serves(&mut roster, "old1", declaration("1", "flip", "old"));
    serves(&mut roster, "old2", declaration("2", "flip", "old"));
    serves(&mut roster, "other", declaration("3", "sink", "other"));
    let refused = serves(&mut roster, "new", declaration("4", "flip", "new"));
    assert_eq!(refused, [change("new", Standing::Contradicts(vec!["title"]))]);
    assert_eq!(roster.report("old1", Health::Draining), [change("old1", Standing::Out)]);
    assert_eq!(roster.streams()["flip"].title, "old");
    let changes = roster.report("old2", Health::Draining);
    assert_eq!(changes, [change("new", Standing::Used), change("old2", Standing::Out)]);
    assert_eq!(roster.streams()["flip"].title, "new");
    assert_eq!(used(&roster), ["new", "other"]);
    // Now the old one is what contradicts.
    let changes = roster.report("old1", Health::Serving);
    assert_eq!(changes, [change("old1", Standing::Contradicts(vec!["title"]))]);
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

/// Whatever workers and names do: the used ones are sound, none is refused without a reason, none
/// that is used loses its place to another, and no change goes untold.
#[test]
fn any_history_keeps_the_promises() {
    let all = ["a", "b", "c", "d", "e", "f"];
    let (mut twins, mut contradictions) = (0, 0);
    for seed in 0..300 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut roster = Roster::default();
        let mut known: BTreeMap<String, Standing> = BTreeMap::new();
        for step in 0..100 {
            let name = *all.choose(&mut rng).unwrap();
            let before: Vec<String> = used(&roster).into_iter().map(str::to_owned).collect();
            let sources = rng.random_range(0..2);
            let changes = match rng.random_range(0..6) {
                0 => {
                    let some = all.into_iter().filter(|_| rng.random_bool(0.7));
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
                    let instance = rng.random_range(0..8).to_string();
                    let [stream, title] =
                        [["x", "y"], ["old", "new"]].map(|pair| *pair.choose(&mut rng).unwrap());
                    serves(&mut roster, name, declaration(&instance, stream, title))
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
                        let spec = spec.unwrap();
                        assert_ne!(spec.instance, other.instance, "{context}");
                        assert!(
                            spec.name != other.name || spec.differences(other).is_empty(),
                            "{context}"
                        );
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
                        let mut same = others.filter(|(_, other)| other.name == spec.unwrap().name);
                        assert!(
                            same.any(|(_, other)| other.title != spec.unwrap().title),
                            "{context}"
                        );
                    }
                }
                assert!(
                    !before.contains(name) || !fit(&worker) || worker.standing == Standing::Used,
                    "{context}"
                );
            }
        }
    }
    assert!(twins > 100 && contradictions > 100, "{twins} {contradictions}");
}
