//! Courses of cameras, sessions and models in virtual time: what a frame waits for batches, and
//! that the core keeps its promises whatever happens around it.
//!
//! # The model
//!
//! - A camera captures at a fixed rate from a random phase. A frame is on its way to the worker for
//!   [`UP`], plus an even share of up to `jitter`, in order. A result, or the news that a frame was
//!   superseded, is on its way back for [`DOWN`].
//! - A gateway sends a frame when it has a credit, which an answer brings back, and then sends the
//!   newest that it has not sent. So a session that is behind has its next frame 3.5 ms after a
//!   result, as new as it was 1.5 ms before that; one that keeps up waits for its camera.
//! - A session's thread does nothing but call the model: the handler takes no time around it. It
//!   has one credit.
//! - Newest wins: the session has [`NEWEST_CREDITS`] credits, so that frames arrive while its
//!   thread is in a call. The newest of them waits at the worker, in the place of older ones. If
//!   the call still waits for the model, its item is superseded, and the thread comes with the
//!   newer frame [`TURN`] later.
//! - A model takes a + b·n for a batch of n. Threads wake at once and the core takes no time.
//!
//! Latency is from the capture of a frame to its result at the worker: the way back to the browser,
//! encoding and decoding are the same for all policies. Frames that are skipped or superseded have
//! none; how many that are shows in the frames per second.
//!
//! What it leaves out: cameras that change their rate, a machine that is short of cores, and time
//! in the handler outside the model, which would make the think time longer and vary more. Model
//! times are exact in the table and vary in the courses.
//!
//! # The witness
//!
//! Keeps its own queue by the rules, without the core's code, and compares at each step.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use super::core::{Batch, Core, Decision, Settings, Ticket, Twice};

/// Times of the simulation are microseconds since its start.
type Micros = u64;

const MILLISECOND: Micros = 1_000;
const SECOND: Micros = 1_000_000;
const UP: Micros = 1_500;
const DOWN: Micros = 2_000;
const TURN: Micros = 300;
/// One frame with the model, one that is the newest at the worker, and one on its way there. With
/// two, the frame at the worker could not be replaced while a batch runs, and would be old.
const NEWEST_CREDITS: u32 = 3;
const THIRTY_FPS: Micros = 33_333;

/// What is simulated.
#[derive(Debug, Clone)]
struct Plan {
    /// The interval between frames, for each session.
    cameras: Vec<Micros>,
    /// a and b.
    model: (Micros, Micros),
    max_batch: usize,
    max_wait: Micros,
    replicas: usize,
    newest_wins: bool,
    jitter: Micros,
    /// Sessions come, go, stall and give up; models fail and vary.
    faults: bool,
    /// What happens before it does not count in the report.
    warm_up: Micros,
    end: Micros,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// Numbers are indices of clients, unless said otherwise.
    Capture(usize),
    Arrive(usize, Picture),
    Credit(usize),
    Enter(usize),
    /// A batch is done, by the number of its ticket's order.
    Done(u64),
    Poll,
    /// Something goes wrong with somebody.
    Fault,
}

/// An item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Picture {
    id: u64,
    captured: Micros,
}

