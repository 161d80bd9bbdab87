//! Each scenario of the failover, drain and limit tests between processes, in virtual time; and
//! seeded courses of events.

use std::collections::VecDeque;
use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusBuilder;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::media::frame::testing::frame;
use crate::media::frame::{Frame, FrameQueue, Policy};
use crate::telemetry::ledger::{Hop, Reason};

type Worker = u32;

const SECOND: Duration = Duration::from_secs(1);
const LIMITS: Limits = Limits {
    reconnect: Duration::from_secs(30),
    idle: Duration::from_secs(300),
    time: Some(Duration::from_secs(3_600)),
    nearer: None,
};

/// A session, and what its actor would hold.
struct Simulation {
    core: Core,
    now: Instant,
    counts: Counts,
    actions: Vec<Action<Worker>>,
}

impl Simulation {
    fn new() -> Self {
        Self::with(LIMITS)
    }

    fn with(limits: Limits) -> Self {
        let now = Instant::now();
        Self {
            core: Core::new(now, limits, true),
            now,
            counts: Counts::default(),
            actions: Vec::new(),
        }
    }

    /// A session with a worker and a browser that sends.
    fn live() -> Self {
        Self::live_with(LIMITS)
    }

    fn live_with(limits: Limits) -> Self {
        let mut session = Self::with(limits);
        session.event(Event::Checked);
        session.event(Event::Admitted);
        session.event(Event::Connected(Counts::default()));
        session.event(Event::Found);
        session.after(STABLE_AFTER);
        session.actions.clear();
        session
    }

    /// What it does about this.
    fn event(&mut self, event: Event<Worker>) -> Vec<Action<Worker>> {
        let actions = self.core.handle(self.now, event);
        self.actions.extend_from_slice(&actions);
        actions
    }

    /// Time passes; frames go on coming, and deadlines are kept.
    fn after(&mut self, time: Duration) -> Vec<Action<Worker>> {
        let (end, mut actions) = (self.now + time, Vec::new());
        let mut look = self.now + SECOND;
        while self.now < end {
            let due = self.core.deadline().filter(|due| *due <= end).map(|due| due.max(self.now));
            self.now = due.unwrap_or(end).min(look).min(end);
            if due == Some(self.now) {
                actions.extend(self.event(Event::Deadline(ConnectStage::Silence)));
                if self.core.deadline() == due {
                    break;
                }
            }
            if self.now == look {
                look += SECOND;
                self.counts.heard += 30;
                self.counts.packets += 30;
                self.counts.frames += 30;
                actions.extend(self.event(Event::Counted(self.counts)));
            }
        }
        self.now = end;
        actions
    }

    fn ended(&self) -> Option<&EndReason> {
        self.actions
            .iter()
            .find_map(|action| if let Action::End(reason) = action { Some(reason) } else { None })
    }
}

#[test]
fn a_session_begins_with_its_first_check_and_the_slot_that_was_claimed() {
    let mut session = Simulation::new();
    assert_eq!(session.event(Event::Checked), [Action::AskAdmission { encrypted: false }]);
    assert_eq!(session.event(Event::Checked), [], "once");
    let begins =
        [Action::Begin, Action::Search(Previous::Nothing), Action::Notify(Notification::Stats)];
    assert_eq!(session.event(Event::Admitted), begins);
    assert_eq!(session.event(Event::Found), [Action::Attach], "the first worker is no failover");
    let connected = session.event(Event::Connected(Counts::default()));
    let asks = Action::AskAdmission { encrypted: true };
    assert_eq!(connected, [Action::NoteConnected, asks, Action::Notify(Notification::Stats)]);
    assert_eq!(session.event(Event::Admitted), [], "what comes second gives its slot back");
    assert_eq!(
        session.event(Event::Connected(Counts::default())),
        [],
        "back after an interruption"
    );
}

