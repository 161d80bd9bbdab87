//! Many pages and one gateway in virtual time: the same seed, the same course.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::time::Duration;

use super::Dice;
use super::gateway::{Bounds, Costs, Gateway, Job, Offered, Ticket};
use super::page::{Patience, Timing};

/// Why all pages come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Their gateway was killed: each notices by the silence, at a look of its own.
    Killed,
    /// It closed all connections at the same moment.
    Closed,
    /// It said that it will stop; it serves them meanwhile.
    Leaves,
    /// Somebody pressed Start at each, and for a moment no worker was there: all were told to come
    /// again.
    Refused,
}

/// What is to happen.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    /// See [`Cause`].
    pub cause: Cause,
    /// How many.
    pub pages: usize,
    /// Of the one gateway that there is.
    pub cores: usize,
    /// What each page costs it.
    pub costs: Costs,
    /// `None`: nobody draws anything.
    pub seed: Option<u64>,
}

/// What happened, counted from the cause.
#[derive(Debug)]
pub struct Course {
    /// When each page was live again, in order; those that never were are missing.
    pub live: Vec<Duration>,
    /// When offers came, in order.
    pub offers: Vec<Duration>,
    /// Offers of the page that made most.
    pub most_offers: u32,
    /// Answered sessions that were not connected yet, when there were most.
    pub most_unchecked: usize,
    /// Pages that were told something that they take for the end.
    pub failed: usize,
}

impl Course {
    /// Offers in the busiest window of this length.
    #[must_use]
    pub fn busiest(&self, window: Duration) -> usize {
        let until = |from: Duration| self.offers.partition_point(|at| *at < from + window);
        self.offers
            .iter()
            .enumerate()
            .map(|(first, from)| until(*from) - first)
            .max()
            .unwrap_or_default()
    }
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |percent: usize| {
            self.live.get((self.live.len() * percent).div_ceil(100).saturating_sub(1))
        };
        write!(
            f,
            "{} live, of ten 5 within {:?}, 9 within {:?}, all within {:?}; {} offers, {} of the busiest 100 ms, {} of \
             the busiest page; {} failed",
            self.live.len(),
            at(50).copied().unwrap_or_default(),
            at(90).copied().unwrap_or_default(),
            at(100).copied().unwrap_or_default(),
            self.offers.len(),
            self.busiest(Duration::from_millis(100)),
            self.most_offers,
            self.failed,
        )
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A page offers.
    Offer(usize),
    /// A page looks for another path to a server that is gone.
    Restart,
    /// A ticket's turn did not come.
    NoTurn(Ticket),
    /// A ticket's page waits no longer for its answer.
    NoAnswer(Ticket),
    /// Nor for its connection.
    NoConnection(Ticket),
    /// A core is free.
    Done(Job),
}

#[derive(Clone, Copy, Debug, Default)]
struct Page {
    /// Tries begun.
    offers: u32,
    answered: bool,
    /// The last try is over, in whichever way.
    over: bool,
}

struct Simulation {
    scene: Scene,
    timing: Timing,
    bounds: Bounds,
    dice: Dice,
    now: Duration,
    /// By time, then by the order in which they were planned.
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    planned: u64,
    gateway: Gateway,
    pages: Vec<Page>,
    course: Course,
}

/// Runs it to its end: until each page is live, has failed, or has looked for a server for longer
/// than the page does.
#[must_use]
pub fn run(scene: Scene) -> Course {
    let (timing, bounds) = (Timing::of_the_page(), Bounds::of_the_gateway());
    let gateway = Gateway::new(bounds.clone(), scene.costs, scene.cores);
    let course = Course {
        live: Vec::new(),
        offers: Vec::new(),
        most_offers: 0,
        most_unchecked: 0,
        failed: 0,
    };
    let mut simulation = Simulation {
        scene,
        timing,
        bounds,
        dice: scene.seed.map_or_else(Dice::fixed, Dice::seeded),
        now: Duration::ZERO,
        events: BinaryHeap::new(),
        planned: 0,
        gateway,
        pages: vec![Page::default(); scene.pages],
        course,
    };
    (0..scene.pages).for_each(|page| simulation.begin(page));
    while let Some(Reverse((at, _, event))) =
        simulation.events.pop().filter(|Reverse((at, ..))| *at < GIVEN_UP)
    {
        simulation.now = at;
        simulation.happen(event);
        while let Some((job, cost)) = simulation.gateway.run() {
            simulation.plan(cost, Event::Done(job));
        }
    }
    let Simulation { mut course, pages, gateway, .. } = simulation;
    course.most_offers = pages.iter().map(|page| page.offers).max().unwrap_or_default();
    course.most_unchecked = gateway.most_unchecked;
    course
}

