//! The endpoints that orchestrators ask, over threads that are held up for real.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use actix::{Actor, Context};
use actix_web::http::StatusCode;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App, web};
use reframe_trace::watchdog::{Report, Watchdog};
use tokio::time::{Instant, sleep};

use super::*;
use crate::threads::arbiters::Arbiters;

/// Several times the ten seconds that it takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// A thread that is held up until the sender is dropped.
fn gate() -> (Sender<()>, Receiver<()>) {
    channel()
}

/// Each arbiter is stuck for ten seconds and more, all at once; the endpoints name them, and come
/// back with them.
#[actix_web::test]
async fn stuck_threads_are_not_ready_then_not_healthy_and_well_again() {
    let watchdog =
        Watchdog::start(Report { delay: |_, _| {}, stuck: |_, _| {}, tick: || {} }, None).unwrap();
    let arbiters = Arbiters::start(2, 1.0);
    arbiters.watch(&watchdog);
    let draining = Arc::new(AtomicBool::new(false));
    // What the two need, and nothing else of a gateway: they ask nobody.
    let port = async |names_threads| {
        let (draining, watchdog) = (Arc::clone(&draining), watchdog.clone());
        let probed = Probed { draining, watchdog, names_threads };
        init_service(App::new().app_data(web::Data::new(probed)).configure(routes)).await
    };
    let (probes, public) = (port(true).await, port(false).await);
    let ask = async |path: &str| {
        let answer = call_service(&probes, TestRequest::get().uri(path).to_request()).await;
        (answer.status(), String::from_utf8(read_body(answer).await.to_vec()).unwrap())
    };
    let wait = async |path: &str, status: StatusCode| {
        let until = Instant::now() + PATIENCE;
        loop {
            let (answered, body) = ask(path).await;
            if answered == status {
                return body;
            }
            assert!(Instant::now() < until, "{path} is {answered}, not {status}: {body}");
            // Between two looks: a watchdog announces nothing.
            sleep(Duration::from_millis(50)).await;
        }
    };
    assert_eq!(ask("/readyz").await, (StatusCode::OK, "ready\n".to_owned()));

    let ((open, codec), (open_too, session)) = (gate(), gate());
    // Not the watchdog's own way in.
    let place = arbiters.codec(true).unwrap();
    place.spawn(async move { codec.recv().map_or((), drop) });
    arbiters.session.spawn(async move { session.recv().map_or((), drop) });
    let body = wait("/readyz", StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(body.starts_with("stuck for 1 s: "), "{body}");
    assert_eq!(ask("/healthz").await, (StatusCode::OK, "ok\n".to_owned()), "slow is not dead");
    let body = wait("/healthz", StatusCode::SERVICE_UNAVAILABLE).await;
    let named = |name: &str| {
        body.lines().any(|line| line.starts_with("stuck for 1") && line.ends_with(name))
    };
    assert!(named("codec-0") || named("session"), "{body}");
    for path in ["/healthz", "/readyz"] {
        let answer = call_service(&public, TestRequest::get().uri(path).to_request()).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(read_body(answer).await, "stuck\n", "strangers are told no more");
    }
    let stuck: Vec<_> = watchdog.stuck().into_iter().map(|stuck| stuck.thread).collect();
    assert_eq!(stuck, ["session", "codec-0"], "and no other");

    drop((open, open_too));
    wait("/healthz", StatusCode::OK).await;
    wait("/readyz", StatusCode::OK).await;
    draining.store(true, Ordering::Relaxed);
    assert_eq!(ask("/readyz").await, (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned()));
    assert_eq!(ask("/healthz").await.0, StatusCode::OK, "it does its work until it has stopped");
}

/// An actor that blocks its arbiter is stuck as any task is.
#[actix_web::test]
async fn an_actor_that_does_not_return_is_found() {
    struct Blocks(Receiver<()>);
    impl Actor for Blocks {
        type Context = Context<Self>;

        fn started(&mut self, _: &mut Self::Context) {
            self.0.recv().ok();
        }
    }
    let watchdog =
        Watchdog::start(Report { delay: |_, _| {}, stuck: |_, _| {}, tick: || {} }, None).unwrap();
    let arbiters = Arbiters::start(1, 1.0);
    arbiters.watch(&watchdog);
    let (open, gate) = gate();
    Blocks::start_in_arbiter(&arbiters.pacer, |_| Blocks(gate));
    let until = Instant::now() + PATIENCE;
    while watchdog.stuck().is_empty() {
        assert!(Instant::now() < until);
        // As above.
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(watchdog.stuck()[0].thread, "pacer");
    drop(open);
}
