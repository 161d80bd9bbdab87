//! Each decision by itself, in virtual time.

use super::*;

const FRAME: Duration = Duration::from_micros(33_333);
const KEYFRAME: Kind = Kind { keyframe: true, droppable: false };
const BASE: Kind = Kind { keyframe: false, droppable: false };
const TOP: Kind = Kind { keyframe: false, droppable: true };
/// Bytes of a unit of 2 Mbit/s at 30 fps.
const UNIT: usize = 2_000_000 / 8 / 30;

/// A viewer, and the conditions of the next unit.
struct Viewer {
    core: Core,
    now: Instant,
    /// Wraps early.
    timestamp: u32,
    path_kbps: u32,
    has_room: bool,
}

impl Viewer {
    fn joined() -> Self {
        let now = Instant::now();
        let (timestamp, path_kbps) = (u32::MAX - 10_000, 2_000);
        Self { core: Core::new(now), now, timestamp, path_kbps, has_room: true }
    }

    /// One that has its first keyframe.
    fn watching() -> Self {
        let mut viewer = Self::joined();
        assert!(viewer.core.asks(viewer.now));
        assert_eq!(viewer.unit(KEYFRAME), Decision::Forward);
        viewer
    }

    /// A unit comes one frame later.
    fn unit(&mut self, kind: Kind) -> Decision {
        self.now += FRAME;
        self.timestamp = self.timestamp.wrapping_add(3_000);
        let (timestamp, path) = (self.timestamp, self.path_kbps);
        self.core.decide(self.now, kind, timestamp, UNIT, path, self.has_room)
    }

    fn seconds(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }
}

#[test]
fn one_that_joins_asks_at_once_and_gets_nothing_before_its_keyframe() {
    let mut viewer = Viewer::joined();
    assert!(viewer.core.asks(viewer.now));
    for _ in 0..10 {
        assert_eq!(viewer.unit(BASE), Decision::Skip(Skipped::AwaitsKeyframe));
        assert!(!viewer.core.asks(viewer.now), "it has asked");
    }
    assert_eq!(viewer.unit(KEYFRAME), Decision::Forward);
    for kind in [BASE, TOP, BASE] {
        assert_eq!(viewer.unit(kind), Decision::Forward);
    }
    viewer.seconds(5);
    assert!(!viewer.core.asks(viewer.now), "nothing is missing");
    assert_eq!(viewer.core.left_out(), 0);
}

#[test]
fn a_keyframe_that_does_not_come_is_asked_for_again() {
    let mut viewer = Viewer::joined();
    let asked = (0..150).filter(|_| {
        viewer.unit(BASE);
        viewer.core.asks(viewer.now)
    });
    assert_eq!(asked.count(), 5, "in five seconds");
}

#[test]
fn a_narrow_path_costs_the_second_layer_first() {
    let mut viewer = Viewer::watching();
    viewer.path_kbps = 1_200;
    let (mut base, mut top) = (0, 0);
    for _ in 0..150 {
        base += u32::from(viewer.unit(BASE) == Decision::Forward);
        top += u32::from(viewer.unit(TOP) == Decision::Forward);
    }
    assert_eq!(base, 150, "half of 2 Mbit/s fits into 1.2");
    assert!((15..80).contains(&top), "{top}");
    assert_eq!(u32::from(viewer.core.left_out()), 150 - top);
    assert_eq!(viewer.core.wanted(viewer.now, viewer.path_kbps, 2_000), Quality::Full);
}

#[test]
fn a_path_that_does_not_carry_the_first_layer_gets_the_smaller_encoding() {
    let mut viewer = Viewer::watching();
    viewer.path_kbps = 400;
    let began = viewer.now;
    while viewer.core.wanted(viewer.now, viewer.path_kbps, 2_000) == Quality::Full {
        // What it asks for comes with the next unit.
        let kind = if viewer.core.asks(viewer.now) { KEYFRAME } else { BASE };
        viewer.unit(kind);
        assert!(viewer.now < began + Duration::from_secs(10));
    }
    viewer.core.moved(viewer.now, Quality::Small);
    assert_eq!(viewer.unit(BASE), Decision::Skip(Skipped::AwaitsKeyframe), "of another encoding");
    assert!(viewer.core.asks(viewer.now));
}

#[test]
fn a_full_queue_costs_no_more_than_that_unit_if_nothing_refers_to_it() {
    let mut viewer = Viewer::watching();
    viewer.has_room = false;
    assert_eq!(viewer.unit(TOP), Decision::Skip(Skipped::Overflow));
    viewer.has_room = true;
    assert_eq!((viewer.unit(BASE), viewer.core.left_out()), (Decision::Forward, 1));
    viewer.has_room = false;
    assert_eq!(viewer.unit(BASE), Decision::Skip(Skipped::Overflow));
    viewer.has_room = true;
    assert_eq!(viewer.unit(TOP), Decision::Skip(Skipped::AwaitsKeyframe));
    viewer.seconds(1);
    assert!(viewer.core.asks(viewer.now));
    assert_eq!(viewer.unit(KEYFRAME), Decision::Forward);
}

#[test]
fn it_goes_up_again_when_all_is_well_and_waits_longer_each_time_that_it_fails() {
    let mut viewer = Viewer::watching();
    let mut waited = Vec::new();
    for _ in 0..3 {
        viewer.core.moved(viewer.now, Quality::Small);
        let down = viewer.now;
        assert_eq!(viewer.core.wanted(viewer.now + LAST_PATIENCE, 400, 2_000), Quality::Small);
        while viewer.core.wanted(viewer.now, 2_000, 2_000) == Quality::Small {
            viewer.seconds(1);
        }
        waited.push((viewer.now - down).as_secs());
        viewer.core.moved(viewer.now, Quality::Full);
        viewer.unit(KEYFRAME);
    }
    assert_eq!(waited, [15, 30, 60]);
}

#[test]
fn of_another_encoding_it_gets_only_what_is_newer() {
    let mut viewer = Viewer::watching();
    viewer.core.moved(viewer.now, Quality::Small);
    // That one is two pictures behind.
    viewer.timestamp = viewer.timestamp.wrapping_sub(2 * 3_000);
    for _ in 0..2 {
        assert_eq!(viewer.unit(KEYFRAME), Decision::Skip(Skipped::AwaitsKeyframe));
    }
    assert_eq!(viewer.unit(KEYFRAME), Decision::Forward);
}

#[test]
fn requests_of_its_client_are_the_same_trouble() {
    let mut viewer = Viewer::watching();
    for _ in 0..100 {
        viewer.core.lost_reference(viewer.now);
    }
    assert_eq!(viewer.core.trouble.len(), MOST_TROUBLE, "bounded");
    let wanted = viewer.core.wanted(viewer.now, 2_000, 2_000);
    assert_eq!(wanted, Quality::Small);
}
