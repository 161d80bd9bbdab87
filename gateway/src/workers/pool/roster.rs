//! Which workers are used, given what they said of themselves. Pure.
//!
//! > Used workers are listed, say that they serve, are each another process, and are of at most
//! > [`GENERATIONS`] generations of their stream.
//!
//! Workers that declare their stream alike are one generation of it, as old as the oldest of its
//! workers that serve. Which generations are used, and which is the newest, follows from the
//! workers alone, not from the order in which they came: so all gateways agree, without a word
//! between them. Too many are refused from the newest on: a rollout stops there, and what runs goes
//! on.
//!
//! One process at two addresses is used at the one at which it came first. Of those that came at
//! once, the order of the configuration decides, then that of the names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Health;
use crate::stream::spec::Spec;

/// Generations of one stream that are used. A rollout has two, and a third if it is rolled back or
/// followed before it ends.
pub(super) const GENERATIONS: usize = 4;

/// All workers of the configuration and of what its names stand for.
#[derive(Debug, Default)]
pub(super) struct Roster {
    /// By name, which is the address.
    workers: BTreeMap<String, Worker>,
    /// Streams of workers that are forgotten, by name: their pages stay, and say that a worker is
    /// waited for.
    remembered: BTreeMap<String, Arc<Spec>>,
}

#[derive(Debug, Default)]
struct Worker {
    /// Which parts of the configuration name it. None: it vanished from all of them, and takes no
    /// new sessions.
    sources: BTreeSet<usize>,
    /// What it last declared, also while it is away.
    spec: Option<Arc<Spec>>,
    health: Health,
    standing: Standing,
    /// Generations of its stream that are newer than its own, while it is used.
    newer: usize,
}

/// What a worker is to this gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not asked for, or not serving.
    #[default]
    Out,
    /// Takes sessions.
    Used,
    /// Serves, but is the process that is used already, at this address.
    Twin(String),
    /// Serves, but there are too many older generations; it declares these fields otherwise than
    /// the newest of those that are used.
    Contradicts(Vec<&'static str>),
}

/// The workers whose standing is another now.
pub(super) type Changes = Vec<(String, Standing)>;

/// What is new about one part of the configuration.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) added: Vec<String>,
    pub(super) vanished: Vec<String>,
    /// Of the added, those that nothing was known of.
    pub(super) unknown: Vec<String>,
}

impl Roster {
    /// All that part `source` of the configuration stands for now.
    pub(super) fn list(&mut self, source: usize, names: &BTreeSet<String>) -> (Listed, Changes) {
        let mut listed = Listed::default();
        for (name, worker) in &mut self.workers {
            if !names.contains(name) && worker.sources.remove(&source) {
                listed.vanished.push(name.clone());
            }
        }
        for name in names {
            if !self.workers.contains_key(name) {
                listed.unknown.push(name.clone());
            }
            if self.workers.entry(name.clone()).or_default().sources.insert(source) {
                listed.added.push(name.clone());
            }
        }
        (listed, self.elect())
    }

    /// What a worker answered. A process began when it first said: none becomes younger.
    pub(super) fn declare(&mut self, name: &str, mut spec: Arc<Spec>) -> Changes {
        self.remembered.remove(&spec.name);
        if let Some(worker) = self.workers.get_mut(name) {
            let before = worker.spec.as_ref().filter(|before| before.instance == spec.instance);
            let known = before.map_or(0, |before| before.started);
            if known > 0 && known != spec.started {
                spec = Arc::new(Spec { started: known, ..(*spec).clone() });
            }
            worker.spec = Some(spec);
        }
        self.elect()
    }

    /// What a worker says of itself, or that it is away.
    pub(super) fn report(&mut self, name: &str, health: Health) -> Changes {
        if let Some(worker) = self.workers.get_mut(name) {
            worker.health = health;
        }
        self.elect()
    }

    /// Forgets a worker that vanished and is away; whether it did.
    pub(super) fn forget(&mut self, name: &str) -> bool {
        let gone = |worker: &Worker| worker.sources.is_empty() && worker.health == Health::Away;
        if !self.workers.get(name).is_some_and(gone) {
            return false;
        }
        let spec = self.workers.remove(name).and_then(|worker| worker.spec);
        if let Some(spec) = spec.filter(|spec| self.specs().all(|other| other.name != spec.name)) {
            self.remembered.insert(spec.name.clone(), spec);
        }
        true
    }

    /// What a worker is now.
    pub(super) fn standing(&self, name: &str) -> Option<&Standing> {
        self.workers.get(name).map(|worker| &worker.standing)
    }

