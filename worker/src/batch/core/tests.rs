//! The rules, one by one. Whole courses are in `simulation.rs`.

use super::*;

const MILLISECOND: Duration = Duration::from_millis(1);
const MAX_WAIT: Duration = Duration::from_millis(8);

/// A core with a clock and items that are named like their sessions.
struct Bench {
    core: Core<u64>,
    now: Instant,
}

/// What [`Bench::poll`] was told: the sessions of a batch, or how long to wait.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Fire(Vec<u64>),
    Wait(Duration),
    Idle,
}

use Told::{Fire, Idle, Wait};

impl Bench {
    fn new(max_batch: usize, replicas: usize) -> Self {
        let settings = Settings { max_batch, max_wait: MAX_WAIT, replicas };
        Self { core: Core::new(settings), now: Instant::now() }
    }

    /// With a model that takes `fixed` + n·`each` ms.
    fn with_model(max_batch: usize, replicas: usize, fixed: u32, each: u32) -> Self {
        let mut bench = Self::new(max_batch, replicas);
        for size in [1, 4].into_iter().cycle().take(64) {
            bench.core.service.learn(size as usize, MILLISECOND * (fixed + each * size));
        }
        bench
    }

    /// A session that has been answered now and usually is back `think` later.
    fn answered(&mut self, session: u64, think: Duration) {
        let member = self.core.members.meet(self.now, session);
        (0..9).for_each(|_| member.think.learn(think));
        member.state = State::Away { answered: Some(self.now) };
    }

    fn pass(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }

    fn enter(&mut self, sessions: impl IntoIterator<Item = u64>) -> &mut Self {
        for session in sessions {
            self.core.enter(self.now, session, session).unwrap();
        }
        self
    }

    fn poll(&mut self) -> Told {
        match self.core.poll(self.now) {
            Decision::Fire(batch) => {
                assert!(batch.entries.iter().all(|entry| entry.item == entry.session));
                Fire(batch.entries.iter().map(|entry| entry.session).collect())
            }
            Decision::WaitUntil(until) => Wait(until - self.now),
            Decision::Idle => Idle,
        }
    }

    /// Ends the batch that began last but `before`.
    fn finish(&mut self, before: usize) -> Vec<Option<u64>> {
        let id = self.core.running[self.core.running.len() - 1 - before].id;
        self.core.finished(self.now, id)
    }
}

#[test]
fn a_session_has_one_item() {
    let mut bench = Bench::new(1, 1);
    bench.enter([1, 2]);
    assert_eq!(bench.core.enter(bench.now, 2, 7), Err(Twice(7)), "it waits");
    assert_eq!(bench.poll(), Fire(vec![1]));
    assert_eq!(bench.core.enter(bench.now, 1, 7), Err(Twice(7)), "it is in a batch");
    assert_eq!(bench.finish(0), [Some(1)]);
    bench.enter([1]);
    assert_eq!(bench.core.waiting(), 2);
}

#[test]
fn batches_are_as_large_as_they_may_be_and_in_order() {
    let mut bench = Bench::new(3, 1);
    assert_eq!(bench.poll(), Idle);
    bench.enter([5, 3, 4, 1, 2]);
    assert_eq!(bench.poll(), Fire(vec![5, 3, 4]));
    assert_eq!(bench.poll(), Idle, "the model is busy");
    bench.enter([6]).finish(0);
    assert_eq!(bench.enter([5]).poll(), Fire(vec![1, 2, 6]));
    bench.pass(MILLISECOND).finish(0);
    let Decision::Fire(batch) = bench.core.poll(bench.now) else { panic!("it is free") };
    assert_eq!((batch.entries[0].session, batch.entries[0].waited), (5, MILLISECOND));
}

#[test]
fn a_lone_session_never_waits() {
    let mut bench = Bench::with_model(8, 1, 15, 0);
    for _ in 0..50 {
        assert_eq!(bench.enter([1]).poll(), Fire(vec![1]));
        bench.pass(MILLISECOND * 15).finish(0);
        bench.pass(MILLISECOND * 3);
    }
}

