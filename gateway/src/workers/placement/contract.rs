//! What every placement does: the same tests for each.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{ClaimError, Memory, Placement, Slot};
use crate::media::session_id::testing::id;
use crate::workers::pool::testing::serving;
use crate::workers::pool::{Proximity, WorkerHandle};
use crate::workers::redis::testing::{Alone, workers};

/// A store that is told of something in the background knows it long before.
const SETTLED: Duration = Duration::from_secs(30);

macro_rules! contract {
    ($($test:ident),*) => {
        mod memory {
            $(#[tokio::test]
            async fn $test() {
                super::$test(&super::Memory::default()).await;
            })*
        }
        mod redis {
            $(#[tokio::test]
            async fn $test() {
                super::$test(&super::Alone::start().await.gateway).await;
            })*
        }
    };
}

contract![
    the_least_loaded_worker_with_a_free_slot_gets_the_session,
    the_nearest_with_a_free_slot_gets_the_session,
    of_many_workers_the_nearest_gets_the_session,
    a_streams_own_limit_comes_before_its_workers,
    a_moving_session_counts_once,
    what_is_on_other_workers_takes_no_slot_of_these,
    no_worker_is_no_slot,
    of_many_workers_every_slot_is_found,
    a_session_of_its_own_is_nobody_elses,
    looking_takes_nothing
];

async fn claim(
    placement: &impl Placement,
    session: impl ToString,
    workers: &[WorkerHandle],
) -> Result<(String, Slot), ClaimError> {
    placement.claim(&id(session), workers).await.map(|(worker, slot)| (worker.name, slot))
}

/// Claims until there is a slot: one that was given back is free in the end.
async fn claimed(
    placement: &impl Placement,
    session: &str,
    workers: &[WorkerHandle],
) -> (String, Slot) {
    let deadline = Instant::now() + SETTLED;
    loop {
        match claim(placement, session, workers).await {
            Ok(claimed) => return claimed,
            Err(error) => assert!(Instant::now() < deadline, "{session}: {error:?}"),
        }
        // Between two looks: no store tells anybody of a free slot.
        sleep(Duration::from_millis(5)).await;
    }
}

fn limited(mut worker: WorkerHandle, limit: u32) -> WorkerHandle {
    worker.limit = Some(limit);
    worker
}

async fn the_least_loaded_worker_with_a_free_slot_gets_the_session(placement: &impl Placement) {
    let workers = [serving("a", "s", 2), serving("b", "s", 1)];
    let mut slots = Vec::new();
    let mut order = Vec::new();
    for n in 0..3 {
        let (worker, slot) = claim(placement, n, &workers).await.unwrap();
        order.push(worker);
        slots.push(slot);
    }
    assert_eq!(order, ["a", "b", "a"]);
    assert_eq!(claim(placement, "4", &workers).await.err(), Some(ClaimError::Full { slots: 3 }));
    slots.remove(1);
    assert_eq!(claimed(placement, "4", &workers).await.0, "b");
}

fn at(mut worker: WorkerHandle, proximity: Proximity) -> WorkerHandle {
    worker.proximity = proximity;
    worker
}

async fn the_nearest_with_a_free_slot_gets_the_session(placement: &impl Placement) {
    let workers = [
        at(serving("far", "s", 9), Proximity::OtherZone),
        at(serving("unknown", "s", 1), Proximity::Unknown),
        at(serving("host", "s", 2), Proximity::Host),
        at(serving("zone", "s", 1), Proximity::Zone),
        at(serving("too", "s", 1), Proximity::Zone),
    ];
    let (mut order, mut slots) = (Vec::new(), Vec::new());
    for n in 0..7 {
        let (worker, slot) = claim(placement, n, &workers).await.unwrap();
        order.push(worker);
        slots.push(slot);
    }
    assert_eq!(order, ["host", "host", "zone", "too", "unknown", "far", "far"]);
    // Home again, as soon as there is room.
    slots.remove(3);
    assert_eq!(claimed_on(placement, "next", &workers, "too").await, "too");
}

/// Claims until the session is on `worker`: a store that is told in the background may not know yet
/// that it has room.
async fn claimed_on(
    placement: &impl Placement,
    session: &str,
    workers: &[WorkerHandle],
    worker: &str,
) -> String {
    let deadline = Instant::now() + SETTLED;
    loop {
        let (found, slot) = claimed(placement, session, workers).await;
        if found == worker || Instant::now() >= deadline {
            return found;
        }
        drop(slot);
        // Between two looks, as in `claimed`.
        sleep(Duration::from_millis(5)).await;
    }
}

