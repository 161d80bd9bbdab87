//! Hop 2 of 10: RTP packets in, decoded frames out.
//! In:    [`PacketQueue`] from `peer`, at most `BACKLOG_PACKETS`.   Out: the session's `FrameQueue`, and a nudge.
//! Runs:  the session's codec arbiter; nothing but codecs runs there, and decoders come first (`turns`). A turn decodes all
//!        that waits, for at most `TURN`.
//! Full:  the whole backlog is dropped, and of one older than `BACKLOG_AGE` all but the newest keyframe: late video is
//!        worth nothing. Counted in `packets_dropped_total{reason="backlog"}`; decoding resumes at a keyframe.
//! Clock: RTP 90 kHz in, capture time since the session's first frame out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix::Recipient;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{Span, debug};

use crate::codec::{Codec, Decoder};
use crate::media::event::{FrameWaiting, SessionEvent};
use crate::media::frame::{Frame, FrameQueue, ticks};
use crate::media::signs::Signs;
use crate::pipeline::assembler::{AccessUnit, Assembler};
use crate::pipeline::backlog::PacketQueue;
use crate::pipeline::intake::Intake;
use crate::telemetry::books::Reason;
use crate::telemetry::{self, Stage};
use crate::threads::turns::Turns;

/// How long packets may wait: three frames at 30 fps, and as long as a container that has used its CPU quota is stopped at most, which
/// is no overload (`docs/decisions/0013-overload.md`). Only our own delay counts: what a network held back has just come.
const BACKLOG_AGE: Duration = Duration::from_millis(100);
/// How long a turn may be: whoever sent much at once shall not make its neighbours late.
const TURN: Duration = Duration::from_millis(50);
/// Refused frames after which the client is told, once: a second's worth, so that a hiccup at the start is not news.
const TELL_AFTER_FRAMES: u32 = 30;
/// How much further a frame's RTP time may be from the one before than their arrivals: more than a network holds back
/// before ICE gives it up, after 8 s. Beyond it, or backwards, it is another clock's: a new SSRC has one of its own (RFC 3550,
/// section 5.1).
const MAX_AHEAD: Duration = Duration::from_secs(10);
/// Between two keyframe requests: longer than most round trips, so that one loss asks once.
const KEYFRAME_REQUEST_INTERVAL: Duration = Duration::from_millis(400);

/// One session's decoding half.
pub(crate) struct Ingress {
    pub(crate) packets: Arc<PacketQueue>,
    pub(crate) codec: Codec,
    pub(crate) decoder: Box<dyn Decoder>,
    /// Of the thread that this runs on.
    pub(crate) turns: Arc<Turns>,
    pub(crate) frames: Arc<FrameQueue>,
    /// The one handle from which this hop nudges the session; a fresh clone per frame would defeat the mailbox bound.
    pub(crate) nudge: Recipient<FrameWaiting>,
    pub(crate) events: mpsc::Sender<SessionEvent>,
    /// Asks the browser for a keyframe.
    pub(crate) keyframe_wanted: Arc<Notify>,
    pub(crate) stop: CancellationToken,
    pub(crate) intake: Intake,
    /// Where decoded frames are counted.
    pub(crate) signs: Arc<Signs>,
}

impl Ingress {
    /// Runs until stopped.
    pub(crate) async fn run(mut self) {
        let mut assembler = Assembler::new(self.codec);
        let mut clock = CaptureClock::default();
        let mut batch = VecDeque::new();
        let mut asked: Option<Instant> = None;
        let mut refused_frames = 0_u32;
        while !self.stop.is_cancelled() {
            wait(&self.packets, &self.stop, assembler.deadline()).await;
            let (lost, mut since) = self.packets.drain(&mut batch);
            if lost {
                assembler.give_up();
            }
            let mut refused = 0;
            for packet in batch.drain(..) {
                refused += u64::from(!assembler.push(Instant::now(), packet));
            }
            if refused > 0 {
                telemetry::packets_dropped("late_or_hostile", refused);
            }
            let mut broken_off = false;
            let mut turn = Instant::now();
            let turns = Arc::clone(&self.turns);
            loop {
                let decoder_turn = turns.decode().await;
                let now = Instant::now();
                if since.take_if(|since| now >= *since + BACKLOG_AGE).is_some() {
                    let kept = assembler.keep_newest_keyframe();
                    telemetry::packets_dropped("backlog", kept.packets_dropped as u64);
                    broken_off = kept.broken_off;
                }
                let Some(unit) = assembler.pop(now) else { break };
                let decoded = self.decode(unit, &mut clock);
                decoder_turn.decoded(now.elapsed());
                drop(decoder_turn);
                let frame = match decoded {
                    Ok(Some(frame)) => frame,
                    Ok(None) => continue,
                    Err(NeedsKeyframe) => {
                        assembler.give_up();
                        continue;
                    }
                };
                if self.frames.push(Instant::now(), frame).is_err() {
                    refused_frames += 1;
                    if refused_frames == TELL_AFTER_FRAMES {
                        // Full: the client misses a warning; the counter has the frames all the same.
                        drop(self.events.try_send(SessionEvent::FallingBehind));
                    }
                }
                // Full: a nudge waits already, and it is for whatever the queue then holds.
                drop(self.nudge.try_send(FrameWaiting));
                if turn.elapsed() >= TURN {
                    tokio::task::yield_now().await;
                    if self.stop.is_cancelled() {
                        return;
                    }
                    turn = Instant::now();
                }
            }
            if broken_off {
                assembler.give_up();
            }
            // Other sessions wait on this thread too.
            tokio::task::yield_now().await;
            if assembler.needs_keyframe() && asked.is_none_or(|at| at.elapsed() >= KEYFRAME_REQUEST_INTERVAL) {
                asked = Some(Instant::now());
                self.keyframe_wanted.notify_one();
            }
        }
    }

