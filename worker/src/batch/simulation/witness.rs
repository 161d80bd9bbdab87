//! The witness: the rules of the core, without its code.

use std::collections::HashSet;

use super::{Micros, Picture, Thread};

/// The rules once more, as plainly as can be.
#[derive(Debug, Default)]
pub(super) struct Witness {
    pub(super) max_batch: usize,
    pub(super) max_wait: Micros,
    pub(super) line: Vec<Place>,
    /// Items that entered and did not come out.
    pub(super) inside: HashSet<u64>,
    pub(super) entered: u64,
    pub(super) fired: u64,
    pub(super) superseded: u64,
    pub(super) left: u64,
    pub(super) refused: u64,
    /// Since when a model is free; `None` while all are busy.
    pub(super) free_since: Option<Micros>,
}

#[derive(Debug)]
pub(super) struct Place {
    session: u64,
    /// `None` while it is superseded.
    item: Option<u64>,
    arrived: Micros,
    entered: Micros,
    /// Batches that began while it waited, without it.
    passed: usize,
    /// How many there may be: those that the places before it fill.
    allowed: usize,
    missed: bool,
}

impl Witness {
    pub(super) fn enter(&mut self, now: Micros, session: u64, item: u64) {
        self.entered += 1;
        assert!(self.inside.insert(item));
        let ahead = self.line.len();
        let kept = self.line.iter_mut().find(|place| place.session == session);
        if let Some(place) = kept {
            assert_eq!(place.item, None, "one item a session");
            (place.item, place.entered) = (Some(item), now);
            return;
        }
        self.line.push(Place {
            session,
            item: Some(item),
            arrived: now,
            entered: now,
            passed: 0,
            allowed: ahead / self.max_batch,
            missed: false,
        });
    }

    /// Whether the item comes out.
    pub(super) fn supersede(&mut self, session: u64, item: u64) -> bool {
        let waiting = |place: &&mut Place| place.session == session && place.item == Some(item);
        let Some(place) = self.line.iter_mut().find(waiting) else { return false };
        if place.missed {
            return false;
        }
        place.item = None;
        self.superseded += 1;
        self.inside.remove(&item)
    }

    pub(super) fn check_left(&mut self, session: u64, called: Thread, left: Option<Picture>) {
        let index = self.line.iter().position(|place| place.session == session);
        let item = index.and_then(|index| self.line.remove(index).item);
        assert_eq!(left.map(|picture| picture.id), item);
        if let Some(picture) = left {
            assert_eq!(called, Thread::InCall(picture));
            self.left += 1;
            assert!(self.inside.remove(&picture.id));
        }
    }

    pub(super) fn fire(&mut self, now: Micros, batch: Vec<u64>) {
        self.check_wait(now);
        // In the order of first arrivals, and as many as there are.
        let first: Vec<u64> =
            self.line.iter().filter_map(|place| place.item).take(self.max_batch).collect();
        assert_eq!(batch, first);
        let full = batch.len() == self.max_batch;
        let last = self.line.iter().rposition(|place| place.item == batch.last().copied());
        for (index, place) in self.line.iter_mut().enumerate() {
            place.missed |= place.item.is_none() && (!full || index < last.unwrap());
        }
        self.fired += batch.len() as u64;
        self.line.retain(|place| !place.item.is_some_and(|item| batch.contains(&item)));
        batch.iter().for_each(|item| assert!(self.inside.remove(item)));
        for place in self.line.iter_mut().filter(|place| place.item.is_some()) {
            place.passed += 1;
            assert!(place.passed <= place.allowed, "unfair: {place:?}");
        }
    }

    /// Nobody waits until `until` for longer than may be.
    pub(super) fn check_wait(&self, until: Micros) {
        let free_since = self.free_since.expect("a free model asks");
        for place in self.line.iter().filter(|place| place.item.is_some()) {
            // From its first arrival, even if the place was superseded in between.
            let deadline = place.arrived.max(free_since) + self.max_wait;
            assert!(until <= deadline.max(place.entered), "until {until} µs: {place:?}");
        }
    }
}
