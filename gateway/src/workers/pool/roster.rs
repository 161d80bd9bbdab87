//! Which workers are used, given what they said of themselves. Pure.
//!
//! > Used workers are listed, say that they serve, are each another process, and declare their
//! > stream alike.
//!
//! Who came first wins: a worker that is used stays so, and another that contradicts it, or is the
//! same process at another address, is not used as long as that one is. Among those that come at
//! once, the order of the configuration decides, then that of the names. So a stream's declaration
//! is upgraded by draining its old workers: the moment the last one takes no sessions, the new ones
//! do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Health;
use crate::stream::spec::Spec;

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
    /// Serves, but declares these fields of its stream otherwise than the workers that are used.
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

    /// What a worker answered; it is to be called while the worker is away, or when nothing but its
    /// capacity has changed.
    pub(super) fn declare(&mut self, name: &str, spec: Arc<Spec>) {
        self.remembered.remove(&spec.name);
        if let Some(worker) = self.workers.get_mut(name) {
            worker.spec = Some(spec);
        }
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

    /// Those that take sessions, in the order of the configuration.
    pub(super) fn used(&self) -> Vec<(&String, &Arc<Spec>)> {
        let mut used: Vec<_> =
            self.workers.iter().filter(|(_, worker)| worker.standing == Standing::Used).collect();
        used.sort_by_key(|(_, worker)| worker.sources.first());
        used.into_iter().filter_map(|(name, worker)| Some((name, worker.spec.as_ref()?))).collect()
    }

    /// The streams that are or were served, by name, each as its used workers declare it, if there
    /// are any.
    pub(super) fn streams(&self) -> BTreeMap<String, Arc<Spec>> {
        let used = self.used();
        let specs =
            used.iter().map(|(_, spec)| *spec).chain(self.specs()).chain(self.remembered.values());
        let mut streams = BTreeMap::new();
        for spec in specs {
            streams.entry(spec.name.clone()).or_insert_with(|| Arc::clone(spec));
        }
        streams
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

        let (mut processes, mut streams) =
            (BTreeMap::<&String, &String>::new(), BTreeMap::<&String, &Arc<Spec>>::new());
        let mut standings: BTreeMap<String, Standing> = BTreeMap::new();
        for (name, _, spec) in candidates {
            let fields = spec.differences(streams.get(&spec.name).copied().unwrap_or(spec));
            let standing = match processes.get(&spec.instance) {
                Some(twin) => Standing::Twin((*twin).clone()),
                None if !fields.is_empty() => Standing::Contradicts(fields),
                None => {
                    processes.insert(&spec.instance, name);
                    streams.insert(&spec.name, spec);
                    Standing::Used
                }
            };
            standings.insert(name.clone(), standing);
        }
        let mut changes = Vec::new();
        for (name, worker) in &mut self.workers {
            let standing = standings.remove(name).unwrap_or_default();
            if worker.standing != standing {
                worker.standing = standing.clone();
                changes.push((name.clone(), standing));
            }
        }
        changes
    }
}

#[cfg(test)]
#[path = "roster_tests.rs"]
mod tests;
