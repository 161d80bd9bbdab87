use super::*;

const MS: Duration = Duration::from_millis(1);

/// Bursts of `packets`, 33 ms apart, whose packets of 1 156 bytes (9.6 kbit on the wire) come
/// `apart` from each other.
fn bursts(count: u32, packets: u32, apart: Duration) -> Vec<PacketResult> {
    let burst = |n: u32| {
        (0..packets).map(move |packet| PacketResult {
            departure: MS * 33 * n + Duration::from_micros(100) * packet,
            arrival: Some(MS * 5_000 + MS * 33 * n + apart * packet),
            bytes: 1_156,
        })
    };
    (0..count).flat_map(burst).collect()
}

fn capacity(packets: impl IntoIterator<Item = PacketResult>) -> Option<f64> {
    let mut bursts = Bursts::new(20e6);
    bursts.note(packets);
    bursts.capacity().map(f64::round)
}

#[test]
fn a_link_of_four_megabits_is_measured_as_one() {
    assert_eq!(capacity(bursts(6, 8, Duration::from_micros(2_400))), Some(4_000_000.0));
    // In pieces, as feedback comes.
    let mut pieces = Bursts::new(20e6);
    for piece in bursts(6, 8, Duration::from_micros(2_400)).chunks(3) {
        pieces.note(piece.iter().copied());
    }
    assert_eq!(pieces.capacity().map(f64::round), Some(4_000_000.0));
}

#[test]
fn few_packets_and_few_bursts_say_nothing() {
    assert_eq!(capacity(bursts(10, 4, MS)), None);
    assert_eq!(capacity(bursts(3, 8, MS)), None, "the third may go on");
    assert!(capacity(bursts(4, 8, MS)).is_some());
}

#[test]
fn a_burst_with_a_loss_does_not_count() {
    let mut packets = bursts(10, 8, MS);
    packets.iter_mut().step_by(8).for_each(|packet| packet.arrival = None);
    assert_eq!(capacity(packets), None);
}

#[test]
fn one_that_stood_still_and_one_that_was_torn_apart_do_not_decide() {
    let mut packets = bursts(6, 8, Duration::from_micros(4_800));
    for packet in &mut packets[8..16] {
        packet.arrival = Some(MS * 6_000);
    }
    packets[23].arrival = packets[23].arrival.map(|arrival| arrival + MS * 500);
    assert_eq!(capacity(packets), Some(2_000_000.0));
}

#[test]
fn what_comes_at_once_came_within_a_tick() {
    assert_eq!(capacity(bursts(6, 8, Duration::ZERO)), Some(7.0 * 9_600.0 * 4_000.0));
}

#[test]
fn old_bursts_do_not_count() {
    let mut known = Bursts::new(20e6);
    known.note(bursts(6, 8, MS));
    assert!(known.capacity().is_some());
    known.note([PacketResult { departure: MS * 2_500, arrival: Some(MS * 9_000), bytes: 100 }]);
    assert_eq!(known.capacity(), None);
}

#[test]
fn one_that_was_sent_slowly_measures_nothing_unless_it_is_fast_all_the_same() {
    let slowly = |apart: u32| {
        let mut packets = bursts(6, 8, Duration::from_micros(4_000));
        for (n, packet) in (0..).zip(&mut packets) {
            packet.departure += Duration::from_micros(u64::from(apart) * (n % 8));
        }
        packets
    };
    assert_eq!(capacity(slowly(1_000)), Some(2_400_000.0));
    assert_eq!(capacity(slowly(3_000)), None);
    let mut fast = Bursts::new(2e6);
    fast.note(slowly(3_000));
    assert!(fast.capacity().is_some());
}