#[test]
fn who_never_checks_never_encrypts_or_never_sends_ends_in_time() {
    let mut session = Simulation::new();
    session.after(CONNECT_TIMEOUT - SECOND);
    assert_eq!(session.ended(), None);
    session.after(SECOND);
    assert_eq!(session.ended(), Some(&EndReason::NeverConnected(ConnectStage::Silence)));

    let mut session = Simulation::new();
    session.event(Event::Checked);
    session.after(DTLS_TIMEOUT);
    assert_eq!(session.ended(), Some(&EndReason::NoDtls(ConnectStage::Silence)));

    let mut session = Simulation::new();
    session.event(Event::Connected(Counts::default()));
    for second in 1..=20_u32 {
        let counts = Counts { heard: second.into(), ..Counts::default() };
        session.now += SECOND;
        session.event(Event::Counted(counts));
    }
    assert_eq!(session.ended(), Some(&EndReason::NoVideo { packets: false }));
    let notified = Action::Notify(Notification::NothingShown(Fault::NothingCame));
    assert_eq!(session.actions.iter().filter(|action| **action == notified).count(), 1, "once");
}

#[test]
fn refusals_end_it_with_their_reason() {
    for (event, refused) in [
        (Event::Refused(OfferRefused::Full(2)), OfferRefused::Full(2)),
        (Event::NoCodec, OfferRefused::NoCodec),
    ] {
        let mut session = Simulation::new();
        assert_eq!(session.event(event), [Action::End(EndReason::Refused(refused))]);
        assert_eq!(session.event(Event::Checked), [], "it has ended");
        assert_eq!(session.core.deadline(), None);
    }
}

#[test]
fn sessions_of_a_lost_worker_go_on_at_another() {
    let mut session = Simulation::live();
    let lost = session.event(Event::Detached(Detached::Lost, Some(1)));
    assert_eq!(lost, [Action::Search(Previous::Lost(1))]);
    session.after(SECOND * 2);
    let recovered = Action::Count(Failover::Recovered, SECOND * 2);
    assert_eq!(
        session.event(Event::Found),
        [Action::Attach, recovered, Action::Notify(Notification::TakenOver)]
    );
    assert!(
        session.core.deadline().is_some_and(|due| due > session.now + LIMITS.reconnect),
        "no limit is left"
    );
}

#[test]
fn a_client_is_told_once_that_there_is_no_worker_and_that_there_is_one_again() {
    let mut session = Simulation::live();
    session.event(Event::Detached(Detached::Lost, Some(1)));
    assert_eq!(session.event(Event::Waiting), [Action::Notify(Notification::Reconnecting)]);
    assert_eq!(session.event(Event::Waiting), []);
    assert_eq!(session.event(Event::FallingBehind), [], "it is not the handler that is slow");
    let found = session.event(Event::Found);
    assert_eq!(found[..2], [Action::Attach, Action::Notify(Notification::Reattached)]);
    assert_eq!(session.event(Event::FallingBehind), [Action::Notify(Notification::FallingBehind)]);
}

#[test]
fn a_session_without_a_worker_ends_at_the_limit() {
    let mut session = Simulation::live();
    session.event(Event::Detached(Detached::Lost, Some(1)));
    session.event(Event::Waiting);
    session.after(LIMITS.reconnect - SECOND);
    assert_eq!(session.ended(), None);
    let end = session.after(SECOND);
    assert_eq!(
        end,
        [Action::Count(Failover::Lost, LIMITS.reconnect), Action::End(EndReason::WorkerLost)]
    );

    let mut session = Simulation::new();
    session.event(Event::Connected(Counts::default()));
    session.event(Event::Admitted);
    session.event(Event::Waiting);
    assert_eq!(
        session.after(LIMITS.reconnect),
        [Action::End(EndReason::WorkerLost)],
        "it never had one to lose"
    );
}

