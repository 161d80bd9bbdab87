//! A thread that is overloaded, and then is not.

use super::*;

/// What remains of decoding and encoding after each step of asking, and of encoding after each
/// rung, at 30 fps.
type Left = ([f64; 5], [f64; 5]);
/// Browsers that ignore what they are asked for.
const DEAF: Left = ([1.0; 5], [1.0, 0.667, 0.5, 0.281, 0.125]);
/// Browsers that send what they are asked for: of the rungs, only smaller pictures make a
/// difference.
const OBEDIENT: Left = ([1.0, 0.667, 0.5, 0.333, 0.25], [1.0, 1.0, 1.0, 0.562, 0.25]);

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a thousand at most")]
/// A thread that decodes for a share of its time, and encodes for another if nothing is left out.
/// Returns the steps: asked, and rungs.
fn run(
    relief: &mut Relief,
    now: &mut Instant,
    seconds: u32,
    (asked, rungs): Left,
    (decode, encode): (f64, f64),
) -> Vec<(usize, usize)> {
    let mut work = Work::default();
    relief.looks.clear();
    let mut all = vec![relief.level];
    for _ in 0..seconds * 4 {
        *now += LOOK_INTERVAL;
        let level = all[all.len() - 1];
        let decoding = (decode * asked[level.asked]).min(1.0);
        let wanted = encode * asked[level.asked] * rungs[level.rungs];
        let encoding = wanted.min(1.0 - decoding);
        work.worked += LOOK_INTERVAL.mul_f64(decoding + encoding);
        work.encoded += LOOK_INTERVAL.mul_f64(encoding);
        let pictures = (1_000.0 * encoding / wanted).round() as u64;
        (work.pictures, work.left_out) =
            (work.pictures + pictures, work.left_out + 1_000 - pictures);
        let now_at = relief.look(*now, work);
        if now_at != level {
            all.push(now_at);
        }
    }
    all.into_iter().map(|ReliefLevel { asked, rungs }| (asked, rungs)).collect()
}

#[test]
fn it_finds_what_fits_stays_there_and_comes_back() {
    let mut now = Instant::now();
    let mut relief = Relief::new(now);
    assert_eq!(run(&mut relief, &mut now, 10, DEAF, (0.2, 0.7)), [(0, 0)]);
    assert_eq!(run(&mut relief, &mut now, 60, DEAF, (0.4, 1.4)), [(0, 0), (1, 1), (2, 2), (2, 3)]);
    assert_eq!(run(&mut relief, &mut now, 60, DEAF, (0.2, 0.7)), [(2, 3), (2, 2), (1, 1), (0, 0)]);
}

#[test]
fn browsers_that_send_less_are_asked_for_as_much_as_fits() {
    let mut now = Instant::now();
    let mut relief = Relief::new(now);
    let down = [(0, 0), (1, 1), (2, 2), (2, 3), (2, 4), (3, 4)];
    assert_eq!(run(&mut relief, &mut now, 60, OBEDIENT, (0.6, 7.0)), down);
    // With so little to do, the size comes back first.
    let up = [(3, 4), (3, 3), (3, 2), (2, 2), (1, 1), (0, 0)];
    assert_eq!(run(&mut relief, &mut now, 60, OBEDIENT, (0.2, 0.7)), up);
}

#[test]
fn what_does_not_help_is_not_done() {
    let mut now = Instant::now();
    let mut relief = Relief::new(now);
    let asked = [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)];
    assert_eq!(
        run(&mut relief, &mut now, 30, DEAF, (0.9, 0.15)),
        asked,
        "it decodes: pictures stay as they are"
    );
    // A neighbour has left.
    let back = run(&mut relief, &mut now, 60, DEAF, (0.7, 0.1));
    assert_eq!(back, [(4, 0), (3, 0), (2, 0), (1, 0), (0, 0)]);
    assert_eq!(
        run(&mut relief, &mut now, 60, DEAF, (0.6, 4.0)).last(),
        Some(&(4, 4)),
        "and there it ends"
    );
    // The sessions that get pictures back have left; only decoding remains.
    let back = run(&mut relief, &mut now, 30, DEAF, (0.7, 0.15));
    assert_eq!(back[..5], [(4, 4), (4, 3), (4, 2), (4, 1), (4, 0)]);
    assert_eq!(run(&mut relief, &mut now, 90, DEAF, (0.2, 0.5)).last(), Some(&(0, 0)));
}

