//! Metrics of the process: its ports, certificates and threads, and how much work they have.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

pub(crate) fn load(ratio: f64) {
    gauge!("reframe_load_ratio").set(ratio);
}

#[expect(clippy::cast_precision_loss, reason = "a handful")]
pub(crate) fn relief(steps: usize) {
    gauge!("reframe_relief_steps").set(steps as f64);
}

/// Browsers are told private addresses, and no others.
pub(crate) fn media_address_private(private: bool) {
    gauge!("reframe_media_address_private").set(f64::from(u8::from(private)));
}

/// `count` further queries without an answer; 0 for a server that will be asked. The label is one
/// of the few that `--public-ip` names.
pub(crate) fn stun_errors(server: &str, count: u64) {
    counter!("reframe_stun_errors_total", "server" => server.to_owned()).increment(count);
}

pub(crate) fn http_connections(port: &'static str, more: f64) {
    gauge!("reframe_http_connections", "port" => port).increment(more);
}

pub(crate) fn http_refused(port: &'static str, reason: &'static str) {
    counter!("reframe_http_refused_total", "port" => port, "reason" => reason).increment(1);
}

#[expect(clippy::cast_precision_loss, reason = "exact for millions of years")]
pub(crate) fn tls_expiry(certificate: &'static str, timestamp_seconds: i64) {
    gauge!("reframe_tls_certificate_expiry_timestamp_seconds", "certificate" => certificate)
        .set(timestamp_seconds as f64);
}

pub(crate) fn tls_reload_error(certificate: &'static str) {
    counter!("reframe_tls_reload_errors_total", "certificate" => certificate).increment(1);
}

/// A connection without TLS where TLS is preferred, for as long as it lives.
pub(crate) struct PlainConnection(&'static str);

impl PlainConnection {
    /// With a `worker` or a `gateway`.
    pub(crate) fn with(peer: &'static str) -> Self {
        counter!("reframe_plain_connections_total", "peer" => peer).increment(1);
        gauge!("reframe_plain_connections", "peer" => peer).increment(1.0);
        Self(peer)
    }
}

impl Drop for PlainConnection {
    fn drop(&mut self) {
        gauge!("reframe_plain_connections", "peer" => self.0).decrement(1.0);
    }
}

pub(crate) fn forwarded(outcome: &'static str) {
    counter!("reframe_forwarded_total", "outcome" => outcome).increment(1);
}

/// The label is one of the few kinds of threads, see `app`.
pub(crate) fn thread_delay(kind: &'static str, took: Duration) {
    histogram!("reframe_thread_delay_seconds", "kind" => kind).record(took.as_secs_f64());
}

/// The label is a thread's name: one value for each thread of this process that does work.
pub(crate) fn thread_stuck(thread: &str, stuck: bool) {
    gauge!("reframe_thread_stuck", "thread" => thread.to_owned()).set(f64::from(u8::from(stuck)));
}

pub(crate) fn log_lines_left_out(count: u64) {
    counter!("reframe_log_lines_left_out_total").absolute(count);
}