    /// `None` when the unit shows nothing; its ticket is closed then, as with an error.
    fn decode(&mut self, mut unit: AccessUnit, clock: &mut CaptureClock) -> Result<Option<Frame>, NeedsKeyframe> {
        let started = Instant::now();
        match self.decoder.decode(&unit.data) {
            Ok(Some(picture)) => {
                self.signs.frame();
                let (seq, captured) = clock.next(started, unit.timestamp);
                let stamp = unit.marks.captured;
                if !self.intake.admits(captured, unit.marks) {
                    unit.ticket.dropped(Reason::Rate);
                    return Ok(None);
                }
                let (picture, rotation) = self.intake.make(picture);
                unit.ticket.trace(&Span::current(), seq);
                unit.ticket.stage(Stage::Decode, started, Instant::now());
                Ok(Some(Frame { seq, captured, stamp, rotation, picture, ticket: unit.ticket, since: started }))
            }
            Ok(None) => {
                unit.ticket.dropped(Reason::Codec);
                Ok(None)
            }
            Err(error) => {
                debug!(%error, bytes = unit.data.len(), "undecodable frame");
                unit.ticket.dropped(Reason::Codec);
                Err(NeedsKeyframe)
            }
        }
    }
}

async fn wait(packets: &PacketQueue, stop: &CancellationToken, deadline: Option<Instant>) {
    let changed = async {
        match deadline {
            // Elapsed or changed: either way the assembler is asked again.
            Some(at) => drop(timeout_at(at, packets.changed.notified()).await),
            None => packets.changed.notified().await,
        }
    };
    // Stopped: the caller looks.
    stop.run_until_cancelled(changed).await;
}

/// The decoder lost its references.
struct NeedsKeyframe;

/// Numbers the frames and turns 32-bit RTP time, which wraps every 13 hours, into time since the first frame.
#[derive(Default)]
struct CaptureClock {
    frames: u64,
    /// When the last frame arrived, and its RTP time.
    last: Option<(Instant, u32)>,
    /// 90 kHz ticks since the first frame.
    ticks: u64,
}

