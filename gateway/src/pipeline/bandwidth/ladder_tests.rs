#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers of a simulation, which are small"
)]

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;

const HD: (u32, u32) = (1280, 720);

/// A ladder and its clock, at thirty pictures a second.
struct Run {
    ladder: Ladder,
    now: Instant,
    relief: usize,
}

impl Run {
    fn new(fps: f64) -> Self {
        Self { ladder: Ladder::new(fps, 2_000), now: Instant::now(), relief: 0 }
    }

    /// Runs with the bitrate that `kbps` gives for each frame. Returns what it began with, and
    /// every change with its frame.
    fn climb(&mut self, seconds: u64, mut kbps: impl FnMut(u64) -> u32) -> Vec<(u64, Rung)> {
        let mut changes: Vec<(u64, Rung)> = Vec::new();
        for frame in 0..seconds * 30 {
            self.now += Duration::from_micros(33_333);
            let rung = self.ladder.step(self.now, kbps(frame), self.relief, HD);
            if changes.last().is_none_or(|(_, last)| *last != rung) {
                changes.push((frame, rung));
            }
        }
        changes
    }
}

fn names(changes: &[(u64, Rung)]) -> Vec<(f64, u32)> {
    let fps = |rung: &Rung| 30.0 * f64::from(rung.keep.0) / f64::from(rung.keep.1);
    changes.iter().map(|(_, rung)| (fps(rung).round(), rung.size(HD.0, HD.1).1)).collect()
}

#[test]
fn the_frame_rate_gives_way_first_then_the_resolution_and_all_of_it_comes_back() {
    let mut run = Run::new(30.0);
    let down = run.climb(60, |frame| (2_000.0 * 0.997_f64.powf(frame as f64)) as u32);
    let steps =
        [(30.0, 720), (20.0, 720), (15.0, 720), (15.0, 540), (15.0, 360), (15.0, 270), (15.0, 180)];
    assert_eq!(names(&down), steps);
    let up = run.climb(60, |frame| (50.0 * 1.003_f64.powf(frame as f64)) as u32);
    assert_eq!(names(&up).into_iter().rev().collect::<Vec<_>>(), steps);
    assert!(
        up.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 36),
        "no faster than each 1.2 s: {up:?}"
    );
}

#[test]
fn a_fall_is_followed_at_once_and_a_dip_is_not() {
    let changes = Run::new(30.0).climb(10, |frame| if frame < 90 { 2_000 } else { 300 });
    assert_eq!(names(&changes), [(30.0, 720), (15.0, 540)]);
    assert!((90..=102).contains(&changes[1].0), "{changes:?}");
    let dips = Run::new(30.0).climb(10, |frame| if frame % 30 < 8 { 200 } else { 1_500 });
    assert_eq!(dips.len(), 1, "{dips:?}");
}

#[test]
fn what_an_estimator_does_around_a_steady_path_changes_nothing() {
    for seed in 0..200 {
        let mut random = SmallRng::seed_from_u64(seed);
        let path: u32 = random.random_range(30..2_000);
        let mut run = Run::new([15.0, 24.0, 30.0, 60.0][usize::try_from(seed).unwrap() % 4]);
        // Settled after half a minute, whatever came before.
        run.climb(5, |_| random.random_range(20..2_000));
        run.climb(30, |_| path);
        let changes = run.climb(60, |_| random.random_range(path * 85 / 100..=path));
        assert!(changes.len() <= 2, "seed {seed}, {path} kbit/s: {changes:?}");
    }
}

#[test]
fn any_path_ends_at_the_top_and_at_the_bottom_and_changes_seldom() {
    for seed in 0..100 {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut run = Run::new(30.0);
        let mut kbps: f64 = 1_000.0;
        let changes = run.climb(120, |_| {
            kbps = (kbps * random.random_range(0.97..1.031)).clamp(30.0, 2_000.0);
            kbps.round() as u32
        });
        let fast = changes
            .windows(3)
            .filter(|three| three[2].0 - three[0].0 < 60)
            .filter(|three| three[0].1 == three[2].1);
        assert_eq!(fast.count(), 0, "seed {seed}: there and back within two seconds: {changes:?}");
        assert_eq!(names(&run.climb(2, |_| 20)).last(), Some(&(15.0, 180)));
        assert_eq!(names(&run.climb(20, |_| 2_000)).last(), Some(&(30.0, 720)));
    }
}

#[test]
fn what_was_enough_for_all_of_it_gives_back_all_of_it() {
    let mut run = Run::new(30.0);
    assert_eq!(names(&run.climb(2, |_| 20)).last(), Some(&(15.0, 180)));
    let changes = run.climb(10, |_| 2_000);
    assert_eq!(names(&changes), [(15.0, 180), (30.0, 720)]);
    assert!((35..=38).contains(&changes[1].0), "{changes:?}");
    run.climb(2, |_| 20);
    // A dip costs what it was too low for, until that was enough again for long enough.
    let changes = run.climb(10, |frame| if frame == 20 { 500 } else { 2_000 });
    assert_eq!(names(&changes), [(15.0, 180), (15.0, 540), (30.0, 720)]);
    assert!((56..=59).contains(&changes[2].0), "{changes:?}");
}

#[test]
fn a_maximum_that_is_just_enough_is_enough_to_come_back() {
    let mut ladder = Ladder::new(60.0, 2_000);
    let now = Instant::now();
    let mut at = |frames: std::ops::Range<u64>, kbps| {
        frames
            .map(|frame| {
                ladder.step(now + Duration::from_millis(frame * 16), kbps, 0, (1920, 1080))
            })
            .last()
    };
    assert_ne!(at(0..120, 600), Some(Rung::TOP));
    assert_eq!(at(120..240, 2_000), Some(Rung::TOP));
}

#[test]
fn a_maximum_that_is_low_for_the_picture_is_no_congestion() {
    let mut ladder = Ladder::new(60.0, 2_000);
    let now = Instant::now();
    for frame in 0..600 {
        let rung = ladder.step(now + Duration::from_millis(frame * 16), 2_000, 0, (1920, 1080));
        assert_eq!(rung, Rung::TOP);
    }
}

#[test]
fn a_small_picture_is_not_made_tiny() {
    let mut ladder = Ladder::new(10.0, 2_000);
    let now = Instant::now();
    let size = |frame: u64, ladder: &mut Ladder| {
        ladder.step(now + Duration::from_millis(frame * 100), 1, 0, (320, 240)).size(320, 240)
    };
    let smallest = (0..100).map(|frame| size(frame, &mut ladder)).min().unwrap();
    assert_eq!(smallest, (120, 90));
    let tiny = (100..200)
        .map(|frame| ladder.step(now + Duration::from_millis(frame * 100), 1, 0, (64, 48)));
    assert!(tiny.skip(1).all(|rung| rung == Rung::TOP), "it came back to its own size");
}

#[test]
fn a_busy_machine_takes_rungs_too_down_to_half_the_sides() {
    let mut run = Run::new(30.0);
    let mut at = |relief, kbps| {
        run.relief = relief;
        names(&run.climb(20, |_| kbps)).last().copied()
    };
    let steps = [(30.0, 720), (20.0, 720), (15.0, 720), (15.0, 540), (15.0, 360), (15.0, 360)];
    assert!((0..6).all(|relief| at(relief, 2_000) == Some(steps[relief])));
    // The lower of the two counts.
    assert_eq!(
        [at(4, 20), at(0, 20), at(1, 300)],
        [Some((15.0, 180)), Some((15.0, 180)), Some((15.0, 360))]
    );
}
