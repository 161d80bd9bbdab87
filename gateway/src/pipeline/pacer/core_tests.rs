//! Simulations in virtual time: a camera, a handler with jitter, and the pacer between them.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// One release as the browser would see it.
#[derive(Clone, Copy, Debug)]
struct Shown {
    at: Duration,
    pts: u64,
    /// The result's capture time; `None` for a repeat.
    captured: Option<Duration>,
    /// How long the result waited.
    held: Duration,
}

/// Feeds results (arrival, capture time), sorted by arrival, into a pacer until `end`; newest wins,
/// as in skip mode.
fn run(fps: f64, results: &[(Duration, Duration)], end: Duration) -> Vec<Shown> {
    let start = Instant::now();
    let mut pacer = Pacer::new(fps);
    let mut shown = Vec::new();
    let mut arrivals = results.iter().copied().peekable();
    let mut waiting: Option<(Duration, Duration)> = None;
    let mut now = Duration::ZERO;
    while now <= end {
        while arrivals.peek().is_some_and(|(arrival, _)| *arrival <= now) {
            waiting = arrivals.next();
        }
        match pacer.poll(start + now, waiting.is_some()) {
            Action::Release => {
                let (arrived, captured) = waiting.take().unwrap();
                let pts = pacer.released(start + now, captured);
                shown.push(Shown { at: now, pts, captured: Some(captured), held: now - arrived });
            }
            Action::Repeat { pts, .. } => {
                shown.push(Shown { at: now, pts, captured: None, held: Duration::ZERO })
            }
            Action::Wait(until) => {
                let until = until.map(|at| at - start);
                assert!(until.is_none_or(|until| until > now), "a wait that does not advance time");
                let next = [until, arrivals.peek().map(|(arrival, _)| *arrival)]
                    .into_iter()
                    .flatten()
                    .min();
                let Some(next) = next else { break };
                now = next;
            }
        }
    }
    assert!(shown.windows(2).all(|pair| pair[0].pts < pair[1].pts), "time stamps grow");
    shown
}

fn ms(ms: f64) -> Duration {
    Duration::from_secs_f64(ms / 1e3)
}

/// A camera at `fps` for `seconds`, each result `delay` ms after its capture plus up to `jitter`
/// ms.
fn camera(seed: u64, fps: f64, seconds: f64, delay: f64, jitter: f64) -> Vec<(Duration, Duration)> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut results = Vec::new();
    let mut latest = Duration::ZERO;
    for frame in 0.. {
        let captured = Duration::from_secs_f64(f64::from(frame) / fps);
        if captured.as_secs_f64() >= seconds {
            return results;
        }
        latest = latest.max(captured + ms(delay + random.random_range(0.0..=jitter)));
        results.push((latest, captured));
    }
    results
}

fn results(shown: &[Shown]) -> Vec<Shown> {
    shown.iter().copied().filter(|one| one.captured.is_some()).collect()
}

#[test]
fn at_the_target_rate_nothing_waits_and_nothing_repeats() {
    for seed in 0..20 {
        for fps in [24.0, 29.97, 30.0, 60.0] {
            let jitter = 1_000.0 / fps * 0.45;
            let input = camera(seed, fps, 60.0, 8.0, jitter);
            let shown = run(fps, &input, input.last().unwrap().0);
            assert_eq!(shown.len(), input.len(), "seed {seed}, {fps} fps");
            assert!(
                shown.iter().all(|one| one.held.is_zero() && one.captured.is_some()),
                "seed {seed}, {fps} fps"
            );
        }
    }
}

#[test]
fn below_the_target_results_do_not_wait_and_repeats_fill_the_gaps() {
    for seed in 0..20 {
        for (input_fps, least) in [(5.0, 29.0), (10.0, 29.0), (15.0, 29.0), (20.0, 24.0)] {
            let input = camera(seed, input_fps, 60.0, 200.0, 10.0);
            let shown = run(30.0, &input, input.last().unwrap().0);
            let of_results = results(&shown);
            assert_eq!(of_results.len(), input.len(), "every result is shown");
            // A repeat may have gone out an instant before; even then the result waits for no slot
            // of the repeat's.
            assert!(
                of_results.iter().all(|one| one.held.is_zero()),
                "seed {seed}, {input_fps} fps"
            );
            let rate = shown.len() as f64 / 59.5;
            assert!((least..=30.7).contains(&rate), "seed {seed}: {rate} fps shown of {input_fps}");
        }
    }
}

#[test]
fn above_the_target_the_rate_is_held_and_the_newest_wins() {
    for seed in 0..20 {
        let input = camera(seed, 60.0, 60.0, 5.0, 12.0);
        let shown = run(30.0, &input, ms(60_000.0));
        // 30 to 30.5 fps: the target and its slack.
        assert!((1_795..=1_832).contains(&results(&shown).len()), "{}", results(&shown).len());
        let order: Vec<_> = shown.iter().filter_map(|one| one.captured).collect();
        assert!(order.windows(2).all(|pair| pair[0] < pair[1]), "in order");
        assert!(shown.iter().all(|one| one.held <= ms(34.0)), "nothing grows old");
    }
}

