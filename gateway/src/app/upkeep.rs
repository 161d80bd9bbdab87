//! What is looked at again and again while a gateway runs: its threads, its files of keys and
//! certificates, and its metrics.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use reframe_tls::{ClusterTls, Identity, Looked, Reloaded};
use reframe_trace::watchdog::{Report, Watchdog};
use tokio::runtime::Handle;
use tokio::time::interval;

use crate::config::access::{Access, Admin};
use crate::config::tls::{self, Tls};
use crate::telemetry;
use crate::threads::clock;

/// How often recorded samples are folded into their histograms.
const METRICS_INTERVAL: Duration = Duration::from_secs(5);

/// Watches the threads that there are: this one, the media runtime's, and the embedding program's.
///
/// # Errors
/// The system refuses threads.
pub(super) fn watchdog(
    exit_when_stuck: Option<Duration>,
    media: &Handle,
    others: Vec<(&'static str, Handle)>,
) -> io::Result<Watchdog> {
    let report = Report {
        delay: telemetry::thread_delay,
        stuck: telemetry::thread_stuck,
        tick: clock::tick,
    };
    let watchdog = Watchdog::start(report, exit_when_stuck)?;
    watchdog.watch_runtime("main", "main", Handle::current());
    watchdog.watch_runtime("media", "media", media.clone());
    watchdog.watch_workers("media", media);
    for (thread, runtime) in others {
        watchdog.watch_runtime(thread, thread, runtime);
    }
    Ok(watchdog)
}

/// Has the thread that calls it watched, as `name-0`, `name-1` and so on.
pub(super) fn watch_each(
    name: &'static str,
    watchdog: &Watchdog,
) -> impl Fn() + Clone + Send + 'static {
    let (next, watchdog) = (Arc::new(AtomicUsize::new(0)), watchdog.clone());
    move || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        watchdog.watch_runtime(format!("{name}-{number}"), name, Handle::current());
    }
}

/// Reads files of keys and certificates again as long as the gateway runs.
pub(super) fn watch_files(access: &Access, public: Option<Tls>, cluster: Option<&ClusterTls>) {
    for keys in access.keys() {
        actix::spawn(reframe_tls::watch(keys, |_| {}));
    }
    if let Admin::Token(token) = &access.admin {
        actix::spawn(reframe_tls::watch(Arc::clone(token), |_| {}));
    }
    if let Some(tls) = public {
        actix::spawn(tls::watch(tls.certificates));
    }
    if let Some(tls) = cluster {
        actix::spawn(watch_cluster(tls.identity()));
    }
}

/// Also exports the expiry of the cluster's certificates.
async fn watch_cluster(identity: Arc<Reloaded<Identity>>) {
    let current = Arc::clone(&identity);
    let told = move |looked: &Looked| {
        if matches!(looked, Looked::Unusable(_)) {
            telemetry::tls_reload_error("cluster");
        }
        if let Some(expiry) = current.current().expiry() {
            telemetry::tls_expiry("cluster", expiry);
        }
    };
    reframe_tls::watch(identity, told).await;
}

/// Histogram samples pile up until somebody scrapes or this runs.
pub(super) async fn keep_metrics(metrics: Option<PrometheusHandle>) {
    let Some(metrics) = metrics else { return };
    let mut tick = interval(METRICS_INTERVAL);
    loop {
        tick.tick().await;
        metrics.run_upkeep();
        telemetry::log_lines_left_out(reframe_trace::lines_left_out());
    }
}