#[test]
fn nobody_waits_for_strangers() {
    let mut bench = Bench::with_model(8, 1, 15, 0);
    // One that never was here before holds nobody up until its second call.
    bench.enter([1]);
    assert_eq!(bench.poll(), Fire(vec![1]));
    bench.finish(0);
    assert_eq!(bench.enter([2]).poll(), Fire(vec![2]));
}

#[test]
fn the_model_waits_for_those_who_are_due_and_no_longer() {
    let due = |bench: &mut Bench| {
        bench.answered(2, MILLISECOND * 3);
        bench.answered(3, MILLISECOND * 4);
        bench.enter([1]);
    };
    let mut bench = Bench::with_model(8, 1, 15, 0);
    due(&mut bench);
    // To the end of the step that a return is in.
    assert_eq!(bench.poll(), Wait(MILLISECOND * 17 / 4));
    assert_eq!(bench.pass(MILLISECOND * 3).enter([2]).poll(), Wait(MILLISECOND * 5 / 4));
    assert_eq!(bench.pass(MILLISECOND).enter([3]).poll(), Fire(vec![1, 2, 3]), "all are here");

    let mut bench = Bench::with_model(8, 1, 15, 0);
    due(&mut bench);
    bench.pass(MILLISECOND * 17 / 4);
    assert_eq!(bench.poll(), Fire(vec![1]), "they are late");

    let mut bench = Bench::with_model(8, 1, 15, 0);
    assert_eq!(bench.enter([9]).poll(), Fire(vec![9]));
    bench.finish(0);
    due(bench.pass(MILLISECOND * 500));
    assert_eq!(bench.poll(), Wait(MILLISECOND * 17 / 4), "a model that was long free, too");

    let mut bench = Bench::with_model(2, 1, 15, 0);
    due(&mut bench);
    bench.pass(MILLISECOND * 3);
    assert_eq!(bench.enter([2]).poll(), Fire(vec![1, 2]), "the batch is full");
}

#[test]
fn the_wait_ends_max_wait_after_the_model_is_free() {
    let mut bench = Bench::with_model(8, 1, 100, 0);
    bench.enter([1]);
    assert_eq!(bench.poll(), Fire(vec![1]));
    bench.enter([2]).pass(MILLISECOND * 100).finish(0);
    bench.enter([3]);
    let supersede = |bench: &mut Bench| {
        assert_eq!(bench.core.supersede(bench.now, 3), Some(3));
        bench.poll()
    };
    assert_eq!(supersede(&mut bench), Wait(MAX_WAIT), "2 has waited for 100 ms already");
    bench.pass(MILLISECOND * 3).enter([3]);
    assert_eq!(supersede(&mut bench), Wait(MAX_WAIT - MILLISECOND * 3), "not for 3 once more");
    bench.pass(MAX_WAIT - MILLISECOND * 3);
    assert_eq!(bench.poll(), Fire(vec![2]));
}

#[test]
fn the_model_waits_only_where_that_pays() {
    // 4 wait, and 4 are due in 3.5 ms.
    let told = |fixed, each, replicas| {
        let mut bench = Bench::with_model(8, replicas, fixed, each);
        (5..=8).for_each(|session| bench.answered(session, MILLISECOND * 7 / 2));
        bench.enter(1..=4).poll()
    };
    assert_eq!(told(15, 0, 1), Wait(MILLISECOND * 15 / 4));
    assert_eq!(told(15, 1, 1), Wait(MILLISECOND * 15 / 4));
    assert_eq!(told(4, 3, 1), Fire(vec![1, 2, 3, 4]), "4·(4 - 12) < 8·3.5");
    assert_eq!(told(1, 0, 1), Fire(vec![1, 2, 3, 4]), "they find the model free");
    assert_eq!(told(15, 0, 2), Fire(vec![1, 2, 3, 4]), "they find the other model");
}