#[test]
fn no_drift_over_an_hour() {
    // At the target itself, and with crystals that are off either way.
    for (fps, camera_fps) in
        [(29.97, 29.97), (60.0, 60.0), (30.0, 30.003), (30.0, 29.997), (29.97, 30.0)]
    {
        let input = camera(1, camera_fps, 3_600.0, 8.0, 4.0);
        let shown = run(fps, &input, input.last().unwrap().0);
        assert_eq!(
            shown.len(),
            input.len(),
            "{camera_fps} into {fps}: each shown once, none repeated"
        );
        assert!(shown.iter().all(|one| one.held.is_zero()), "{camera_fps} into {fps}: none held");
        let last = shown.last().unwrap();
        assert_eq!(
            last.pts,
            ticks(last.captured.unwrap()),
            "time stamps are capture times to the end"
        );
    }
}

#[test]
fn the_rate_is_held_for_an_hour() {
    for fps in [29.97, 60.0] {
        // Twice the rate comes in, so that the pacer alone decides when.
        let input = camera(1, fps * 2.0, 3_600.0, 5.0, 3.0);
        let shown = results(&run(fps, &input, ms(3_600_000.0))).len() as f64 / 3_600.0;
        assert!(
            shown >= fps * 0.999 && shown <= fps * (1.0 + 1.02 / f64::from(SLACK - 1)),
            "{shown} of {fps}"
        );
    }
}

#[test]
fn a_stall_is_bridged_by_repeats_and_leaves_no_burst() {
    let mut input = camera(7, 30.0, 10.0, 8.0, 2.0);
    // The handler hangs for two seconds; what it then answers comes at once.
    for (arrival, captured) in &mut input {
        if (ms(4_000.0)..ms(6_000.0)).contains(captured) {
            *arrival = ms(6_000.0) + *captured / 1_000;
        }
    }
    let shown = run(30.0, &input, ms(10_000.0));
    let during = shown.iter().filter(|one| one.at > ms(4_050.0) && one.at < ms(6_000.0));
    assert!((56..=59).contains(&during.clone().count()), "{} repeats", during.clone().count());
    assert!(during.clone().all(|one| one.captured.is_none()));
    let after = shown.iter().filter(|one| one.at >= ms(6_000.0) && one.at < ms(6_100.0)).count();
    assert!(after <= 6, "{after} releases in the 100 ms after the stall");
    for second in 0..9 {
        let from = ms(f64::from(second) * 1_000.0);
        let rate = shown.iter().filter(|one| one.at >= from && one.at < from + ms(1_000.0)).count();
        assert!(rate <= 33, "second {second}: {rate}");
    }
}

#[test]
fn frames_that_waited_for_lost_packets_leave_no_gaps() {
    for seed in 0..20 {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut input = camera(seed, 30.0, 60.0, 60.0, 4.0);
        // As at 50 ms and 5 % loss: three frames in ten are complete a round trip later, and those
        // after them wait.
        let mut latest = Duration::ZERO;
        for (arrival, _) in &mut input {
            let asked_again = if random.random_bool(0.3) { ms(110.0) } else { Duration::ZERO };
            latest = latest.max(*arrival + asked_again);
            *arrival = latest;
        }
        let shown = run(30.0, &input, ms(60_000.0));
        let rate = shown.len() as f64 / 60.0;
        assert!((29.0..=31.0).contains(&rate), "seed {seed}: {rate} fps shown");
        assert!(results(&shown).iter().all(|one| one.held <= ms(34.0)), "nothing grows old");
    }
}

/// It comes evenly again: its own rate is what is shown, as before the stall.
#[test]
fn a_stall_of_a_camera_below_the_target_is_over_within_two_seconds() {
    for fps in [21.0, 25.0, 28.5] {
        let mut input = camera(3, fps, 20.0, 8.0, 1.0);
        for (arrival, _) in
            input.iter_mut().filter(|(arrival, _)| (ms(5_000.0)..ms(5_200.0)).contains(arrival))
        {
            *arrival = ms(5_200.0);
        }
        let shown = run(30.0, &input, input.last().unwrap().0);
        let repeats = |from, to| {
            shown
                .iter()
                .filter(|one| one.captured.is_none() && (ms(from)..ms(to)).contains(&one.at))
                .count()
        };
        assert_eq!((repeats(0.0, 5_000.0), repeats(7_000.0, 20_000.0)), (0, 0), "{fps}");
        assert!(repeats(5_000.0, 7_000.0) > 0, "{fps}");
    }
}

#[test]
fn time_stamps_follow_capture_time_through_repeats() {
    let input = camera(3, 5.0, 20.0, 230.0, 30.0);
    let shown = run(30.0, &input, input.last().unwrap().0);
    for one in results(&shown) {
        let capture = ticks(one.captured.unwrap());
        // Repeats run ahead of a late result by at most its lateness.
        assert!(
            one.pts >= capture && one.pts - capture <= ticks(ms(40.0)),
            "{} for {capture}",
            one.pts
        );
    }
}

#[test]
fn before_the_first_result_there_is_nothing_to_show() {
    assert_eq!(Pacer::new(30.0).poll(Instant::now(), false), Action::Wait(None));
}
