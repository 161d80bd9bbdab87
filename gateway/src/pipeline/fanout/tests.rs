//! One encoding and many viewers.

use tokio::sync::{mpsc, watch};

use super::*;
use crate::codec::Codec;
use crate::media::encoded::OutFrame;

const MS: Duration = Duration::from_millis(1);
const KEYFRAME: Kind = Kind { keyframe: true, droppable: false };
const BASE: Kind = Kind { keyframe: false, droppable: false };

fn viewer(fanout: &Fanout, queue: usize) -> (Arc<Output>, mpsc::Receiver<OutFrame>) {
    let (frames, sent) = mpsc::channel(queue);
    // The estimate stays as it was when its sender is gone.
    let output = Arc::new(Output::new(frames, watch::channel(2_000).1, Codec::Vp8));
    fanout.add(Arc::clone(&output));
    (output, sent)
}

fn forward(fanout: &Fanout, now: Instant, kind: Kind) {
    // A picture id of 15 bits, as the packetiser writes it.
    let payload = Bytes::from_static(&[0x90, 0x80, 0x81, 0x05, 7, 7, 7]);
    let (bytes, payloads) = (payload.len(), &[payload]);
    fanout.forward(now, Unit { payloads, bytes, kind, timestamp: 3_000, leave_at: None });
}

#[test]
fn each_viewer_gets_each_unit_and_a_slow_one_costs_the_others_nothing() {
    let (fanout, now) = (Fanout::default(), Instant::now());
    assert!(!fanout.is_watched());
    let mut fast: Vec<_> = (0..9).map(|_| viewer(&fanout, 64)).collect();
    let (slow, mut slow_sent) = viewer(&fanout, 1);
    forward(&fanout, now, KEYFRAME);
    (0..20).for_each(|_| forward(&fanout, now, BASE));
    for (_, sent) in &mut fast {
        let sent: Vec<_> = std::iter::from_fn(|| sent.try_recv().ok()).collect();
        assert_eq!(sent.len(), 21);
        assert_eq!(sent[20].payloads[0].as_ref(), [0x90, 0x80, 0x81, 0x05, 7, 7, 7]);
    }
    assert_eq!(std::iter::from_fn(|| slow_sent.try_recv().ok()).count(), 1);
    slow.end();
    assert!(fanout.take(|_| false).is_empty());
    assert_eq!(fanout.outputs.lock().len(), 9);
}

#[test]
fn requests_for_keyframes_are_merged() {
    let (fanout, start) = (Fanout::default(), Instant::now());
    let viewers: Vec<_> = (0..50).map(|_| viewer(&fanout, 256)).collect();
    assert!(fanout.takes_keyframe(start), "those who join get theirs at once");
    forward(&fanout, start, KEYFRAME);
    let mut keyframes = 0;
    // Four seconds, in which every one of them asks all the time.
    for frame in 1..=120 {
        let now = start + frame * 33 * MS;
        viewers.iter().for_each(|(output, _)| output.lost_reference());
        let keyframe = fanout.takes_keyframe(now);
        keyframes += u32::from(keyframe);
        forward(&fanout, now, if keyframe { KEYFRAME } else { BASE });
    }
    assert!((3..=8).contains(&keyframes), "{keyframes}");
}

#[test]
fn without_viewers_nobody_asks() {
    let (fanout, now) = (Fanout::default(), Instant::now());
    let (output, sent) = viewer(&fanout, 4);
    output.end();
    fanout.take(|_| false);
    assert!(!fanout.is_watched() && !fanout.takes_keyframe(now));
    forward(&fanout, now, KEYFRAME);
    assert_eq!(sent.len(), 0);
}