impl CaptureClock {
    fn next(&mut self, arrived: Instant, timestamp: u32) -> (u64, Duration) {
        if let Some((before, last)) = self.last.replace((arrived, timestamp)) {
            let passed = arrived.saturating_duration_since(before);
            let step = u32::try_from(timestamp.wrapping_sub(last).cast_signed()).ok().map(u64::from);
            self.ticks += step.filter(|step| *step <= ticks(passed + MAX_AHEAD)).unwrap_or_else(|| ticks(passed));
        }
        let seq = self.frames;
        self.frames += 1;
        (seq, Duration::from_secs_f64(self.ticks as f64 / 90_000.0))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use actix::{Actor, Context, Handler};

    use super::*;
    use crate::codec::{CodecError, Picture};
    use crate::media::frame::Policy;
    use crate::media::limits::Most;
    use crate::media::packet::{Marks, Packet};
    use crate::telemetry::books::Hop;

    #[test]
    fn capture_time_survives_the_wrap() {
        let (mut clock, now) = (CaptureClock::default(), Instant::now());
        assert_eq!(clock.next(now, u32::MAX - 8_999), (0, Duration::ZERO));
        assert_eq!(clock.next(now, 0), (1, Duration::from_millis(100)));
        assert_eq!(clock.next(now, 90_000), (2, Duration::from_millis(1_100)));
        assert_eq!(clock.next(now, 45_000), (3, Duration::from_millis(1_100)), "never backwards");
    }

    #[test]
    fn another_clock_of_the_browsers_is_followed_by_arrivals() {
        const FRAME: Duration = Duration::from_millis(40);
        for base in [1_000_001, 0x3fff_ffff, 0x7fff_ffff, 0x8000_0000, 0xbfff_ffff, u32::MAX] {
            let (mut clock, mut now) = (CaptureClock::default(), Instant::now());
            let mut next = |clock: &mut CaptureClock, wait, timestamp| {
                now += wait;
                clock.next(now, timestamp).1
            };
            next(&mut clock, Duration::ZERO, 0);
            assert_eq!(next(&mut clock, FRAME, 3_600), FRAME);
            // The other track comes 200 ms later, and goes on by its own time, however it arrives.
            assert_eq!(next(&mut clock, FRAME * 5, 3_600_u32.wrapping_add(base)), FRAME * 6, "{base}");
            assert_eq!(next(&mut clock, Duration::ZERO, 7_200_u32.wrapping_add(base)), FRAME * 7, "{base}");
        }
    }

    #[test]
    fn a_pause_and_what_a_network_held_back_keep_the_browsers_time() {
        let (mut clock, now) = (CaptureClock::default(), Instant::now());
        let seconds = Duration::from_secs;
        assert_eq!(clock.next(now, 0).1, seconds(0));
        assert_eq!(clock.next(now + seconds(3_600), 3_600 * 90_000).1, seconds(3_600));
        assert_eq!(clock.next(now + seconds(3_600), 3_605 * 90_000).1, seconds(3_605), "queued behind it");
    }

    /// A frame of one packet.
    fn packet(number: u16, keyframe: bool) -> Packet {
        Packet {
            ssrc: 1,
            sequence: number,
            timestamp: u32::from(number) * 3_000,
            marker: true,
            marks: Marks::default(),
            payload: bytes::Bytes::from_static(if keyframe { &[0x10, 0x10] } else { &[0x10, 0x11] }),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_backlog_is_as_old_as_its_oldest_packet() {
        let (queue, mut out) = (PacketQueue::default(), VecDeque::new());
        let mut drain = || {
            let (lost, since) = queue.drain(&mut out);
            (lost, since.map(|since| since.elapsed()), out.drain(..).map(|packet| packet.sequence).collect::<Vec<_>>())
        };
        let ms = Duration::from_millis;
        queue.push(packet(1, true));
        tokio::time::advance(ms(40)).await;
        queue.push(packet(2, false));
        assert_eq!(drain(), (false, Some(ms(40)), vec![1, 2]));
        // Silence is no age.
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

    #[actix::test]
    async fn a_turn_decodes_all_that_waits_and_of_what_is_old_a_keyframe() {
        tokio::time::pause();
        let (packets, decoded, stop) = (Arc::new(PacketQueue::default()), Arc::default(), CancellationToken::new());
        let (frames, keyframe_wanted) = (FrameQueue::new(Hop::Session, Policy::NewestWins), Arc::new(Notify::new()));
        let ingress = Ingress {
            packets: Arc::clone(&packets),
            codec: Codec::Vp8,
            decoder: Box::new(Counting(Arc::clone(&decoded))),
            turns: Arc::default(),
            frames: Arc::clone(&frames),
            nudge: Deaf.start().recipient(),
            events: mpsc::channel(1).0,
            keyframe_wanted: Arc::clone(&keyframe_wanted),
            stop: stop.clone(),
            intake: Intake::new(Most { long: 1_920, short: 1_080, fps: 60.0 }, true),
            signs: Arc::default(),
        };
        (1..=5).for_each(|number| packets.push(packet(number, number == 1)));
        let running = actix::spawn(ingress.run());
        tokio::task::yield_now().await;
        assert_eq!(decoded.load(Ordering::Relaxed), 5);
        assert_eq!((frames.pop().map(|frame| frame.seq), frames.skipped()), (Some(4), 4));

        (6..=9).for_each(|number| packets.push(packet(number, number == 7)));
        tokio::time::advance(BACKLOG_AGE).await;
        keyframe_wanted.notified().await;
        assert_eq!((decoded.load(Ordering::Relaxed), frames.pop().map(|frame| frame.seq)), (6, Some(5)));
        stop.cancel();
        running.await.unwrap();
    }
}
