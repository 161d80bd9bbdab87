//! The courses: any that may be, and those of the table.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::{MILLISECOND, Micros, Plan, Report, SECOND, THIRTY_FPS, Witness, World};

fn plan(sessions: usize, model: (Micros, Micros), max_batch: usize) -> Plan {
    Plan {
        cameras: vec![THIRTY_FPS; sessions],
        model,
        max_batch,
        max_wait: 8 * MILLISECOND,
        replicas: 1,
        newest_wins: false,
        jitter: 0,
        faults: false,
        warm_up: 2 * SECOND,
        end: 8 * SECOND,
    }
}

/// A short course in which anything may be.
fn any(random: &mut SmallRng) -> Plan {
    let sessions = match random.random_range(0..4) {
        0 => random.random_range(1..=3),
        1 | 2 => random.random_range(2..=12),
        _ => random.random_range(8..=32),
    };
    let interval = |random: &mut SmallRng| match random.random_range(0..8) {
        0 => random.random_range(10 * MILLISECOND..100 * MILLISECOND),
        _ => random.random_range(THIRTY_FPS - 1_500..THIRTY_FPS + 1_500),
    };
    Plan {
        cameras: (0..sessions).map(|_| interval(random)).collect(),
        model: (random.random_range(0..20_000), random.random_range(0..8_000)),
        max_batch: random.random_range(1..=16),
        max_wait: [0, 1, 4, 8, 40][random.random_range(0..5)] * MILLISECOND,
        replicas: random.random_range(1..=3),
        newest_wins: random.random(),
        jitter: [0, 500, 4_000][random.random_range(0..3)],
        faults: random.random_ratio(4, 5),
        warm_up: 0,
        end: random.random_range(100 * MILLISECOND..500 * MILLISECOND),
    }
}

#[test]
fn promises_are_kept_in_any_course() {
    let mut all = Witness::default();
    for seed in 0..3_000 {
        let plan = any(&mut SmallRng::seed_from_u64(seed));
        let (_, witness) = World::new(plan, seed).run();
        all.entered += witness.entered;
        all.superseded += witness.superseded;
        all.left += witness.left;
        all.refused += witness.refused;
    }
    let enough = all.entered > 100_000 && all.superseded > 1_000;
    assert!(enough && all.left > 1_000 && all.refused > 1_000, "{all:?}");
}

/// A mean over some courses of 8 s, the first two of which do not count.
fn measure(plan: &Plan, courses: u32) -> Report {
    let mut mean = Report::default();
    for seed in 0..courses {
        let (report, _) = World::new(plan.clone(), seed.into()).run();
        mean.latency_ms += report.latency_ms / f64::from(courses);
        mean.fps += report.fps / f64::from(courses);
        mean.least_fps += report.least_fps / f64::from(courses);
        mean.batch += report.batch / f64::from(courses);
    }
    mean
}

#[derive(Debug, Clone, Copy)]
enum Policy {
    NoWait,
    Due,
    DueAndNewestWins,
}

fn under(policy: Policy, plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    match policy {
        Policy::NoWait => plan.max_wait = 0,
        Policy::Due => {}
        Policy::DueAndNewestWins => plan.newest_wins = true,
    }
    plan
}

const ROWS: [(usize, (Micros, Micros), usize); 11] = [
    (1, (15_000, 500), 8),
    (2, (15_000, 500), 8),
    (4, (15_000, 500), 8),
    (8, (15_000, 500), 8),
    (16, (15_000, 500), 16),
    (4, (4_000, 3_000), 8),
    (8, (4_000, 3_000), 8),
    (16, (2_000, 8_000), 8),
    (8, (30_000, 1_000), 8),
    (16, (5_000, 200), 16),
    (32, (10_000, 500), 16),
];

#[test]
fn the_wait_pays_where_the_fixed_cost_dominates() {
    for (sessions, model, bound, newest_bound) in
        [(8, (15_000, 500), 30.0, 28.0), (16, (15_000, 500), 36.0, 32.5)]
    {
        let plan = plan(sessions, model, sessions);
        let [none, due, newest] = [Policy::NoWait, Policy::Due, Policy::DueAndNewestWins]
            .map(|policy| measure(&under(policy, &plan), 6));
        assert!(none.latency_ms > 45.0 && none.fps < 29.5, "{none:?}");
        assert!(due.latency_ms <= bound && due.least_fps > 29.9, "{due:?}");
        assert!(newest.latency_ms <= newest_bound && newest.least_fps > 29.9, "{newest:?}");
    }
}

#[test]
fn there_is_no_wait_where_it_does_not_pay() {
    for (sessions, model, max_batch) in ROWS {
        for jitter in [0, 8] {
            let plan = Plan { jitter: jitter * MILLISECOND, ..plan(sessions, model, max_batch) };
            let [none, due] =
                [Policy::NoWait, Policy::Due].map(|policy| measure(&under(policy, &plan), 8));
            let kept = due.latency_ms <= none.latency_ms * 1.03 && due.fps >= none.fps - 0.1;
            assert!(kept, "{sessions} {model:?} {jitter}: {none:?} {due:?}");
        }
    }
    let steep = measure(&plan(8, (4_000, 3_000), 8), 3);
    assert!(steep.latency_ms <= 23.5, "{steep:?}");
    let alone = measure(&plan(1, (15_000, 500), 8), 1);
    assert_eq!(alone.latency_ms, 17.0);
}

#[test]
fn the_newest_wins_where_the_model_is_overloaded() {
    let plan = plan(16, (2_000, 8_000), 8);
    let [due, newest] =
        [Policy::Due, Policy::DueAndNewestWins].map(|policy| measure(&under(policy, &plan), 3));
    assert!(due.latency_ms > 140.0 && newest.latency_ms <= 90.0, "{due:?} {newest:?}");
    assert!(newest.least_fps > due.least_fps - 0.5, "{due:?} {newest:?}");
}

/// `cargo test --release simulation::courses::table -- --ignored --nocapture`
#[test]
#[ignore = "prints a table"]
#[expect(clippy::print_stdout, reason = "it is what this is for")]
fn table() {
    for (jitter, max_wait) in [(0, 8), (0, 4), (1, 8), (3, 8), (8, 8)] {
        println!("\n`max_wait` {max_wait} ms, arrivals late by up to {jitter} ms\n");
        println!("| sessions, T(n) ms, max | no wait | due | due, newest wins |");
        println!("|---|---|---|---|");
        for (sessions, model, max_batch) in ROWS {
            let mut plan = plan(sessions, model, max_batch);
            plan.max_wait = max_wait * MILLISECOND;
            plan.jitter = jitter * MILLISECOND;
            plan.end = 12 * SECOND;
            let (fixed, each) = (model.0 as f64 / 1e3, model.1 as f64 / 1e3);
            print!("| {sessions}, {fixed} + {each}n, {max_batch} |");
            for policy in [Policy::NoWait, Policy::Due, Policy::DueAndNewestWins] {
                let Report { latency_ms, fps, least_fps, batch } =
                    measure(&under(policy, &plan), 24);
                print!(" {latency_ms:.1} ms, {fps:.1} fps (least {least_fps:.1}), {batch:.1} |");
            }
            println!();
        }
    }
}
