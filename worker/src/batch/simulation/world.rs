//! The state of a course, and its clock: what is on the agenda happens at its time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::time::Instant;

use super::super::core::{BatchId, Core, Settings};
use super::{Client, Event, Micros, Picture, Plan, Report, SECOND, Witness};

/// A batch that runs: its items and whose they are.
pub(super) struct Run {
    pub(super) number: u64,
    pub(super) id: BatchId,
    pub(super) items: Vec<(usize, Picture)>,
    pub(super) fails: bool,
}

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) base: Instant,
    pub(super) now: Micros,
    pub(super) random: SmallRng,
    pub(super) agenda: BinaryHeap<Reverse<(Micros, u64, Event)>>,
    pub(super) scheduled: u64,
    pub(super) pictures: u64,
    pub(super) batches: u64,
    pub(super) core: Core<Picture>,
    pub(super) clients: Vec<Client>,
    pub(super) runs: Vec<Run>,
    pub(super) witness: Witness,
    pub(super) latencies: Vec<Micros>,
    pub(super) sizes: Vec<usize>,
}

impl World {
    pub(super) fn new(plan: Plan, seed: u64) -> Self {
        let settings = Settings {
            max_batch: plan.max_batch,
            max_wait: Duration::from_micros(plan.max_wait),
            replicas: plan.replicas,
        };
        let witness = Witness {
            max_batch: plan.max_batch,
            max_wait: plan.max_wait,
            free_since: Some(0),
            ..Witness::default()
        };
        let mut world = Self {
            base: Instant::now(),
            now: 0,
            random: SmallRng::seed_from_u64(seed),
            agenda: BinaryHeap::new(),
            scheduled: 0,
            pictures: 0,
            batches: 0,
            core: Core::new(settings),
            clients: Vec::new(),
            runs: Vec::new(),
            witness,
            latencies: Vec::new(),
            sizes: Vec::new(),
            plan,
        };
        let cameras = world.plan.cameras.clone();
        for (session, interval) in (0..).zip(cameras) {
            let late = if world.plan.faults { world.plan.end / 2 } else { interval };
            world.join(session, interval, late);
        }
        if world.plan.faults {
            world.schedule(0, Event::Fault);
        }
        world
    }

    /// Runs to the end, and then until all is answered.
    pub(super) fn run(mut self) -> (Report, Witness) {
        while let Some(Reverse((time, _, event))) = self.agenda.pop() {
            self.now = time;
            self.happen(event);
            self.poll();
        }
        assert_eq!(self.core.waiting(), 0);
        assert_eq!(self.witness.inside, HashSet::new(), "something is left");
        let Witness { entered, fired, superseded, left, .. } = self.witness;
        assert_eq!(entered, fired + superseded + left);
        (self.report(), self.witness)
    }

    fn report(&self) -> Report {
        let measured = (self.plan.end - self.plan.warm_up) as f64 / SECOND as f64;
        let fps = |answered: f64| answered / measured;
        let answered = self.latencies.len() as f64;
        let least = self.clients.iter().map(|client| client.answered).min().unwrap_or(0);
        Report {
            latency_ms: self.latencies.iter().sum::<Micros>() as f64 / answered / 1e3,
            fps: fps(answered / self.clients.len() as f64),
            least_fps: fps(least.into()),
            batch: self.sizes.iter().sum::<usize>() as f64 / self.sizes.len() as f64,
        }
    }

    pub(super) fn at(&self, time: Micros) -> Instant {
        self.base + Duration::from_micros(time)
    }

    /// Rounded up.
    pub(super) fn micros(&self, time: Instant) -> Micros {
        (time - self.base).as_nanos().div_ceil(1_000).try_into().unwrap()
    }

    pub(super) fn schedule(&mut self, time: Micros, event: Event) {
        self.scheduled += 1;
        self.agenda.push(Reverse((time, self.scheduled, event)));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Capture(client) => self.capture(client),
            Event::Arrive(client, picture) => self.arrive(client, picture),
            Event::Credit(client) => {
                self.clients[client].credits += 1;
                self.send(client);
            }
            Event::Enter(client) => self.enter(client),
            Event::Done(number) => self.done(number),
            Event::Poll => {}
            Event::Fault => self.fault(),
        }
    }
}
