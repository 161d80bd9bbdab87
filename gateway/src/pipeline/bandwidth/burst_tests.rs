use super::*;

const MS: Duration = Duration::from_millis(1);

/// Bursts of `packets`, 33 ms apart, whose packets of 1 156 bytes (9.6 kbit on the wire) come
/// `apart` from each other.
fn bursts(count: u32, packets: u32, apart: Duration) -> Vec<Report> {
    let burst = |n: u32| {
        (0..packets).map(move |packet| Report {
            sent: MS * 33 * n + Duration::from_micros(100) * packet,
            came: Some(MS * 5_000 + MS * 33 * n + apart * packet),
            bytes: 1_156,
        })
    };
    (0..count).flat_map(burst).collect()
}

fn carried(reports: impl IntoIterator<Item = Report>) -> Option<f64> {
    let mut bursts = Bursts::new(20e6);
    bursts.note(reports);
    bursts.carried().map(f64::round)
}

#[test]
fn a_link_of_four_megabits_is_measured_as_one() {
    assert_eq!(carried(bursts(6, 8, Duration::from_micros(2_400))), Some(4_000_000.0));
    // In pieces, as feedback comes.
    let mut pieces = Bursts::new(20e6);
    for piece in bursts(6, 8, Duration::from_micros(2_400)).chunks(3) {
        pieces.note(piece.iter().copied());
    }
    assert_eq!(pieces.carried().map(f64::round), Some(4_000_000.0));
}

#[test]
fn few_packets_and_few_bursts_say_nothing() {
    assert_eq!(carried(bursts(10, 4, MS)), None);
    assert_eq!(carried(bursts(3, 8, MS)), None, "the third may go on");
    assert!(carried(bursts(4, 8, MS)).is_some());
}

#[test]
fn a_burst_with_a_loss_does_not_count() {
    let mut reports = bursts(10, 8, MS);
    reports.iter_mut().step_by(8).for_each(|report| report.came = None);
    assert_eq!(carried(reports), None);
}

#[test]
fn one_that_stood_still_and_one_that_was_torn_apart_do_not_decide() {
    let mut reports = bursts(6, 8, Duration::from_micros(4_800));
    for report in &mut reports[8..16] {
        report.came = Some(MS * 6_000);
    }
    reports[23].came = reports[23].came.map(|came| came + MS * 500);
    assert_eq!(carried(reports), Some(2_000_000.0));
}

#[test]
fn what_comes_at_once_came_within_a_tick() {
    assert_eq!(carried(bursts(6, 8, Duration::ZERO)), Some(7.0 * 9_600.0 * 4_000.0));
}

#[test]
fn old_bursts_do_not_count() {
    let mut known = Bursts::new(20e6);
    known.note(bursts(6, 8, MS));
    assert!(known.carried().is_some());
    known.note([Report { sent: MS * 2_500, came: Some(MS * 9_000), bytes: 100 }]);
    assert_eq!(known.carried(), None);
}

#[test]
fn one_that_was_sent_slowly_measures_nothing_unless_it_is_fast_all_the_same() {
    let slowly = |apart: u32| {
        let mut reports = bursts(6, 8, Duration::from_micros(4_000));
        for (n, report) in (0..).zip(&mut reports) {
            report.sent += Duration::from_micros(u64::from(apart) * (n % 8));
        }
        reports
    };
    assert_eq!(carried(slowly(1_000)), Some(2_400_000.0));
    assert_eq!(carried(slowly(3_000)), None);
    let mut fast = Bursts::new(2e6);
    fast.note(slowly(3_000));
    assert!(fast.carried().is_some());
}