/// Virtual time is cheap, but has an end: well after the minute in which pages do not give up.
const GIVEN_UP: Duration = Duration::from_secs(120);

impl Simulation {
    fn plan(&mut self, after: Duration, event: Event) {
        self.events.push(Reverse((self.now + after, self.planned, event)));
        self.planned += 1;
    }

    fn begin(&mut self, page: usize) {
        let noticed = match self.scene.cause {
            Cause::Killed => {
                let (look, looks) = (self.timing.look, self.timing.silent_looks);
                // Each has its own rhythm; that of a herd that came together before is the same, as
                // in `Closed`.
                let first = look.mul_f64(self.dice.fraction());
                (self.timing.restart_looks..looks)
                    .for_each(|n| self.plan(first + look * n, Event::Restart));
                first + look * looks
            }
            Cause::Closed | Cause::Leaves | Cause::Refused => Duration::ZERO,
        };
        let pause = self.pause(page);
        self.plan(noticed + pause, Event::Offer(page));
    }

    /// Before a page's next offer.
    fn pause(&mut self, page: usize) -> Duration {
        if self.scene.cause == Cause::Refused {
            let told = self.dice.one_of(self.bounds.retry_after.clone());
            return self.timing.retry_after(Duration::from_secs(told.into()), &mut self.dice);
        }
        let tries = self.pages[page].offers as usize;
        self.timing.pause(tries, self.scene.cause == Cause::Leaves, &mut self.dice)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Offer(page) => self.offer(page),
            Event::Restart => self.gateway.stranger(),
            Event::NoTurn(ticket) => {
                if self.gateway.leave(ticket) {
                    self.refused(ticket);
                }
            }
            Event::NoAnswer(ticket) => {
                if self.is_open(ticket) && !self.pages[ticket.0].answered {
                    self.gateway.leave(ticket);
                    self.again(ticket, false);
                }
            }
            Event::NoConnection(ticket) => {
                if self.is_open(ticket) {
                    self.again(ticket, false);
                }
            }
            Event::Done(job) => self.done(job),
        }
    }

    fn offer(&mut self, page: usize) {
        self.course.offers.push(self.now);
        let state = &mut self.pages[page];
        *state = Page { offers: state.offers + 1, ..Page::default() };
        let ticket = (page, state.offers);
        self.plan(self.patience().answer, Event::NoAnswer(ticket));
        match self.gateway.offer(ticket) {
            Offered::Taken => {}
            Offered::Waits => self.plan(self.bounds.turn_within, Event::NoTurn(ticket)),
            Offered::Refused => self.refused(ticket),
        }
    }

    fn done(&mut self, job: Job) {
        self.gateway.done(job);
        match job {
            Job::Answer(ticket) if self.is_open(ticket) => {
                self.pages[ticket.0].answered = true;
                self.plan(self.patience().connect, Event::NoConnection(ticket));
            }
            Job::Connect(ticket) if self.is_open(ticket) => {
                self.pages[ticket.0].over = true;
                self.course.live.push(self.now);
            }
            // Nobody waits for it any more.
            Job::Answer(_) | Job::Connect(_) | Job::Stranger => {}
        }
    }

    fn refused(&mut self, ticket: Ticket) {
        let passing = self.timing.passing.contains(&"busy");
        self.again(ticket, passing);
    }

    /// A try has failed; `passing`: the server said that it has no room now. Who has just pressed
    /// Start waits only for that, and takes all else for the end.
    fn again(&mut self, (page, _): Ticket, passing: bool) {
        self.pages[page].over = true;
        let pressed = self.scene.cause == Cause::Refused;
        if pressed && !passing
            || !pressed && self.now > self.timing.noticed_within() + self.timing.regain
        {
            self.course.failed += 1;
            return;
        }
        let pause = self.pause(page);
        self.plan(pause, Event::Offer(page));
    }

    fn is_open(&self, (page, offer): Ticket) -> bool {
        let page = &self.pages[page];
        page.offers == offer && !page.over
    }

    fn patience(&self) -> Patience {
        if self.scene.cause == Cause::Refused { self.timing.first } else { self.timing.again }
    }
}
