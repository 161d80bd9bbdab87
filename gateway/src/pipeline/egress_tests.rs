//! The task itself: releases in, encoded frames out.

use std::collections::VecDeque;

use bytes::Bytes;

use super::releases::testing::release;
use super::*;
use crate::codec::{Codec, CodecError, Encoded, Picture};
use crate::media::limits::BitrateLimits;

/// What an encoder makes of each picture; records whether each was to be a keyframe.
struct Script {
    made: VecDeque<Result<Option<&'static [u8]>, ()>>,
    forced: mpsc::Sender<bool>,
}

impl Encoder for Script {
    fn encode(&mut self, _: &Picture, _: u64, forced: bool) -> Result<Option<Encoded>, CodecError> {
        self.forced.try_send(forced).unwrap();
        let made = self
            .made
            .pop_front()
            .unwrap()
            .map_err(|()| CodecError::Size { width: 2, height: 2 })?;
        Ok(made.map(|data| Encoded {
            data: Bytes::from_static(data),
            keyframe: forced,
            droppable: false,
        }))
    }

    fn repeat(&mut self, _: u64) -> Option<Encoded> {
        Some(Encoded { data: Bytes::from_static(AGAIN), keyframe: false, droppable: true })
    }

    fn set_bitrate(&mut self, _: u32) {}
}

/// What this encoder has for a picture that is shown already.
const AGAIN: &[u8] = &[0, 0, 0, 1, 0x01, 9];
const SLICE: &[u8] = &[0, 0, 0, 1, 0x41, 1, 2, 3];

fn egress(
    script: &[Result<Option<&'static [u8]>, ()>],
    forced: mpsc::Sender<bool>,
    out: mpsc::Sender<OutFrame>,
) -> Egress {
    let limits = BitrateLimits { start: 1_500, min: 100, max: 2_000 };
    Egress {
        releases: Arc::new(PacedQueue::new(1)),
        encoder: Box::new(Script { made: script.iter().copied().collect(), forced }),
        schedule: Arc::default(),
        throttle: Throttle::new(limits, 30.0),
        available_kbps: watch::channel(2_000).1,
        packetiser: Packetiser::new(Codec::H264, false),
        out: Some(out),
        fanout: Arc::default(),
        offset: 7,
        keyframe_due: Arc::default(),
        stop: CancellationToken::new(),
    }
}

#[tokio::test]
async fn what_is_shown_already_is_encoded_once() {
    let (forced, mut requests) = mpsc::channel(8);
    let (out, mut sent) = mpsc::channel(8);
    let egress = egress(&[Ok(Some(SLICE)); 4], forced, out);
    let (releases, keyframe_due) = (Arc::clone(&egress.releases), Arc::clone(&egress.keyframe_due));
    let (stop, running) = (egress.stop.clone(), tokio::spawn(egress.run()));
    let [one, other] = [0, 1].map(|n| Picture { width: 2, height: 2, data: vec![n; 6].into() });
    let mut encoded = Vec::new();
    // Each: the picture, and whether it is a result or the last one again.
    for (n, (picture, repeat, wanted)) in [
        (&one, false, false),
        (&one, true, false),
        (&one, true, false),
        (&other, true, false),
        (&other, true, false),
    ]
    .into_iter()
    .chain([(&one, false, false), (&one, true, true)])
    .enumerate()
    {
        if wanted {
            keyframe_due.notify_one();
            // It is taken before the next release is.
            tokio::task::yield_now().await;
        }
        releases.push(PacedPicture { picture: picture.clone(), ..release(n as u64, repeat) });
        let frame = sent.recv().await.unwrap();
        assert_eq!(frame.payloads.len(), 1);
        encoded.push(frame.payloads[0].len() == SLICE.len() - 4);
    }
    assert_eq!(encoded, [true, false, false, true, false, true, true]);
    let requests: Vec<_> = std::iter::from_fn(|| requests.try_recv().ok()).collect();
    assert_eq!(requests, [false, false, false, true], "the last because a keyframe was asked for");
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn after_a_lost_picture_comes_a_keyframe() {
    /// An access unit delimiter, which the payload format has no place for.
    const NOTHING: &[u8] = &[0, 0, 0, 1, 0x09, 0x10];
    // Each: what the encoder makes, whether the queue behind is full, and whether the next must be
    // a keyframe.
    let script = [
        (Ok(Some(SLICE)), false, false),
        (Ok(None), false, false),
        (Ok(Some(NOTHING)), false, true),
        (Ok(None), false, true),
        (Ok(Some(SLICE)), true, true),
        (Err(()), false, true),
        (Ok(Some(SLICE)), false, false),
        (Ok(Some(SLICE)), false, false),
    ];
    let (forced, mut requests) = mpsc::channel(1);
    let (out, mut sent) = mpsc::channel(1);
    let egress = egress(&script.map(|(made, ..)| made), forced, out.clone());
    let (releases, stop) = (Arc::clone(&egress.releases), egress.stop.clone());
    let running = tokio::spawn(egress.run());
    let mut expected = false;
    for (n, (_, full, then)) in script.into_iter().enumerate() {
        let frame = || OutFrame {
            payloads: vec![],
            timestamp: 0,
            leave_at: None,
            stamp: None,
            ticket: None,
        };
        if full {
            out.try_send(frame()).ok().unwrap();
        }
        releases.push(release(n as u64, false));
        assert_eq!(requests.recv().await, Some(expected), "picture {n}");
        expected = then;
        while sent.try_recv().is_ok() {}
    }
    stop.cancel();
    running.await.unwrap();
}