#[test]
fn the_last_free_model_waits_unless_another_is_about_to_finish() {
    let told = |elapsed| {
        let mut bench = Bench::with_model(8, 2, 15, 0);
        assert_eq!(bench.enter([9]).poll(), Fire(vec![9]));
        bench.pass(elapsed);
        (5..=8).for_each(|session| bench.answered(session, MILLISECOND));
        bench.enter(1..=4).poll()
    };
    assert_eq!(told(Duration::ZERO), Wait(MILLISECOND * 5 / 4));
    assert_eq!(told(MILLISECOND * 14), Fire(vec![1, 2, 3, 4]));
    assert_eq!(told(MILLISECOND * 99), Fire(vec![1, 2, 3, 4]));
}

#[test]
fn what_a_superseded_session_brings_keeps_its_place() {
    let mut bench = Bench::new(1, 1);
    assert_eq!(bench.enter([1, 2, 3]).poll(), Fire(vec![1]));
    assert_eq!(bench.core.supersede(bench.now, 1), None, "it has begun");
    assert_eq!(bench.core.supersede(bench.now, 2), Some(2));
    assert_eq!(bench.core.supersede(bench.now, 2), None, "it is out");
    assert_eq!(bench.core.waiting(), 1);
    bench.pass(MILLISECOND).enter([2]).finish(0);
    assert_eq!(bench.poll(), Fire(vec![2]));
    assert_eq!(bench.core.supersede(bench.now, 99), None, "nobody");
}

#[test]
fn the_model_waits_for_a_superseded_session() {
    let mut bench = Bench::with_model(2, 1, 1, 9);
    bench.enter([1, 2, 3]);
    assert_eq!(bench.core.supersede(bench.now, 2), Some(2));
    assert_eq!(bench.poll(), Wait(MAX_WAIT), "it is among the first two");
    bench.pass(MILLISECOND);
    assert_eq!(bench.enter([2]).poll(), Fire(vec![1, 2]));
    // It was away for 1 ms, and is given twice that.
    bench.finish(0);
    bench.enter([2]);
    assert_eq!(bench.core.supersede(bench.now, 2), Some(2));
    assert_eq!(bench.poll(), Wait(MILLISECOND * 2));
    bench.pass(MILLISECOND * 2);
    assert_eq!(bench.poll(), Fire(vec![3]));
    // One behind a full batch, or that takes too long anyway, holds up nobody.
    bench.finish(0);
    bench.enter([2, 3, 4]);
    assert_eq!(bench.core.supersede(bench.now, 4), Some(4));
    assert_eq!(bench.poll(), Fire(vec![2, 3]));
    bench.finish(0);
    bench.pass(MAX_WAIT * 2);
    bench.enter([4]);
    for away in [MILLISECOND * 16, MILLISECOND] {
        assert_eq!(bench.core.supersede(bench.now, 4), Some(4));
        bench.pass(away).enter([4]);
    }
    assert_eq!(bench.core.supersede(bench.now, 4), Some(4));
    assert_eq!(bench.enter([5]).poll(), Fire(vec![5]), "4 is away for up to 14 ms");
}

#[test]
fn a_superseded_session_that_stays_away_holds_nobody_longer_than_max_wait() {
    let mut bench = Bench::new(8, 1);
    bench.enter([1]).pass(MILLISECOND * 3);
    assert_eq!(bench.core.supersede(bench.now, 1), Some(1));
    assert_eq!(bench.poll(), Idle);
    assert_eq!(bench.enter([2]).poll(), Wait(MAX_WAIT));
    bench.pass(MAX_WAIT);
    assert_eq!(bench.poll(), Fire(vec![2]));
}

#[test]
fn the_wait_counts_from_the_first_arrival() {
    let mut bench = Bench::new(8, 1);
    bench.enter([1, 2]);
    assert_eq!(bench.core.supersede(bench.now, 1), Some(1));
    bench.pass(MILLISECOND * 3).enter([1]);
    assert_eq!(bench.core.supersede(bench.now, 2), Some(2));
    assert_eq!(bench.poll(), Wait(MAX_WAIT - MILLISECOND * 3));
}