    /// Those that take sessions: of each stream those of its newest generation first, and of one
    /// generation in the order of the configuration.
    pub(super) fn used(&self) -> Vec<(&String, &Arc<Spec>)> {
        let mut used: Vec<_> =
            self.workers.iter().filter(|(_, worker)| worker.standing == Standing::Used).collect();
        used.sort_by_key(|(_, worker)| (worker.newer, worker.sources.first()));
        used.into_iter().filter_map(|(name, worker)| Some((name, worker.spec.as_ref()?))).collect()
    }

    /// The streams that are or were served, by name, each as the newest generation of its used
    /// workers declares it, if there are any.
    pub(super) fn streams(&self) -> BTreeMap<String, Arc<Spec>> {
        let mut others: Vec<_> = self.specs().collect();
        others.sort_by_key(|spec| std::cmp::Reverse(age(spec)));
        let mut streams = self.newest();
        for spec in others.into_iter().chain(self.remembered.values()) {
            streams.entry(spec.name.clone()).or_insert_with(|| Arc::clone(spec));
        }
        streams
    }

    /// The newest declaration of each stream that is served, by name.
    pub(super) fn newest(&self) -> BTreeMap<String, Arc<Spec>> {
        let mut newest = BTreeMap::new();
        for (_, spec) in self.used() {
            newest.entry(spec.name.clone()).or_insert_with(|| Arc::clone(spec));
        }
        newest
    }

    fn specs(&self) -> impl Iterator<Item = &Arc<Spec>> {
        self.workers.values().filter_map(|worker| worker.spec.as_ref())
    }

    fn elect(&mut self) -> Changes {
        let mut candidates: Vec<(&String, &Worker, &Arc<Spec>)> = self
            .workers
            .iter()
            .filter(|(_, worker)| !worker.sources.is_empty() && worker.health == Health::Serving)
            .filter_map(|(name, worker)| Some((name, worker, worker.spec.as_ref()?)))
            .collect();
        // Stable: what is equal stays in the order of the names.
        candidates.sort_by_key(|(_, worker, _)| {
            (worker.standing != Standing::Used, worker.sources.first())
        });

        let (mut processes, mut twins) = (BTreeMap::<&String, &String>::new(), Vec::new());
        let mut standings: BTreeMap<String, (Standing, usize)> = BTreeMap::new();
        let mut streams = BTreeMap::<&String, Vec<Generation<'_>>>::new();
        for (name, _, spec) in candidates {
            if let Some(of) = processes.get(&spec.instance) {
                twins.push((name, *of));
                continue;
            }
            processes.insert(&spec.instance, name);
            let generations = streams.entry(&spec.name).or_default();
            let same = |generation: &&mut Generation<'_>| generation.of(spec);
            match generations.iter_mut().find(same) {
                Some(generation) => generation.workers.push((name, spec)),
                None => generations.push(Generation { workers: vec![(name, spec)] }),
            }
        }
        for mut generations in streams.into_values() {
            generations.sort_by(|one, other| one.age().cmp(&other.age()));
            let used = generations.len().min(GENERATIONS);
            let newest = generations[used - 1].workers[0].1;
            for (place, generation) in generations.iter().enumerate() {
                for (name, spec) in &generation.workers {
                    let standing = match used.checked_sub(place + 1) {
                        Some(newer) => (Standing::Used, newer),
                        None => (Standing::Contradicts(spec.differences(newest)), 0),
                    };
                    standings.insert((*name).clone(), standing);
                }
            }
        }
        for (name, of) in twins {
            // A process that is refused is so at each of its addresses.
            let standing = match &standings[of].0 {
                Standing::Used => Standing::Twin(of.clone()),
                refused => refused.clone(),
            };
            standings.insert(name.clone(), (standing, 0));
        }
        let mut changes = Vec::new();
        for (name, worker) in &mut self.workers {
            let (standing, newer) = standings.remove(name).unwrap_or_default();
            worker.newer = newer;
            if worker.standing != standing {
                worker.standing = standing.clone();
                changes.push((name.clone(), standing));
            }
        }
        changes
    }
}

/// Workers that declare one stream alike; never none.
struct Generation<'a> {
    workers: Vec<(&'a String, &'a Arc<Spec>)>,
}

impl Generation<'_> {
    fn of(&self, spec: &Spec) -> bool {
        self.workers[0].1.differences(spec).is_empty()
    }

    /// That of its oldest worker; by that of its youngest, an old worker that was restarted would
    /// make its generation the newest.
    fn age(&self) -> Option<(u64, &str)> {
        self.workers.iter().map(|(_, spec)| age(spec)).min()
    }
}

/// What is smaller is older. Of workers that began at once, or did not say when, the names of the
/// processes decide, which are the same for every gateway.
fn age(spec: &Spec) -> (u64, &str) {
    (spec.started, &spec.instance)
}

#[cfg(test)]
#[path = "roster_tests.rs"]
mod tests;