#[test]
fn what_comes_back_is_tried_ever_more_seldom() {
    let mut now = Instant::now();
    let mut relief = Relief::new(now);
    // At the third step the load is 0.69, which looks as if the second would do; there it is 1.
    let steps: Vec<_> =
        run(&mut relief, &mut now, 400, DEAF, (0.3, 1.4)).iter().map(|(_, rungs)| *rungs).collect();
    assert_eq!(steps[..4], [0, 1, 2, 3]);
    assert!(
        steps[4..].chunks(2).all(|pair| pair[0] == 2 && pair.get(1).is_none_or(|step| *step == 3)),
        "{steps:?}"
    );
    assert!((6..=30).contains(&steps.len()), "eighty without backoff: {steps:?}");
}

#[test]
fn looks_that_come_at_once_say_nothing() {
    let mut now = Instant::now();
    let mut relief = Relief::new(now);
    now += UP_AFTER[0];
    for look in 1..10 {
        let worked = Duration::from_micros(look);
        let work = Work { worked, encoded: worked, left_out: look, ..Work::default() };
        assert_eq!(relief.look(now + worked, work), ReliefLevel::default());
    }
}

#[test]
fn less_than_all_of_the_time_is_not_too_much() {
    let mut now = Instant::now();
    let mut relief = Relief::new(now);
    let mut worked = Duration::ZERO;
    for look in 0..400_u32 {
        now += LOOK_INTERVAL;
        // Two looks in three are full.
        worked += if look % 3 < 2 { LOOK_INTERVAL } else { LOOK_INTERVAL / 2 };
        let work = Work { worked, encoded: worked, left_out: look.into(), ..Work::default() };
        assert_eq!(relief.look(now, work), ReliefLevel::default());
    }
}

#[test]
fn a_little_too_much_costs_what_does_not_fit_and_no_more() {
    let mut now = Instant::now();
    let mut relief = Relief::new(now);
    // A tenth more work than time, then a third.
    assert_eq!(run(&mut relief, &mut now, 60, OBEDIENT, (0.3, 0.8)), [(0, 0)]);
    assert_eq!(run(&mut relief, &mut now, 60, OBEDIENT, (0.4, 0.95)).last(), Some(&(1, 1)));
    // And back, with a tenth too much again.
    assert_eq!(run(&mut relief, &mut now, 60, OBEDIENT, (0.3, 0.8)).last(), Some(&(0, 0)));
}

#[test]
fn packets_that_wait_too_long_are_too_much_whatever_is_left_out() {
    let mut now = Instant::now();
    let mut relief = Relief::new(now);
    let mut work = Work::default();
    for _ in 0..20 {
        now += LOOK_INTERVAL;
        work.worked += LOOK_INTERVAL;
        work.pictures += 10;
        work.late += 1;
        relief.look(now, work);
    }
    assert!(!relief.level().is_none());
}

#[test]
fn a_hiccup_and_a_standstill_of_the_process_are_not_too_much() {
    let mut now = Instant::now();
    let mut relief = Relief::new(now);
    let mut work = Work::default();
    for look in 0..40 {
        // Once packets are late, and once nothing runs for ten seconds, within a task.
        let passed = if look == 30 { Duration::from_secs(10) } else { LOOK_INTERVAL };
        now += passed;
        work.worked += passed;
        work.pictures += 10;
        work.late += u64::from(look == 10 || look == 30);
        assert!(relief.look(now, work).is_none(), "look {look}");
    }
}
