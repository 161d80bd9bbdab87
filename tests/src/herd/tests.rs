use std::time::Duration;

use super::gateway::{Bounds, Costs};
use super::page::Timing;
use super::simulation::{Cause, Course, Scene, run};
use super::source::Source;

const PAGES: usize = 1_000;
/// The smallest machine that is worth a thousand pages.
const CORES: usize = 2;
const SEEDS: u64 = 20;
/// CPU time on one core, of a development build: some 20 ms a page were measured, its first
/// pictures among them (`tests/e2e/herd.rs` prints what it finds).
const COSTS: Costs = Costs {
    answer: Duration::from_millis(5),
    connect: Duration::from_millis(10),
    stranger: Duration::from_micros(300),
};
const WINDOW: Duration = Duration::from_millis(100);

fn scene(cause: Cause, seed: Option<u64>) -> Scene {
    Scene { cause, pages: PAGES, cores: CORES, costs: COSTS, seed }
}

/// For as long as the gateway has work for all of them, if no core ever rests.
fn work() -> Duration {
    let restarts = Timing::of_the_page();
    let restarts = restarts.silent_looks - restarts.restart_looks;
    let each = COSTS.answer + COSTS.connect + COSTS.stranger * restarts;
    each.mul_f64(PAGES as f64 / CORES as f64)
}

/// The most that may come in a window: as many as come in it when all come evenly within `pause`,
/// as many again of those that were refused meanwhile, and four standard deviations for chance.
fn even(pause: Duration) -> usize {
    let most = 2 * PAGES as u128 * WINDOW.as_micros() / pause.as_micros();
    usize::try_from(most + 4 * most.isqrt()).expect("a few")
}

/// Runs it with every seed, and once without jitter: that must break the bound of the busiest
/// window, or this test proves nothing.
#[track_caller]
fn hold(cause: Cause, within: Duration, at_once: usize, offers: u32) {
    for seed in 0..SEEDS {
        let course = run(scene(cause, Some(seed)));
        let context =
            format!("{cause:?}, seed {seed}, bounds {within:?}, {at_once}, {offers}: {course}");
        assert_eq!(
            course.failed, 0,
            "pages gave up, is `busy` among PASSING of outcome.js? {context}"
        );
        assert_eq!(course.live.len(), PAGES, "{context}");
        assert!(
            course.live.last().is_some_and(|last| *last <= within),
            "not live in time: {context}"
        );
        assert!(course.busiest(WINDOW) <= at_once, "too many together: {context}");
        assert!(course.most_offers <= offers, "one tries too often: {context}");
        assert!(
            course.most_unchecked <= Bounds::of_the_gateway().unchecked,
            "one is crowded out: {context}"
        );
    }
    let together = run(scene(cause, None));
    assert!(
        together.busiest(WINDOW) > at_once,
        "{cause:?} without jitter, bound {at_once}: {together}"
    );
}

/// Who is refused has a queue before it that keeps the gateway at work for longer than the first
/// pauses, so no core rests for long before the last ones come, and these come within the longest
/// pause.
fn all_within(noticed: Duration) -> Duration {
    noticed + work() + longest_pause()
}

fn longest_pause() -> Duration {
    Timing::of_the_page().pauses.into_iter().max().expect("there are some")
}

/// Each waits half of its pauses on the whole. Nobody is so lucky as to wait a third.
fn most_offers(within: Duration) -> u32 {
    let timing = Timing::of_the_page();
    let mut waited = Duration::ZERO;
    let pauses = (0..).map(|n: usize| timing.pauses[n.min(timing.pauses.len() - 1)] / 3);
    let tries = pauses.take_while(|pause| {
        waited += *pause;
        waited < within
    });
    u32::try_from(tries.count()).expect("a few") + 1
}

#[test]
fn pages_of_a_killed_gateway_come_apart_and_are_live() {
    let timing = Timing::of_the_page();
    let within = all_within(timing.noticed_within());
    // Spread by their looks and by the pause.
    hold(Cause::Killed, within, even(timing.pauses[0]), most_offers(within));
}

#[test]
fn pages_that_were_closed_at_the_same_moment_come_apart_and_are_live() {
    let within = all_within(Duration::ZERO);
    hold(Cause::Closed, within, even(Timing::of_the_page().pauses[0]), most_offers(within));
}

#[test]
fn pages_that_are_asked_to_leave_come_apart_and_are_live() {
    let timing = Timing::of_the_page();
    let within = timing.spread + all_within(Duration::ZERO);
    hold(Cause::Leaves, within, even(timing.pauses[0] + timing.spread), most_offers(within));
}

#[test]
fn pages_that_were_refused_together_come_apart_and_are_live() {
    let duration = |seconds: &u32| Duration::from_secs((*seconds).into());
    let range = Bounds::of_the_gateway().retry_after;
    let within = work() + 2 * duration(range.end());
    // The busiest are those that were told the shortest time: one in this many, within as long
    // again.
    let values = u32::try_from(range.clone().count()).expect("a few");
    let at_once = even(duration(range.start()) * values);
    hold(Cause::Refused, within, at_once, 8);
}

#[test]
fn the_same_seed_takes_the_same_course() {
    let course = || run(scene(Cause::Killed, Some(7)));
    let (first, second): (Course, Course) = (course(), course());
    assert_eq!((first.offers, first.live), (second.offers, second.live));
}

#[test]
fn constants_are_read_as_both_languages_write_them() {
    let text = "const A_B = 1;\nconst A = { x: 2_000, y: false };\nconst LIST = [1, 2_5];\nconst WORDS = [\"a\", \"b\"];\n\
                /// A const A_C.\npub const N: usize = 3;\nconst R: Range<u32> = 1..=4;\nconst D:
                /// Duration = Duration::from_secs(5);";
    let source = Source { name: "text", text };
    assert_eq!((source.number("A_B"), source.number("N"), source.range("R")), (1, 3, 1..=4));
    assert_eq!(
        (source.millis_at("A", "x"), source.seconds("D")),
        (Duration::from_secs(2), Duration::from_secs(5))
    );
    assert_eq!(source.list_of_millis("LIST"), [1, 25].map(Duration::from_millis));
    assert_eq!(source.list_of_texts("WORDS"), ["a", "b"]);
}

#[test]
#[should_panic(expected = "text has no constant A_B")]
fn a_constant_that_is_gone_is_missed() {
    drop(Source { name: "text", text: "const A_BC = 1; let A_B = 2;" }.constant("A_B").to_owned());
}
