//! The task itself: packets in, decoded frames out.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use actix::{Actor, Context, Handler};

use super::core::BACKLOG_AGE;
use super::*;
use crate::codec::{CodecError, Picture};
use crate::media::frame::Policy;
use crate::media::limits::VideoLimits;
use crate::media::packet::{HeaderExtensions, Packet};
use crate::telemetry::ledger::Hop;

/// A frame of one packet.
fn packet(number: u16, keyframe: bool) -> Packet {
    Packet {
        ssrc: 1,
        sequence: number,
        timestamp: u32::from(number) * 3_000,
        marker: true,
        marks: HeaderExtensions::default(),
        payload: bytes::Bytes::from_static(if keyframe { &[0x10, 0x10] } else { &[0x10, 0x11] }),
    }
}

#[tokio::test(start_paused = true)]
async fn a_backlog_is_as_old_as_its_oldest_packet() {
    let (queue, mut out) = (PacketQueue::default(), VecDeque::new());
    let mut drain = || {
        let (lost, since) = queue.drain(&mut out);
        (
            lost,
            since.map(|since| since.elapsed()),
            out.drain(..).map(|packet| packet.sequence).collect::<Vec<_>>(),
        )
    };
    let ms = Duration::from_millis;
    queue.push(packet(1, true));
    tokio::time::advance(ms(40)).await;
    queue.push(packet(2, false));
    assert_eq!(drain(), (false, Some(ms(40)), vec![1, 2]));
    // A silence does not make packets old.
    tokio::time::advance(ms(40)).await;
    queue.push(packet(3, false));
    assert_eq!(drain(), (false, Some(ms(0)), vec![3]));
    assert_eq!(drain(), (false, None, vec![]));
}

/// Shows a picture of each unit.
struct Counting(Arc<AtomicUsize>);

impl Decoder for Counting {
    fn decode(&mut self, _: &[u8]) -> Result<Option<Picture>, CodecError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Some(Picture { width: 2, height: 2, data: bytes::Bytes::from_static(&[0; 6]) }))
    }
}

struct Deaf;

impl Actor for Deaf {
    type Context = Context<Self>;
}

impl Handler<FrameWaiting> for Deaf {
    type Result = ();

    fn handle(&mut self, _: FrameWaiting, _: &mut Self::Context) {}
}

impl Handler<SessionEvent> for Deaf {
    type Result = ();

    fn handle(&mut self, _: SessionEvent, _: &mut Self::Context) {}
}

#[actix::test]
async fn a_turn_decodes_all_that_waits_and_of_what_is_old_a_keyframe() {
    tokio::time::pause();
    let (packets, decoded, stop) =
        (Arc::new(PacketQueue::default()), Arc::default(), CancellationToken::new());
    let (frames, keyframe_wanted) =
        (FrameQueue::new(Hop::Session, Policy::NewestWins), Arc::new(Notify::new()));
    let ingress = Ingress {
        packets: Arc::clone(&packets),
        codec: Codec::Vp8,
        decoder: Box::new(Counting(Arc::clone(&decoded))),
        schedule: Arc::default(),
        frames: Arc::clone(&frames),
        nudge: Deaf.start().recipient(),
        events: Deaf.start().recipient(),
        keyframe_wanted: Arc::clone(&keyframe_wanted),
        stop: stop.clone(),
        intake: Intake::new(
            VideoLimits { long: 1_920, short: 1_080, fps: 60.0 },
            Arc::new(AtomicBool::new(true)),
        ),
        received: Arc::default(),
    };
    (1..=5).for_each(|number| packets.push(packet(number, number == 1)));
    let running = actix::spawn(ingress.run());
    yield_now().await;
    assert_eq!(decoded.load(Ordering::Relaxed), 5);
    assert_eq!((frames.pop().map(|frame| frame.seq), frames.skipped()), (Some(4), 4));

    (6..=9).for_each(|number| packets.push(packet(number, number == 7)));
    tokio::time::advance(BACKLOG_AGE).await;
    keyframe_wanted.notified().await;
    assert_eq!(
        (decoded.load(Ordering::Relaxed), frames.pop().map(|frame| frame.seq)),
        (6, Some(5))
    );
    stop.cancel();
    running.await.unwrap();
}
