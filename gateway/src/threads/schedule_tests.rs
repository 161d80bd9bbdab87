//! Tasks of one thread that note in which order they code.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

use super::*;

const DECODING: Duration = Duration::from_millis(2);
const ENCODING: Duration = Duration::from_millis(10);
/// `ingress` yields to its neighbours after this many.
const FRAMES_OF_A_TURN: usize = 25;

/// What was done, in order: a letter each.
type Log = Arc<Mutex<String>>;

fn note(log: &Log, what: char) {
    log.lock().push(what);
}

/// Always has more to decode.
async fn decoder(schedule: Arc<CodecSchedule>, log: Log, name: char, stop: CancellationToken) {
    while !stop.is_cancelled() {
        for _ in 0..FRAMES_OF_A_TURN {
            let turn = schedule.decode().await;
            note(&log, name);
            turn.decoded(DECODING);
        }
        yield_now().await;
    }
}

/// Has `pictures` to encode, each as soon as the one before is done.
async fn encoder(schedule: Arc<CodecSchedule>, log: Log, name: char, pictures: usize) {
    for _ in 0..pictures {
        let turn = schedule.encode().await;
        note(&log, name);
        turn.encoded(ENCODING);
    }
}

#[tokio::test]
async fn with_more_than_time_encoders_go_in_turn_and_decoders_get_half_of_their_time() {
    let (schedule, log, stop) =
        (Arc::<CodecSchedule>::default(), Log::default(), CancellationToken::new());
    let all = LocalSet::new();
    for name in ['a', 'b', 'c', 'd', 'e'] {
        all.spawn_local(decoder(Arc::clone(&schedule), Arc::clone(&log), name, stop.clone()));
    }
    let encoders: Vec<_> = ['A', 'B', 'C']
        .map(|name| all.spawn_local(encoder(Arc::clone(&schedule), Arc::clone(&log), name, 20)))
        .into();
    all.run_until(async {
        for encoder in encoders {
            encoder.await.unwrap();
        }
    })
    .await;
    stop.cancel();
    let log = log.lock().clone();
    let encoded: String = log.chars().filter(char::is_ascii_uppercase).collect();
    assert_eq!(encoded, "ABC".repeat(20));
    let between: Vec<_> = log.split(|what: char| what.is_ascii_uppercase()).map(str::len).collect();
    // Before the first and after the last nobody waits. 3 x 2 ms is the first that reaches half of
    // 10.
    assert!(between[1..60].iter().all(|decoded| *decoded == 3), "{between:?}");
    // From the first picture to the last there are 177 frames, for five decoders.
    let waited = &log[log.find('A').unwrap()..log.rfind('C').unwrap()];
    for name in ['a', 'b', 'c', 'd', 'e'] {
        let decoded = waited.matches(name).count();
        assert!((33..=40).contains(&decoded), "{name}: {decoded} in {waited}");
    }
}

#[tokio::test]
async fn who_has_video_to_decode_is_first() {
    let (schedule, log) = (Arc::<CodecSchedule>::default(), Log::default());
    let all = LocalSet::new();
    all.spawn_local(encoder(Arc::clone(&schedule), Arc::clone(&log), 'A', 1));
    // Scheduled after it.
    for _ in 0..3 {
        let (schedule, log) = (Arc::clone(&schedule), Arc::clone(&log));
        schedule.encoded.store(u64::MAX, Ordering::Relaxed);
        all.spawn_local(async move {
            let turn = schedule.decode().await;
            note(&log, 'd');
            turn.decoded(DECODING);
        });
    }
    all.await;
    assert_eq!(*log.lock(), "dddA");
}

#[tokio::test]
async fn who_gives_up_waiting_keeps_nobody() {
    let schedule = CodecSchedule::default();
    let turn = schedule.encode().await;
    turn.encoded(ENCODING);
    schedule.decode().await.decoded(ENCODING);
    assert!(futures_util::poll!(std::pin::pin!(schedule.encode())).is_pending());
    assert!(
        futures_util::poll!(std::pin::pin!(schedule.decode())).is_pending(),
        "this turn is not over"
    );
    drop(turn);
    assert!(futures_util::poll!(std::pin::pin!(schedule.decode())).is_ready());
    drop(schedule.encode().await);
    assert_eq!(schedule.work(Duration::ZERO).encoded, ENCODING);
}
