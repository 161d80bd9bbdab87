//! Hop 9 of 10: released frames in, encoded and packetised frames out.
//! In:    [`Releases`], one waiting (of a generator, three: they are early).   Out: `peer`'s queue of `OutFrame`s.
//! Runs:  the session's codec arbiter; nothing but codecs runs there, and decoders come first (`turns`).   Full: a newer release takes the waiting one's
//!        place, `frames_dropped_total{hop="egress",reason="skipped"}`; where the network carries too little some are
//!        left out (`reason="congested"`), and all made smaller, as also where there is too
//!        little time (`reason="busy"`, `relief`): the encoder only ever sees what can be sent.
//! Clock: 90 kHz ticks from the pacer; a random offset is added here (RFC 3550, section 5.1).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::codec::payload::Packetiser;
use crate::codec::{Encoder, Picture, scale};
use crate::media::encoded::OutFrame;
use crate::media::frame::CaptureStamp;
use crate::pipeline::bandwidth::{Due, Target, Throttle};
use crate::telemetry::books::{Hop, Reason, Ticket};
use crate::telemetry::{self, Stage};
use crate::threads::turns::Turns;

/// A picture whose moment has come.
#[derive(Debug)]
pub(crate) struct Release {
    pub(crate) picture: Picture,
    /// 90 kHz, grows from release to release.
    pub(crate) pts: u64,
    pub(crate) released: Instant,
    /// When its packets leave; `None` is at once.
    pub(crate) leave_at: Option<Instant>,
    /// When the browser captured it, if it said so and this is not a re-emission.
    pub(crate) stamp: Option<CaptureStamp>,
    /// None for a re-emission.
    pub(crate) ticket: Option<Ticket>,
}

/// What waits between the pacer and the encoder.
pub(crate) struct Releases {
    bound: usize,
    waiting: Mutex<VecDeque<Release>>,
    changed: Notify,
}

impl Releases {
    /// `bound` of them may wait.
    pub(crate) fn new(bound: usize) -> Self {
        Self { bound, waiting: Mutex::default(), changed: Notify::new() }
    }

    /// Puts a release in. Where there is no room a re-emission gives way to what waits, and a result takes the place of
    /// the oldest.
    pub(crate) fn push(&self, mut release: Release) {
        if let Some(ticket) = &mut release.ticket {
            ticket.enter(Hop::Egress);
        }
        let mut waiting = self.waiting.lock();
        let full = waiting.len() >= self.bound;
        if full && release.ticket.is_none() {
            return;
        }
        let lost = full.then(|| waiting.pop_front()).flatten();
        waiting.push_back(release);
        drop(waiting);
        if let Some(ticket) = lost.and_then(|release| release.ticket) {
            ticket.dropped(Reason::Skipped);
        }
        self.changed.notify_one();
    }

    fn pop(&self) -> Option<Release> {
        let mut waiting = self.waiting.lock();
        let next = waiting.pop_front();
        if !waiting.is_empty() {
            self.changed.notify_one();
        }
        next
    }
}

/// One session's encoding half.
pub(crate) struct Egress {
    pub(crate) releases: Arc<Releases>,
    pub(crate) encoder: Box<dyn Encoder>,
    /// Of the thread that this runs on.
    pub(crate) turns: Arc<Turns>,
    pub(crate) throttle: Throttle,
    /// What the path to the browser carries, kbit/s.
    pub(crate) carries: watch::Receiver<u32>,
    pub(crate) packetiser: Packetiser,
    pub(crate) out: mpsc::Sender<OutFrame>,
    /// Notified when the browser lost its reference.
    pub(crate) keyframe_due: Arc<Notify>,
    pub(crate) stop: CancellationToken,
}

