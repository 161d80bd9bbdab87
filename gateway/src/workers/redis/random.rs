//! Random claims, returns, moves, deaths and losses, in two zones: Redis' sums are those of a
//! model, no worker has too many, and no session leaves its zone while there is room.

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::Redis;
use super::server::RedisServer;
use super::testing::{LONG, gateway, members, until, workers};
use crate::media::session_id::SessionId;
use crate::media::session_id::testing::id;
use crate::workers::placement::{ClaimError, Placement, Slot};
use crate::workers::pool::{Proximity, WorkerHandle};

const SEEDS: u64 = 4;
const STEPS: u32 = 1_500;
const GATEWAYS: usize = 3;
const WORKERS: usize = 5;
const CAPACITY: u32 = 6;

/// What is held: session, the gateway that has it, its slot.
type Model = Vec<(SessionId, usize, Slot)>;

#[tokio::test]
async fn the_sums_are_those_of_a_model() {
    for seed in 0..SEEDS {
        churn(seed).await;
    }
}

async fn churn(seed: u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    let server = RedisServer::start();
    let workers = workers(WORKERS, CAPACITY);
    // Of each gateway: every second worker is in its zone.
    let seen: Vec<_> = (0..GATEWAYS).map(|zone| from_zone(&workers, zone)).collect();
    let mut gateways = Vec::new();
    for _ in 0..GATEWAYS {
        gateways
            .push(gateway(&server, u32::try_from(gateways.len()).unwrap(), LONG, &workers).await);
    }
    let mut model = Model::new();
    let mut refused = 0;
    for step in 0..STEPS {
        let at = random.random_range(0..GATEWAYS);
        match random.random_range(0..100) {
            0..60 => {
                // Few ids, so that some are taken.
                let id = id(random.random_range(0..60));
                let elsewhere =
                    model.iter().any(|(session, owner, _)| *session == id && *owner != at);
                match gateways[at].claim(&id, &seen[at]).await {
                    Ok((_, slot)) => {
                        assert!(!elsewhere, "seed {seed}, step {step}: {id} is another gateway's");
                        model.push((id, at, slot));
                    }
                    // What was given back a moment ago may not be told yet; the model knows only
                    // that more is impossible.
                    Err(ClaimError::Exists | ClaimError::Full { .. }) => refused += 1,
                }
            }
            60..98 if !model.is_empty() => {
                drop(model.swap_remove(random.random_range(0..model.len())))
            }
            98 => assert_eq!(server.cli(&["SCRIPT", "FLUSH"]), "OK"),
            _ => {
                settle(&server, &model, seed).await;
                let near_room = seen[at].iter().any(|worker| {
                    let held = by_worker(&model).get(worker.name.as_str()).map_or(0, Vec::len);
                    worker.proximity == Proximity::Zone && held < CAPACITY as usize
                });
                let fresh = id(1_000 + step);
                if let Ok((worker, slot)) = gateways[at].claim(&fresh, &seen[at]).await {
                    let near = worker.proximity == Proximity::Zone;
                    assert_eq!(near, near_room, "seed {seed}, step {step}: on {}", worker.name);
                    model.push((fresh, at, slot));
                }
            }
        }
        for (worker, held) in by_worker(&model) {
            assert!(
                held.len() <= CAPACITY as usize,
                "seed {seed}, step {step}: worker {worker} has {}",
                held.len()
            );
        }
    }
    assert!(refused > 0, "seed {seed}: the limits were never met");
    settle(&server, &model, seed).await;
    // A gateway ends well: its slots are given back, its sessions with them.
    model.retain(|(_, owner, _)| *owner != 0);
    settle(&server, &model, seed).await;
    drop(gateways.remove(0));
    model.clear();
    settle(&server, &model, seed).await;
    assert_eq!(server.cli(&["KEYS", "*"]), "", "seed {seed}: nothing is left");
    drop::<Vec<Redis>>(gateways);
}

/// The workers as a gateway of this zone sees them.
fn from_zone(workers: &[WorkerHandle], zone: usize) -> Vec<WorkerHandle> {
    let seen = |(n, worker): (usize, &WorkerHandle)| {
        let near = n % 2 == zone % 2;
        let proximity = if near { Proximity::Zone } else { Proximity::OtherZone };
        WorkerHandle { proximity, ..worker.clone() }
    };
    workers.iter().enumerate().map(seen).collect()
}

fn by_worker(model: &Model) -> BTreeMap<&str, Vec<&str>> {
    let mut held: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (session, _, slot) in model {
        held.entry(slot.worker()).or_default().push(session.as_str());
    }
    held
}

/// All that was given back is told: then Redis knows exactly what the model does.
async fn settle(server: &RedisServer, model: &Model, seed: u64) {
    let mut sessions: Vec<_> = model.iter().map(|(session, ..)| session.to_string()).collect();
    sessions.sort();
    sessions.dedup();
    let held = by_worker(model);
    until(&format!("seed {seed}: Redis has the model's sums"), || {
        let mut known = members(server, "sessions");
        known.sort();
        let slots = |n: usize| members(server, &format!("worker:{n}")).len();
        known == sessions
            && (0..WORKERS).all(|n| slots(n) == held.get(&*n.to_string()).map_or(0, Vec::len))
    })
    .await;
}