#[test]
fn a_session_whose_workers_die_one_after_the_other_does_not_take_all_of_them() {
    let mut session = Simulation::live();
    for worker in 1..=MAX_LOSSES {
        session.event(Event::Detached(Detached::Lost, Some(worker)));
        assert_eq!(session.ended(), None, "{worker}");
        session.event(Event::Found);
    }
    let end = session.event(Event::Detached(Detached::Lost, Some(MAX_LOSSES + 1)));
    assert_eq!(
        end,
        [Action::Count(Failover::Lost, Duration::ZERO), Action::End(EndReason::WorkerLost)]
    );
}

#[test]
fn losses_far_apart_are_not_the_sessions_doing() {
    let mut session = Simulation::live();
    for worker in 1..=100 {
        session.after(STABLE_AFTER);
        session.event(Event::Detached(Detached::Lost, Some(worker)));
        session.event(Event::Found);
    }
    assert_eq!(session.ended(), None);
}

#[test]
fn a_draining_worker_is_left_when_the_next_one_is_ready() {
    let mut session = Simulation::live();
    assert_eq!(session.event(Event::Draining(1)), [Action::Search(Previous::Draining(1))]);
    assert_eq!(session.event(Event::Draining(1)), [], "a search runs");
    assert_eq!(session.event(Event::Found), [Action::Leave], "the next one is dialled first");
    assert_eq!(session.event(Event::Draining(1)), [], "it is being left");
    let moved = [
        Action::Attach,
        Action::Count(Failover::Moved, Duration::ZERO),
        Action::Notify(Notification::Moved),
    ];
    assert_eq!(session.event(Event::Detached(Detached::Left, Some(1))), moved);
    assert_eq!(session.event(Event::Draining(2)), [Action::Search(Previous::Draining(2))]);
}

#[test]
fn a_session_that_may_be_moved_looks_for_a_nearer_worker_now_and_then() {
    let every = Duration::from_secs(20);
    let mut session = Simulation::live_with(Limits { nearer: Some(every), ..LIMITS });
    assert_eq!(session.after(every - STABLE_AFTER - SECOND), []);
    assert_eq!(session.after(SECOND), [Action::SearchNearer]);
    assert_eq!(
        session.event(Event::Stay { draining: None, refused: false }),
        [],
        "no nearer one has room"
    );
    assert_eq!(session.after(every), [Action::SearchNearer]);
    assert_eq!(session.event(Event::Draining(1)), [], "the search tells when it has ended");
    let drains = session.event(Event::Stay { refused: false, draining: Some(1) });
    assert_eq!(drains, [Action::Search(Previous::Draining(1))]);
    assert_eq!(session.after(every), [], "it moves anyway");
    session.event(Event::Found);
    session.event(Event::Detached(Detached::Left, Some(1)));
    assert_eq!(session.after(every), [Action::SearchNearer]);
    assert_eq!(session.event(Event::Found), [Action::Leave]);
    let moved = [
        Action::Attach,
        Action::Count(Failover::Nearer, Duration::ZERO),
        Action::Notify(Notification::Moved),
    ];
    assert_eq!(session.event(Event::Detached(Detached::Left, Some(2))), moved);

    // Its worker dies while it looks: the search says that it stays, and another one begins.
    session.after(every);
    assert_eq!(session.event(Event::Detached(Detached::Lost, Some(3))), []);
    let stays = session.event(Event::Stay { draining: None, refused: false });
    assert_eq!(stays, [Action::Search(Previous::Nothing)]);
}

#[test]
fn a_draining_worker_that_dies_meanwhile_is_a_loss() {
    let mut session = Simulation::live();
    session.event(Event::Draining(1));
    assert_eq!(session.event(Event::Detached(Detached::Lost, Some(1))), [], "the search goes on");
    session.after(SECOND);
    let found = session.event(Event::Found);
    assert_eq!(
        found[1..],
        [Action::Count(Failover::Recovered, SECOND), Action::Notify(Notification::TakenOver)]
    );

    let mut session = Simulation::live();
    session.event(Event::Draining(1));
    session.event(Event::Found);
    let found = session.event(Event::Detached(Detached::Lost, Some(1)));
    assert_eq!(found[0], Action::Attach, "the next one was ready");
}

