//! Where all metrics are recorded, and written as text.

use metrics::gauge;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::{describe, workers, zeros};

/// Histogram bounds in seconds: fine around a frame interval, up to a stalled second.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2,
    0.3, 0.5, 1.0, 2.0,
];

/// Histogram bounds in seconds, for what people wait for.
const LONG_SECONDS: &[f64] =
    &[0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0];

/// Histogram bounds of the number of frames in a batch.
const BATCHES: &[f64] = &[1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 64.0];

/// Histogram bounds of bitrates, in bytes a second: 100 kbit/s to 20 Mbit/s.
const BITRATES: &[f64] = &[
    12_500.0, 25_000.0, 37_500.0, 62_500.0, 93_750.0, 125e3, 187_500.0, 250e3, 375e3, 625e3,
    1.25e6, 2.5e6,
];

/// Installs the process-wide recorder. `None` if one is installed already: `launch` in a process
/// that has its own.
pub(crate) fn install() -> Option<PrometheusHandle> {
    let mut builder = PrometheusBuilder::new().set_buckets(SECONDS).ok()?;
    for name in
        ["reframe_setup_seconds", "reframe_failover_seconds", "reframe_thread_delay_seconds"]
    {
        builder =
            builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), LONG_SECONDS).ok()?;
    }
    let sizes = Matcher::Full("reframe_batch_size".to_owned());
    builder = builder.set_buckets_for_metric(sizes, BATCHES).ok()?;
    let bandwidth = Matcher::Full("reframe_bandwidth_bytes_per_second".to_owned());
    builder = builder.set_buckets_for_metric(bandwidth, BITRATES).ok()?;
    let handle = builder.install_recorder().ok()?;
    describe::describe_all();
    gauge!("reframe_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
    gauge!("reframe_sessions_active").set(0);
    super::viewers::active(0);
    gauge!("reframe_load_ratio").set(0);
    gauge!("reframe_relief_steps").set(0);
    gauge!("reframe_workers_serving").set(0);
    zeros::write();
    Some(handle)
}

/// All metrics, as text.
pub(crate) fn render(recorded: &PrometheusHandle) -> String {
    recorded.render() + &workers::worker_series()
}