impl Egress {
    /// Runs until stopped.
    pub(crate) async fn run(mut self) {
        let offset = rand::random::<u32>();
        let mut force_keyframe = false;
        // What the browser shows: a picture as it was released, and the size at which it was sent.
        let mut shown: Option<(Picture, (u32, u32))> = None;
        loop {
            tokio::select! {
                () = self.releases.changed.notified() => {}
                // Remembered until the next picture that is shown: re-emission sees to one each few intervals.
                () = self.keyframe_due.notified() => { force_keyframe = true; continue }
                () = self.stop.cancelled() => return,
            }
            let turn = self.turns.encode().await;
            let Some(release) = self.releases.pop() else { continue };
            let Release { picture, pts, released, leave_at, stamp, ticket } = release;
            let started = Instant::now();
            let carries = *self.carries.borrow();
            let relief = self.turns.relief().rungs;
            self.encoder.hurry(relief > 0);
            let due =
                Due { at: leave_at.unwrap_or(released), new: ticket.is_some(), size: (picture.width, picture.height) };
            let admitted = self.throttle.admit(started, carries, relief, due);
            let Target { kbps, width, height } = match admitted {
                Ok(target) => target,
                Err(reason) => {
                    if let Some(ticket) = ticket {
                        ticket.dropped(reason);
                    }
                    continue;
                }
            };
            let wanted = std::mem::take(&mut force_keyframe);
            let same =
                |(picture_shown, size): &(Picture, (u32, u32))| picture_shown.is(&picture) && *size == (width, height);
            let again = !wanted && ticket.is_none() && shown.as_ref().is_some_and(same);
            // A unit that finds no room has a picture id all the same, and a browser would wait for it.
            if again && self.out.capacity() == 0 {
                continue;
            }
            let repeat = if again { self.encoder.repeat(pts) } else { None };
            let free = repeat.is_some();
            let encoded = match repeat {
                Some(unit) => Ok(Some(unit)),
                None => {
                    self.encoder.set_bitrate(kbps);
                    self.encoder.encode(&scale(&picture, width, height), pts, wanted)
                }
            };
            // Whoever asked for a keyframe still waits for it; and after a picture that the encoder has taken and the
            // browser will never see, the next must not refer to it. Nothing refers to a repeat.
            let if_lost = wanted || !(free || matches!(encoded, Ok(None)));
            let encoded = encoded.unwrap_or_else(|error| {
                warn!(%error, picture.width, picture.height, "frame not encoded");
                None
            });
            let ended = Instant::now();
            if !free {
                turn.encoded(ended.saturating_duration_since(started));
            }
            match &ticket {
                Some(ticket) => ticket.stage(Stage::Encode, started, ended),
                None if free => {}
                None => telemetry::stage(Stage::Encode, ended.saturating_duration_since(started)),
            }
            if !free {
                shown = None;
            }
            let payloads = encoded.map_or_else(Vec::new, |unit| self.packetiser.packetise(&unit.data, unit.keyframe));
            self.throttle.sent(payloads.iter().map(Bytes::len).sum());
            if payloads.is_empty() {
                force_keyframe |= if_lost;
                if let Some(ticket) = ticket {
                    ticket.dropped(Reason::Codec);
                }
                continue;
            }
            let repeated = ticket.is_none();
            #[expect(clippy::cast_possible_truncation, reason = "RTP time is modulo 2^32")]
            let timestamp = offset.wrapping_add(pts as u32);
            match self.out.try_send(OutFrame { payloads, timestamp, leave_at, stamp, ticket }) {
                Ok(()) => {
                    shown = Some((picture, (width, height)));
                    if repeated {
                        telemetry::frame_repeated();
                    }
                }
                Err(mpsc::error::TrySendError::Full(frame)) => {
                    force_keyframe |= if_lost;
                    if let Some(mut ticket) = frame.ticket {
                        ticket.enter(Hop::Peer);
                        ticket.dropped(Reason::Overflow);
                    }
                }
                Err(mpsc::error::TrySendError::Closed(_)) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::codec::{Codec, CodecError, Encoded};
    use crate::media::limits::Limits;

    /// What an encoder makes of each picture; tells whether each was to be a keyframe.
    struct Script {
        made: VecDeque<Result<Option<&'static [u8]>, ()>>,
        forced: mpsc::Sender<bool>,
    }

    impl Encoder for Script {
        fn encode(&mut self, _: &Picture, _: u64, forced: bool) -> Result<Option<Encoded>, CodecError> {
            self.forced.try_send(forced).unwrap();
            let made = self.made.pop_front().unwrap().map_err(|()| CodecError::Size { width: 2, height: 2 })?;
            Ok(made.map(|data| Encoded { data: Bytes::from_static(data), keyframe: forced }))
        }

        fn repeat(&mut self, _: u64) -> Option<Encoded> {
            Some(Encoded { data: Bytes::from_static(AGAIN), keyframe: false })
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
        let limits = Limits { start: 1_500, min: 100, max: 2_000 };
        Egress {
            releases: Arc::new(Releases::new(1)),
            encoder: Box::new(Script { made: script.iter().copied().collect(), forced }),
            turns: Arc::default(),
            throttle: Throttle::new(limits, 30.0),
            carries: watch::channel(2_000).1,
            packetiser: Packetiser::new(Codec::H264, false),
            out,
            keyframe_due: Arc::default(),
            stop: CancellationToken::new(),
        }
    }

    #[tokio::test]
    async fn what_is_shown_already_is_encoded_once() {
        let (forced, mut told) = mpsc::channel(8);
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
            releases.push(Release { picture: picture.clone(), ..release(n as u64, repeat) });
            let frame = sent.recv().await.unwrap();
            assert_eq!(frame.payloads.len(), 1);
            encoded.push(frame.payloads[0].len() == SLICE.len() - 4);
        }
        assert_eq!(encoded, [true, false, false, true, false, true, true]);
        let told: Vec<_> = std::iter::from_fn(|| told.try_recv().ok()).collect();
        assert_eq!(told, [false, false, false, true], "the last because a keyframe was asked for");
        stop.cancel();
        running.await.unwrap();
    }

    #[tokio::test]
    async fn after_a_lost_picture_comes_a_keyframe() {
        /// An access unit delimiter, which the payload format has no place for.
        const NOTHING: &[u8] = &[0, 0, 0, 1, 0x09, 0x10];
        // Each: what the encoder makes, whether the queue behind is full, and whether the next must be a keyframe.
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
        let (forced, mut told) = mpsc::channel(1);
        let (out, mut sent) = mpsc::channel(1);
        let egress = egress(&script.map(|(made, ..)| made), forced, out.clone());
        let (releases, stop) = (Arc::clone(&egress.releases), egress.stop.clone());
        let running = tokio::spawn(egress.run());
        let mut expected = false;
        for (n, (_, full, then)) in script.into_iter().enumerate() {
            let frame = || OutFrame { payloads: vec![], timestamp: 0, leave_at: None, stamp: None, ticket: None };
            if full {
                out.try_send(frame()).ok().unwrap();
            }
            releases.push(release(n as u64, false));
            assert_eq!(told.recv().await, Some(expected), "picture {n}");
            expected = then;
            while sent.try_recv().is_ok() {}
        }
        stop.cancel();
        running.await.unwrap();
    }

    fn release(pts: u64, repeat: bool) -> Release {
        let picture = Picture { width: 2, height: 2, data: Bytes::from_static(&[0; 6]) };
        let released = Instant::now();
        Release {
            picture,
            pts,
            released,
            leave_at: None,
            stamp: None,
            ticket: (!repeat).then(|| Ticket::open(released)),
        }
    }

    #[test]
    fn a_result_replaces_and_a_repeat_gives_way() {
        let releases = Releases::new(1);
        releases.push(release(1, true));
        releases.push(release(2, false));
        releases.push(release(3, true));
        assert_eq!(releases.pop().map(|r| r.pts), Some(2));
        releases.push(release(4, false));
        releases.push(release(5, false));
        assert_eq!(releases.pop().map(|r| r.pts), Some(5));
        assert!(releases.pop().is_none());
    }

    #[test]
    fn early_ones_wait_in_order() {
        let releases = Releases::new(3);
        (1..=4).for_each(|pts| releases.push(release(pts, false)));
        releases.push(release(5, true));
        let left: Vec<_> = std::iter::from_fn(|| releases.pop()).map(|release| release.pts).collect();
        assert_eq!(left, [2, 3, 4]);
    }
}