#[test]
fn a_worker_that_serves_again_is_not_left() {
    let mut session = Simulation::live();
    session.event(Event::Draining(1));
    assert_eq!(session.event(Event::Stay { draining: None, refused: false }), []);
    assert_eq!(
        session.event(Event::Draining(1)),
        [Action::Search(Previous::Draining(1))],
        "and later drains again"
    );
    let again = session.event(Event::Stay { refused: false, draining: Some(1) });
    assert_eq!(again, [Action::Search(Previous::Draining(1))], "or drains at once");
    session.event(Event::Detached(Detached::Lost, Some(1)));
    let stays = session.event(Event::Stay { draining: None, refused: false });
    assert_eq!(stays, [Action::Search(Previous::Nothing)], "it was lost after it said so");
}

#[test]
fn the_time_limit_counts_from_the_connection() {
    let mut session = Simulation::live();
    session.after(LIMITS.time.unwrap() - STABLE_AFTER - SECOND);
    assert_eq!(session.ended(), None);
    session.after(SECOND);
    assert_eq!(session.ended(), Some(&EndReason::TimeLimit(LIMITS.time.unwrap())));
}

#[test]
fn a_silent_browser_and_one_without_frames_end_also_without_a_worker() {
    let mut session = Simulation::live();
    session.event(Event::Detached(Detached::Lost, Some(1)));
    let counts = session.counts;
    for _ in 0..15 {
        session.now += SECOND;
        session.event(Event::Counted(counts));
    }
    assert_eq!(session.ended(), Some(&EndReason::Silent));
}

/// What an actor holds, kept beside the core: who does not obey it is wrong.
#[derive(Default)]
struct Held {
    slots: i32,
    link: Option<Worker>,
    leaving: bool,
    found: Option<Worker>,
    /// A slot that the first search has still to take.
    claimed: bool,
    /// Whether the search that runs began with that slot.
    search: Option<bool>,
    /// It looks only for a nearer worker.
    nearer: bool,
    begun: bool,
    ended: bool,
    /// The frame that waits for a worker, and those that the linked one has not answered.
    waiting: Option<Arc<FrameQueue>>,
    sent: VecDeque<Frame>,
}

impl Held {
    /// A frame is decoded; with a worker that is not being left, one may go there.
    fn frame(&mut self, now: Instant) {
        let policy = Policy::NewestWins;
        let waiting = self.waiting.get_or_insert_with(|| FrameQueue::new(Hop::Session, policy));
        waiting.push(now, frame(0)).unwrap();
        if self.link.is_some() && !self.leaving && self.sent.len() < 2 {
            self.sent.extend(waiting.pop());
        }
    }

    /// The link has ended, and what its worker has not answered is lost with it.
    fn detach(&mut self, lost: bool) -> Option<Worker> {
        self.leaving = false;
        for frame in self.sent.drain(..) {
            if lost { frame.ticket.dropped(Reason::WorkerLost) } else { frame.ticket.consumed() }
        }
        self.link.take()
    }

    fn obey(&mut self, action: &Action<Worker>) {
        assert!(!self.ended, "an action after the end: {action:?}");
        match action {
            Action::Begin => {
                assert!(!std::mem::replace(&mut self.begun, true), "twice");
                self.slots += 1;
                self.claimed = true;
            }
            Action::Search(previous) => {
                assert!(
                    self.search.is_none() && self.found.is_none(),
                    "two searches: {previous:?}"
                );
                assert_eq!(
                    self.link.is_some(),
                    matches!(previous, Previous::Draining(_)),
                    "{previous:?}"
                );
                self.search = Some(std::mem::take(&mut self.claimed));
                self.nearer = false;
            }
            Action::SearchNearer => {
                assert!(self.search.is_none() && self.found.is_none(), "two searches: nearer");
                assert!(self.link.is_some() && !self.leaving, "nearer than nothing");
                (self.search, self.nearer) = (Some(false), true);
            }
            Action::Attach => {
                assert!(self.link.is_none(), "two links");
                self.link = Some(self.found.take().expect("a worker that was found"));
            }
            Action::Leave => {
                assert!(self.link.is_some() && self.found.is_some(), "left for nobody");
                self.leaving = true;
            }
            Action::End(_) => {
                *self = Self { ended: true, ..Self::default() };
            }
            Action::AskAdmission { .. }
            | Action::NoteConnected
            | Action::Notify(_)
            | Action::Count(..) => {}
        }
    }
}