#[test]
fn a_session_misses_one_batch_at_most_for_newer_items() {
    let mut bench = Bench::new(1, 1);
    bench.enter([1, 2]);
    assert_eq!(bench.core.supersede(bench.now, 1), Some(1));
    bench.pass(MAX_WAIT);
    assert_eq!(bench.poll(), Fire(vec![2]));
    bench.enter([1]);
    assert_eq!(bench.core.supersede(bench.now, 1), None, "it stays");
    bench.finish(0);
    assert_eq!(bench.poll(), Fire(vec![1]));
    bench.finish(0);
    bench.enter([1]);
    assert_eq!(bench.core.supersede(bench.now, 1), Some(1), "as ever");
}

#[test]
fn who_leaves_takes_its_item_along() {
    let mut bench = Bench::new(2, 1);
    bench.enter([1, 2, 3]);
    assert_eq!(bench.core.leave(2), Some(2));
    assert_eq!(bench.core.leave(2), None);
    assert_eq!(bench.core.leave(99), None);
    assert_eq!(bench.poll(), Fire(vec![1, 3]));
    assert_eq!(bench.core.leave(3), None, "it is in the batch");
    assert_eq!(bench.finish(0), [Some(1), None]);
}

#[test]
fn who_left_may_come_again_while_its_old_batch_runs() {
    let mut bench = Bench::new(1, 2);
    assert_eq!(bench.enter([1]).poll(), Fire(vec![1]));
    assert_eq!(bench.core.leave(1), None);
    assert_eq!(bench.enter([1]).poll(), Fire(vec![1]));
    assert_eq!(bench.finish(1), [None], "nobody waits for the first");
    assert_eq!(bench.finish(0), [Some(1)]);
}

#[test]
fn a_superseded_session_that_leaves_loses_its_place() {
    let mut bench = Bench::new(1, 1);
    bench.enter([1, 2]);
    assert_eq!(bench.core.supersede(bench.now, 1), Some(1));
    assert_eq!(bench.core.leave(1), None, "it is out already");
    assert_eq!(bench.enter([1]).poll(), Fire(vec![2]));
}

#[test]
fn a_batch_ends_once_and_what_failed_teaches_nothing() {
    let mut bench = Bench::new(1, 1);
    for _ in 0..9 {
        bench.enter([1]).poll();
        let id = bench.core.running[0].id;
        bench.pass(MILLISECOND * 99);
        assert_eq!(bench.core.failed(bench.now, id), [Some(1)]);
        assert_eq!(bench.core.finished(bench.now, id), []);
        assert_eq!(bench.core.failed(bench.now, id), []);
    }
    assert!(bench.core.service.of(1.0).abs() < f64::EPSILON);
}

#[test]
fn sessions_are_forgotten() {
    let known = |bench: &Bench| bench.core.members.iter().count();
    let mut bench = Bench::new(1, 1);
    bench.enter([0]);
    assert_eq!(bench.core.gone(0), Some(0));
    assert_eq!(known(&bench), 0);
    // Those that do not say so: the last 10 s are kept, and a bounded number.
    bench.enter([u64::MAX]);
    for session in 0..3_000 {
        bench.pass(MILLISECOND * 100).enter([session]);
        assert_eq!(bench.core.leave(session), Some(session));
    }
    assert_eq!(known(&bench), 101, "and the one that waits");
    for session in 3_000..6_000 {
        bench.enter([session]);
        assert_eq!(bench.core.leave(session), Some(session));
    }
    assert_eq!(known(&bench), 1_024);
    assert_eq!(bench.poll(), Fire(vec![u64::MAX]));
}

#[test]
fn zero_is_one() {
    let settings = Settings { max_batch: 0, max_wait: Duration::ZERO, replicas: 0 };
    let mut bench = Bench { core: Core::new(settings), now: Instant::now() };
    bench.enter([1, 2]);
    assert_eq!([bench.poll(), bench.poll()], [Fire(vec![1]), Idle]);
}
