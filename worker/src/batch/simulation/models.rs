//! The models: what they take from the core, and when they are done.

use rand::RngExt;

use super::super::core::{Batch, Decision};
use super::world::Run;
use super::{Client, Event, Micros, Picture, Thread, World};

impl World {
    pub(super) fn done(&mut self, number: u64) {
        let index = self.runs.iter().position(|run| run.number == number).unwrap();
        let Run { id, items, fails, .. } = self.runs.swap_remove(index);
        self.witness.free_since.get_or_insert(self.now);
        let now = self.at(self.now);
        let told = if fails { self.core.failed(now, id) } else { self.core.finished(now, id) };
        let waits = |&(client, picture): &(usize, Picture)| {
            let client: &Client = &self.clients[client];
            let waits = !client.gone && client.thread == Thread::InCall(picture);
            waits.then_some(client.session)
        };
        assert_eq!(told, items.iter().map(waits).collect::<Vec<_>>());
        assert_eq!(self.core.finished(now, id), [], "once");
        for ((client, picture), told) in items.into_iter().zip(told) {
            if told.is_some() {
                if (self.plan.warm_up..self.plan.end).contains(&self.now) {
                    self.latencies.push(self.now - picture.captured);
                    self.clients[client].answered += 1;
                }
                self.answered(client);
            }
        }
    }

    /// Each free model asks.
    pub(super) fn poll(&mut self) {
        loop {
            let now = self.at(self.now);
            let decision = self.core.poll(now);
            let free = self.plan.replicas - self.runs.len();
            match decision {
                Decision::Fire(batch) => {
                    assert!(free > 0, "there is no model for it");
                    self.fire(batch);
                }
                Decision::WaitUntil(until) => {
                    assert!(until > now, "a loop");
                    let until = self.micros(until);
                    assert_eq!(free, 1, "a newcomer would find the other");
                    assert!(self.plan.cameras.len() > 1, "a lone session waits");
                    self.witness.check_wait(until);
                    return self.schedule(until, Event::Poll);
                }
                Decision::Idle => {
                    return assert!(free == 0 || self.core.waiting() == 0, "idle for nothing");
                }
            }
        }
    }

    fn fire(&mut self, batch: Batch<Picture>) {
        let mut items = Vec::new();
        for entry in &batch.entries {
            let calls = |client: &Client| {
                !client.gone
                    && client.session == entry.session
                    && client.thread == Thread::InCall(entry.item)
            };
            let client = self.clients.iter().position(calls).expect("its session waits");
            items.push((client, entry.item));
        }
        self.witness.fire(self.now, items.iter().map(|(_, picture)| picture.id).collect());
        let (fixed, each) = self.plan.model;
        let mut time = fixed + each * items.len() as Micros;
        let fails = self.plan.faults && self.random.random_ratio(1, 50);
        if self.plan.faults {
            time = time * self.random.random_range(90..=115) / 100;
            if self.random.random_ratio(1, 100) {
                time *= 5;
            }
        }
        if self.now >= self.plan.warm_up {
            self.sizes.push(items.len());
        }
        self.batches += 1;
        let number = self.batches;
        self.runs.push(Run { number, id: batch.id, items, fails });
        if self.runs.len() == self.plan.replicas {
            self.witness.free_since = None;
        }
        self.schedule(self.now + time.max(1), Event::Done(number));
    }
}