/// Thousands of events in any order that a gateway could see.
#[test]
fn any_course_holds_one_link_and_one_search_and_has_a_way_out() {
    for seed in 0..200 {
        let mut random = SmallRng::seed_from_u64(seed);
        let nearer = (seed % 2 == 0).then(|| Duration::from_secs(10));
        let mut session = Simulation::with(Limits { nearer, ..LIMITS });
        let (mut held, mut next) = (Held::default(), 1);
        let (mut checked, mut connected, mut asked) = (false, false, 0_u32);
        let recorder = PrometheusBuilder::new().build_recorder();
        let recording = metrics::set_default_local_recorder(&recorder);
        let mut frames = 0;
        for _ in 0..2_000 {
            let event = match random.random_range(0..12) {
                0 if !checked => {
                    checked = true;
                    Event::Checked
                }
                1 if !connected => {
                    connected = true;
                    Event::Connected(session.counts)
                }
                2 if asked > 0 => {
                    asked -= 1;
                    Event::Admitted
                }
                3 | 4 if held.search.is_some() => {
                    held.search = None;
                    held.found = Some(next);
                    next += 1;
                    Event::Found
                }
                5 if held.search == Some(false) && (held.link.is_none() || held.nearer) => {
                    held.search = None;
                    Event::Stay { draining: None, refused: false }
                }
                6 if held.search.is_some() => Event::Waiting,
                7 if held.link.is_some() && !held.leaving => Event::Draining(held.link.unwrap()),
                8 if held.leaving => Event::Detached(Detached::Left, held.detach(false)),
                9 if held.link.is_some() && random.random_range(0..4) == 0 => {
                    Event::Detached(Detached::Lost, held.detach(true))
                }
                10 => Event::FallingBehind,
                _ => {
                    session.now += Duration::from_millis(random.random_range(0..4_000));
                    session.counts.heard += 1;
                    session.counts.packets += 1;
                    session.counts.frames += 1;
                    if held.begun {
                        frames += 1;
                        held.frame(session.now);
                    }
                    if session.core.deadline().is_some_and(|due| due <= session.now) {
                        Event::Deadline(ConnectStage::Silence)
                    } else {
                        Event::Counted(session.counts)
                    }
                }
            };
            let described = format!("seed {seed}: {event:?}");
            for action in session.event(event) {
                asked += u32::from(matches!(action, Action::AskAdmission { .. }));
                held.obey(&action);
            }
            assert!(held.slots <= 1, "{described}");
            if held.ended {
                assert_eq!(session.core.deadline(), None, "{described}");
                break;
            }
            // Somebody will say something: a deadline, a search, an admission, a worker, or the
            // browser.
            let goes_on = session.core.deadline().is_some() || held.search.is_some() || asked > 0;
            assert!(goes_on || held.link.is_some() || connected, "no way out, {described}");
            assert_eq!(
                held.begun && held.link.is_none() && !held.ended,
                held.begun && held.search.is_some() && held.link.is_none(),
                "without a link a search runs, {described}"
            );
        }
        // However it went: each frame has one line in the books.
        drop(held);
        drop(recording);
        let ended = recorder.handle().render();
        let lines = ended.lines().filter(|line| {
            line.starts_with("reframe_frames_dropped_total{")
                || line.starts_with("reframe_frames_consumed_total")
        });
        let counts = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u32>().ok());
        assert_eq!(counts.sum::<u32>(), frames, "seed {seed}");
    }
}
