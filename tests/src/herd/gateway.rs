//! How many pages a gateway takes at once: its own bounds, and a machine that has so many cores and
//! no more.
//!
//! Pure. Whoever asks gets what happens to tickets, one for each try of a page.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::source::Source;

const ANSWERS: Source =
    Source { name: "answers.rs", text: include_str!("../../../gateway/src/session/answers.rs") };
const ADMISSION: Source = Source {
    name: "admission.rs",
    text: include_str!("../../../gateway/src/gateway/admission.rs"),
};
const HTTP: Source =
    Source { name: "http/mod.rs", text: include_str!("../../../gateway/src/http/mod.rs") };

/// A page's try, by the page and how many it has begun.
pub type Ticket = (usize, u32);

/// The gateway's constants.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Offers that wait for their turn.
    pub waiting: usize,
    /// How long one may.
    pub turn_within: Duration,
    /// Answered sessions without a first check: of more, the oldest ends.
    pub unchecked: usize,
    /// Seconds that a refusal tells.
    pub retry_after: RangeInclusive<u32>,
}

impl Bounds {
    /// As the gateway has it.
    ///
    /// # Panics
    /// When the gateway no longer has it, or does something else with it.
    #[must_use]
    pub fn of_the_gateway() -> Self {
        ANSWERS.expect("turns: Semaphore::new(cores.div_ceil(2)),");
        ANSWERS.expect("places: Shares::new(MAX_WAITING, MAX_WAITING_EACH)");
        HTTP.expect("let wait = rand::random_range(RETRY_AFTER_SECONDS);");
        let number = |source: Source, name| usize::try_from(source.number(name)).expect("a few");
        Self {
            waiting: number(ANSWERS, "MAX_WAITING"),
            turn_within: ANSWERS.seconds("TURN_WITHIN"),
            unchecked: number(ADMISSION, "MAX_UNCHECKED"),
            retry_after: HTTP.range("RETRY_AFTER_SECONDS"),
        }
    }
}

/// CPU time of what a gateway does for a page.
#[derive(Clone, Copy, Debug)]
pub struct Costs {
    /// An answer.
    pub answer: Duration,
    /// All that follows until the page is live: checks, DTLS, the session's start.
    pub connect: Duration,
    /// An offer for a session that is not here: it is read and refused.
    pub stranger: Duration,
}

/// Work for a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Job {
    /// Holds one of the turns.
    Answer(Ticket),
    /// As many at once as there are.
    Connect(Ticket),
    /// Of nobody's session.
    Stranger,
}

/// See the module.
#[derive(Debug)]
pub struct Gateway {
    bounds: Bounds,
    costs: Costs,
    turns: usize,
    idle_cores: usize,
    runnable: VecDeque<Job>,
    waiting: VecDeque<Ticket>,
    /// Answered, and not connected yet.
    unchecked: usize,
    /// The most that there were.
    pub most_unchecked: usize,
}

/// What became of an offer at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// Its answer is being made.
    Taken,
    /// It waits for its turn, at most [`Bounds::turn_within`].
    Waits,
    /// `busy`.
    Refused,
}

impl Gateway {
    /// On a machine of so many cores that does nothing else.
    #[must_use]
    pub fn new(bounds: Bounds, costs: Costs, cores: usize) -> Self {
        let (runnable, waiting) = (VecDeque::new(), VecDeque::new());
        Self {
            bounds,
            costs,
            turns: cores.div_ceil(2),
            idle_cores: cores,
            runnable,
            waiting,
            unchecked: 0,
            most_unchecked: 0,
        }
    }

    /// An offer comes.
    pub fn offer(&mut self, ticket: Ticket) -> Offered {
        if self.turns > 0 {
            self.turns -= 1;
            self.runnable.push_back(Job::Answer(ticket));
            return Offered::Taken;
        }
        if self.waiting.len() == self.bounds.waiting {
            return Offered::Refused;
        }
        self.waiting.push_back(ticket);
        Offered::Waits
    }

    /// An offer comes for a session that is not here.
    pub fn stranger(&mut self) {
        self.runnable.push_back(Job::Stranger);
    }

    /// It waits no longer: it had its time, or its page has gone. False when it does not wait.
    pub fn leave(&mut self, ticket: Ticket) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| *waiting != ticket);
        self.waiting.len() < before
    }

    /// A core does the next job, if there are both, and is done with it after so long.
    pub fn run(&mut self) -> Option<(Job, Duration)> {
        if self.idle_cores == 0 {
            return None;
        }
        let job = self.runnable.pop_front()?;
        self.idle_cores -= 1;
        let cost = match job {
            Job::Answer(_) => self.costs.answer,
            Job::Connect(_) => self.costs.connect,
            Job::Stranger => self.costs.stranger,
        };
        Some((job, cost))
    }

    /// A job is done. Its page, answered, connects, whether it is still there or not.
    pub fn done(&mut self, job: Job) {
        self.idle_cores += 1;
        match job {
            Job::Answer(ticket) => {
                self.unchecked += 1;
                self.most_unchecked = self.most_unchecked.max(self.unchecked);
                self.runnable.push_back(Job::Connect(ticket));
                match self.waiting.pop_front() {
                    Some(next) => self.runnable.push_back(Job::Answer(next)),
                    None => self.turns += 1,
                }
            }
            Job::Connect(_) => self.unchecked -= 1,
            Job::Stranger => {}
        }
    }
}
