//! A seeded sequence of some thousand events, with a model of the encoder and of the browser, and
//! what must hold whatever happens.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::tests::{core, picture};
use super::*;

const PICTURES: u32 = 5_000;

/// What happened: a run in which nothing happened proves nothing.
#[derive(Debug, Default)]
struct Counts {
    encoded: u32,
    keyframes: u32,
    repeats: u32,
    skipped: u32,
    overflows: u32,
    lost: u32,
}

struct Simulation {
    random: SmallRng,
    core: Core,
    now: Instant,
    /// The last result, which a repeat shows again.
    last: Picture,
    /// Whether the next picture that is encoded has to be a keyframe.
    keyframe_due: bool,
    /// What the browser shows, and at which size.
    shown: Option<(Picture, (u32, u32))>,
    /// The number of the last picture that the encoder may refer to, and of the browser's last one.
    references: (u32, u32),
    counts: Counts,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        Self {
            random: SmallRng::seed_from_u64(seed),
            core: core(),
            now: Instant::now(),
            last: picture(4, 4),
            keyframe_due: false,
            shown: None,
            references: (0, 0),
            counts: Counts::default(),
        }
    }

    /// One picture comes; `number` is never 0.
    fn step(&mut self, number: u32) {
        self.now += Duration::from_millis(self.random.random_range(10..50));
        if self.random.random_bool(0.02) {
            self.core.keyframe_requested();
            self.keyframe_due = true;
        }
        let new = self.random.random_bool(0.5);
        if new {
            self.last = picture(4, 4);
        }
        let (picture, queue_has_room) = (self.last.clone(), self.random.random_bool(0.9));
        let due = Due { at: self.now, new, size: (4, 4) };
        // For a while each: all is well, the path is narrow, the machine is busy.
        let (path_kbps, relief) = [(2_000, 0), (400, 0), (2_000, 4)][(number / 300 % 3) as usize];
        let request = Request { picture: &picture, due, path_kbps, relief, queue_has_room };
        match self.core.decide(self.now, request) {
            Decision::Skip(Reason::Overflow) => {
                assert!(!new && !queue_has_room && !self.keyframe_due);
                self.counts.overflows += 1;
            }
            Decision::Skip(reason) => {
                assert!(matches!(reason, Reason::Busy | Reason::Congested));
                self.counts.skipped += 1;
            }
            Decision::Repeat(attempt) => {
                assert!(!new && queue_has_room && !self.keyframe_due && !attempt.keyframe);
                assert!(self.shows(&picture, attempt.target), "what is not shown is repeated");
                self.counts.repeats += 1;
                // Not every encoder has repeats.
                let made = if self.random.random_bool(0.8) { Made::Repeat } else { self.make() };
                self.finish(number, picture, attempt, made);
            }
            Decision::Encode(attempt) => {
                assert_eq!(attempt.keyframe, std::mem::take(&mut self.keyframe_due));
                let again = !new && !attempt.keyframe && self.shows(&picture, attempt.target);
                assert!(!again, "what is shown is encoded again");
                self.counts.encoded += 1;
                self.counts.keyframes += u32::from(attempt.keyframe);
                let made = self.make();
                self.finish(number, picture, attempt, made);
            }
        }
        assert_eq!(self.core.keyframe_due, self.keyframe_due);
    }

    fn make(&mut self) -> Made {
        if self.random.random_bool(0.9) { Made::Frame } else { Made::Nothing }
    }

    fn shows(&self, picture: &Picture, target: Target) -> bool {
        let at_size = |size: (u32, u32)| size == (target.width, target.height);
        self.shown.as_ref().is_some_and(|(shown, size)| shown.is(picture) && at_size(*size))
    }

    fn finish(&mut self, number: u32, picture: Picture, attempt: Attempt, made: Made) {
        let (encoder, browser) = &mut self.references;
        let (keyframe, size) = (attempt.keyframe, (attempt.target.width, attempt.target.height));
        let refers_to = *encoder;
        match made {
            Made::Frame => {
                *encoder = number;
                self.shown = None;
            }
            Made::Nothing => self.shown = None,
            Made::Repeat => {}
        }
        // 0: an error, or a unit that cannot be sent.
        let bytes = self.random.random_range(0..4_000_u32).saturating_sub(200) as usize;
        let bytes = if made == Made::Nothing { 0 } else { bytes };
        let unit = self.core.encoded(attempt, made, bytes);
        if bytes == 0 || self.random.random_bool(0.05) {
            self.core.lost(unit);
            self.keyframe_due |= keyframe || made == Made::Frame;
            self.counts.lost += 1;
            return;
        }
        if made == Made::Frame {
            assert!(keyframe || refers_to == *browser, "it refers to what the browser never saw");
            *browser = number;
        }
        self.core.sent(unit, picture.clone());
        self.shown = Some((picture, size));
    }
}

#[test]
fn each_picture_is_decided_once_and_what_is_sent_can_be_decoded() {
    for seed in 0..4 {
        let mut simulation = Simulation::new(seed);
        (1..=PICTURES).for_each(|number| simulation.step(number));
        let Counts { encoded, keyframes, repeats, skipped, overflows, lost } = simulation.counts;
        assert_eq!(encoded + repeats + skipped + overflows, PICTURES, "seed {seed}");
        let all = [keyframes, repeats, skipped, overflows, lost];
        assert!(all.iter().all(|count| *count > 20), "seed {seed}: {:?}", simulation.counts);
    }
}