/// However few of them a claim looks at.
async fn of_many_workers_the_nearest_gets_the_session(placement: &impl Placement) {
    let mut workers = workers(300, 1);
    for worker in workers.iter_mut().skip(3) {
        worker.proximity = Proximity::OtherZone;
    }
    let mut held = Vec::new();
    for n in 0..6 {
        let (worker, slot) = claim(placement, n, &workers).await.unwrap();
        assert_eq!(["0", "1", "2"].contains(&worker.as_str()), n < 3, "{n} is on {worker}");
        held.push(slot);
    }
}

async fn a_streams_own_limit_comes_before_its_workers(placement: &impl Placement) {
    let (workers, others) = ([limited(serving("a", "limited", 5), 1)], [serving("b", "other", 1)]);
    let first = claim(placement, "1", &workers).await.unwrap();
    assert_eq!(claim(placement, "2", &workers).await.err(), Some(ClaimError::Full { slots: 1 }));
    let other = claim(placement, "2", &others).await;
    assert!(other.is_ok(), "another stream's sessions are its own");
    drop((first, other));
    claimed(placement, "3", &workers).await;
}

async fn a_moving_session_counts_once(placement: &impl Placement) {
    let workers = [serving("a", "s", 5), serving("b", "s", 5)].map(|worker| limited(worker, 2));
    let (from, first) = claim(placement, "1", &workers).await.unwrap();
    let (to, second) = claim(placement, "1", &workers).await.unwrap();
    assert_eq!([from, to], ["a", "b"]);
    let other = claim(placement, "2", &workers).await.unwrap();
    drop(first);
    let third = claim(placement, "3", &workers).await;
    assert_eq!(
        third.err(),
        Some(ClaimError::Full { slots: 2 }),
        "it still has a slot, so it still counts"
    );
    drop(second);
    drop(claimed(placement, "3", &workers).await);
    drop(other);
}

/// A draining worker's sessions are not in the way of those that are left.
async fn what_is_on_other_workers_takes_no_slot_of_these(placement: &impl Placement) {
    let [draining, serves] = [serving("a", "s", 1), serving("b", "s", 1)];
    let _on_a = claim(placement, "1", std::slice::from_ref(&draining)).await.unwrap();
    let on_b = claim(placement, "2", std::slice::from_ref(&serves)).await;
    assert_eq!(on_b.map(|(worker, _)| worker), Ok("b".to_owned()));
}

async fn no_worker_is_no_slot(placement: &impl Placement) {
    assert_eq!(claim(placement, "1", &[]).await.err(), Some(ClaimError::Full { slots: 0 }));
}

/// However many of them a claim looks at.
async fn of_many_workers_every_slot_is_found(placement: &impl Placement) {
    let workers = workers(300, 1);
    let mut held = Vec::new();
    let mut on = BTreeSet::new();
    for n in 0..300 {
        let (worker, slot) = claim(placement, n, &workers).await.unwrap();
        assert!(on.insert(worker), "a worker of one slot has two sessions");
        held.push(slot);
    }
    assert_eq!(
        claim(placement, "more", &workers).await.err(),
        Some(ClaimError::Full { slots: 300 })
    );
}

async fn a_session_of_its_own_is_nobody_elses(placement: &impl Placement) {
    let streams = ["s".to_owned()];
    let held = claim(placement, "1", &[serving("a", "s", 1)]).await.unwrap();
    assert_eq!(placement.locate(&id("1"), &streams).await, None);
    drop(held);
    for session in ["unknown", "{s}:1", "FLUSHALL", "*"] {
        assert_eq!(placement.locate(&id(session), &streams).await, None, "{session}");
    }
    assert_eq!(placement.locate(&id("1"), &[]).await, None);
}

/// However often: it says what a claim would.
async fn looking_takes_nothing(placement: &impl Placement) {
    let workers = [limited(serving("a", "s", 2), 1)];
    for n in 0..10 {
        assert_eq!(placement.look(&id(n), &workers, false).await, Ok(()));
    }
    let held = claim(placement, "1", &workers).await.unwrap();
    let full = Err(ClaimError::Full { slots: 1 });
    for n in [0, 2, 3] {
        assert_eq!(placement.look(&id(n), &workers, false).await, full);
        assert_eq!(placement.look(&id(n), &workers, true).await, Ok(()), "another one yields");
    }
    assert_eq!(
        claim(placement, "2", &workers).await.map(drop),
        full,
        "that gives no slot by itself"
    );
    assert_eq!(
        placement.look(&id("1"), &workers, false).await,
        Ok(()),
        "it counts already, and may move"
    );
    assert_eq!(placement.look(&id("1"), &[], false).await, Err(ClaimError::Full { slots: 0 }));
    for session in ["0", "2", "never-seen"] {
        placement.disown(&id(session), "s").await;
    }
    drop(held);
    claimed(placement, "2", &workers).await;
}