/// A session's camera, gateway and thread.
#[derive(Debug)]
struct Client {
    session: u64,
    interval: Micros,
    gone: bool,
    stalled_until: Micros,
    newest: Option<Picture>,
    sent: Option<u64>,
    /// When the last frame sent arrives: frames do not overtake.
    arrives: Micros,
    credits: u32,
    /// The newest frame at the worker that has not been taken.
    inbox: Option<Picture>,
    thread: Thread,
    answered: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thread {
    Idle,
    /// It will enter.
    Turning,
    InCall(Picture),
}

/// A batch that runs: its items and whose they are.
struct Run {
    number: u64,
    ticket: Ticket,
    items: Vec<(usize, Picture)>,
    fails: bool,
}

struct World {
    plan: Plan,
    base: Instant,
    now: Micros,
    random: SmallRng,
    agenda: BinaryHeap<Reverse<(Micros, u64, Event)>>,
    scheduled: u64,
    pictures: u64,
    batches: u64,
    core: Core<Picture>,
    clients: Vec<Client>,
    runs: Vec<Run>,
    witness: Witness,
    latencies: Vec<Micros>,
    sizes: Vec<usize>,
}

/// What the table shows.
#[derive(Debug, Default, Clone, Copy)]
struct Report {
    latency_ms: f64,
    fps: f64,
    /// Of the session that has the fewest.
    least_fps: f64,
    batch: f64,
}

/// The rules once more, as plainly as can be.
#[derive(Debug, Default)]
struct Witness {
    max_batch: usize,
    max_wait: Micros,
    line: Vec<Place>,
    /// Items that entered and did not come out.
    inside: HashSet<u64>,
    entered: u64,
    fired: u64,
    superseded: u64,
    left: u64,
    refused: u64,
    /// Since when a model is free; `None` while all are busy.
    free_since: Option<Micros>,
}

#[derive(Debug)]
struct Place {
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

impl World {
    fn new(plan: Plan, seed: u64) -> Self {
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
    fn run(mut self) -> (Report, Witness) {
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

    fn at(&self, time: Micros) -> Instant {
        self.base + Duration::from_micros(time)
    }

    /// Rounded up.
    fn micros(&self, time: Instant) -> Micros {
        (time - self.base).as_nanos().div_ceil(1_000).try_into().unwrap()
    }

    fn schedule(&mut self, time: Micros, event: Event) {
        self.scheduled += 1;
        self.agenda.push(Reverse((time, self.scheduled, event)));
    }

    fn join(&mut self, session: u64, interval: Micros, within: Micros) {
        let credits = if self.plan.newest_wins { NEWEST_CREDITS } else { 1 };
        let index = self.clients.len();
        self.clients.push(Client {
            session,
            interval,
            gone: false,
            stalled_until: 0,
            newest: None,
            sent: None,
            arrives: 0,
            credits,
            inbox: None,
            thread: Thread::Idle,
            answered: 0,
        });
        let first = self.now + self.random.random_range(0..within);
        self.schedule(first, Event::Capture(index));
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

    fn capture(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if client.gone || self.now >= self.plan.end {
            return;
        }
        let next = self.now + client.interval;
        if client.stalled_until <= self.now {
            self.pictures += 1;
            client.newest = Some(Picture { id: self.pictures, captured: self.now });
        }
        self.schedule(next, Event::Capture(index));
        self.send(index);
    }

    /// Sends the newest frame if it is new and there is a credit.
    fn send(&mut self, index: usize) {
        let jitter = self.random.random_range(0..=self.plan.jitter);
        let client = &mut self.clients[index];
        let Some(picture) = client.newest else { return };
        if client.gone || client.credits == 0 || client.sent == Some(picture.id) {
            return;
        }
        client.credits -= 1;
        client.sent = Some(picture.id);
        client.arrives = client.arrives.max(self.now + UP + jitter);
        let arrives = client.arrives;
        self.schedule(arrives, Event::Arrive(index, picture));
    }

    fn arrive(&mut self, index: usize, picture: Picture) {
        let client = &mut self.clients[index];
        if client.gone {
            return;
        }
        let replaced = client.inbox.replace(picture).is_some();
        let (session, thread) = (client.session, client.thread);
        if replaced {
            self.schedule(self.now + DOWN, Event::Credit(index));
        }
        match thread {
            Thread::Idle => {
                self.clients[index].thread = Thread::Turning;
                self.enter(index);
            }
            Thread::InCall(called) if self.plan.newest_wins => {
                let out = self.core.supersede(self.at(self.now), session);
                assert_eq!(out, self.witness.supersede(session, called.id).then_some(called));
                if out.is_some() {
                    self.answered(index);
                }
            }
            Thread::InCall(_) | Thread::Turning => {}
        }
    }

    /// The thread's call has returned. It takes the next frame if there is one.
    fn answered(&mut self, index: usize) {
        self.schedule(self.now + DOWN, Event::Credit(index));
        let client = &mut self.clients[index];
        client.thread = Thread::Idle;
        if client.inbox.is_some() {
            client.thread = Thread::Turning;
            self.schedule(self.now + TURN, Event::Enter(index));
        }
    }

    fn enter(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if client.gone {
            return;
        }
        let picture = client.inbox.take().expect("a thread turns to a frame");
        client.thread = Thread::InCall(picture);
        let session = client.session;
        self.witness.enter(self.now, session, picture.id);
        self.core.enter(self.at(self.now), session, picture).unwrap();
    }

    fn done(&mut self, number: u64) {
        let index = self.runs.iter().position(|run| run.number == number).unwrap();
        let Run { ticket, items, fails, .. } = self.runs.swap_remove(index);
        self.witness.free_since.get_or_insert(self.now);
        let now = self.at(self.now);
        let told =
            if fails { self.core.failed(now, ticket) } else { self.core.finished(now, ticket) };
        let waits = |&(client, picture): &(usize, Picture)| {
            let client: &Client = &self.clients[client];
            let waits = !client.gone && client.thread == Thread::InCall(picture);
            waits.then_some(client.session)
        };
        assert_eq!(told, items.iter().map(waits).collect::<Vec<_>>());
        assert_eq!(self.core.finished(now, ticket), [], "once");
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
    fn poll(&mut self) {
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
        self.runs.push(Run { number, ticket: batch.ticket, items, fails });
        if self.runs.len() == self.plan.replicas {
            self.witness.free_since = None;
        }
        self.schedule(self.now + time.max(1), Event::Done(number));
    }

    fn fault(&mut self) {
        if self.now >= self.plan.end {
            return;
        }
        let index = self.random.random_range(0..self.clients.len());
        let client = &mut self.clients[index];
        let (session, interval) = (client.session, client.interval);
        if !client.gone {
            match self.random.random_range(0..6) {
                0 => client.stalled_until = self.now + self.random.random_range(0..SECOND / 5),
                1 => {
                    client.gone = true;
                    let called = client.thread;
                    let item = self.core.gone(session);
                    self.witness.check_left(session, called, item);
                    if self.random.random() {
                        // As somebody else with the same number, at once.
                        self.join(session, interval, interval);
                    }
                }
                2 | 3 => {
                    let called = client.thread;
                    let item = self.core.leave(session);
                    self.witness.check_left(session, called, item);
                    if let Thread::InCall(_) = called {
                        self.answered(index);
                    }
                }
                4 => {
                    if let Thread::InCall(_) = client.thread {
                        let picture = Picture { id: u64::MAX, captured: 0 };
                        let refused = self.core.enter(self.at(self.now), session, picture);
                        assert_eq!(refused, Err(Twice(picture)));
                        self.witness.refused += 1;
                    }
                }
                _ => {
                    let session = u64::MAX;
                    assert_eq!(self.core.leave(session), None);
                    assert_eq!(self.core.supersede(self.at(self.now), session), None);
                }
            }
        }
        let next = self.now + self.random.random_range(MILLISECOND..20 * MILLISECOND);
        self.schedule(next, Event::Fault);
    }
}

impl Witness {
    fn enter(&mut self, now: Micros, session: u64, item: u64) {
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
    fn supersede(&mut self, session: u64, item: u64) -> bool {
        let waiting = |place: &&mut Place| place.session == session && place.item == Some(item);
        let Some(place) = self.line.iter_mut().find(waiting) else { return false };
        if place.missed {
            return false;
        }
        place.item = None;
        self.superseded += 1;
        self.inside.remove(&item)
    }

    fn check_left(&mut self, session: u64, called: Thread, left: Option<Picture>) {
        let index = self.line.iter().position(|place| place.session == session);
        let item = index.and_then(|index| self.line.remove(index).item);
        assert_eq!(left.map(|picture| picture.id), item);
        if let Some(picture) = left {
            assert_eq!(called, Thread::InCall(picture));
            self.left += 1;
            assert!(self.inside.remove(&picture.id));
        }
    }

    fn fire(&mut self, now: Micros, batch: Vec<u64>) {
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
    fn check_wait(&self, until: Micros) {
        let free_since = self.free_since.expect("a free model asks");
        for place in self.line.iter().filter(|place| place.item.is_some()) {
            // From its first arrival, even if the place was superseded in between.
            let deadline = place.arrived.max(free_since) + self.max_wait;
            assert!(until <= deadline.max(place.entered), "until {until} µs: {place:?}");
        }
    }
}

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

/// `cargo test --release simulation::table -- --ignored --nocapture`
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
