//! Real threads, which a test holds up.

use std::sync::atomic::AtomicBool;

use super::*;

const NOTHING: Report = Report { delay: |_, _| {}, stuck: |_, _| {}, tick: || {} };
/// A hundred times what the machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

fn wait(what: &str, condition: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "{what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn names(watchdog: &Watchdog) -> Vec<String> {
    watchdog.stuck().into_iter().map(|stuck| stuck.thread).collect()
}

fn media() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build().unwrap()
}

#[test]
fn one_thread_of_several_is_found_while_the_others_answer() {
    let (watchdog, runtime) = (Watchdog::start(NOTHING, None).unwrap(), media());
    watchdog.watch_runtime("media", "media", runtime.handle().clone());
    watchdog.watch_workers("media", runtime.handle());
    // Idle, and then with ten thousand short tasks a second: nobody is stuck.
    let busy = Arc::new(AtomicBool::new(true));
    let going_on = Arc::clone(&busy);
    let tasks = runtime.spawn(async move {
        while going_on.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
    });
    let (open, gate) = channel::<()>();
    let held = runtime.spawn(async move { gate.recv().ok() });
    wait("one is stuck", || !names(&watchdog).is_empty());
    let stuck = names(&watchdog);
    assert!(matches!(&stuck[..], [one] if one.starts_with("media-")), "{stuck:?}");
    drop(open);
    wait("nobody is", || names(&watchdog).is_empty());
    busy.store(false, Ordering::Relaxed);
    runtime.block_on(async { (tasks.await.unwrap(), held.await.unwrap()) });
}

#[test]
fn a_thread_that_spins_is_as_stuck_as_one_that_waits() {
    let watchdog = Watchdog::start(NOTHING, None).unwrap();
    let (spin, on) = (Arc::new(AtomicBool::new(true)), media());
    let single = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    watchdog.watch_runtime("single", "single", single.handle().clone());
    watchdog.watch_runtime("other", "other", on.handle().clone());
    let (handle, spinning) = (single.handle().clone(), Arc::clone(&spin));
    let thread = std::thread::spawn(move || single.block_on(ended));
    // It has answered once, so it is known which thread it is.
    wait("it is asked", || {
        let watched = watchdog.shared.watched.lock();
        let Pulse::Question(question) = &watched[0].pulse else { unreachable!("it is a question") };
        question.answer.thread.load(Ordering::Relaxed) != 0
    });
    let spinning = handle.spawn(async move {
        while spinning.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    });
    wait("it is stuck", || names(&watchdog) == ["single"]);
    assert!(watchdog.stuck().iter().all(|stuck| !stuck.is_unhealthy()));
    spin.store(false, Ordering::Relaxed);
    wait("it is not", || names(&watchdog).is_empty());
    drop(spinning);
    end.send(()).unwrap();
    thread.join().unwrap().unwrap();
}

#[test]
fn its_threads_end_with_it() {
    let watchdog = Watchdog::start(NOTHING, None).unwrap();
    let clone = watchdog.clone();
    drop(watchdog);
    assert_eq!(clone.stuck(), []);
    let shared = Arc::downgrade(&clone.shared);
    drop(clone);
    wait("nobody holds it", || shared.strong_count() == 0);
}

#[test]
fn the_option_is_a_number_of_seconds_or_none() {
    assert_eq!([give_up(" 30"), give_up("0")], [Ok(Some(Duration::from_secs(30))), Ok(None)]);
    for wrong in ["9", "3601", "-1", "soon", ""] {
        assert!(give_up(wrong).is_err_and(|problem| problem.contains("10 to 3600")), "{wrong}");
    }
}
