//! Spans of frames: one frame in `--trace-frames` is traced, with the real times of each hop.
//!
//! A session's span is a `tracing` span. A frame's is not: its parts are known only afterwards, on
//! different threads. So its [`Ticket`](crate::telemetry::ledger::Ticket) carries it, and the
//! ledger that counts a frame's end also ends its span. Without an exporter there are no such
//! spans. A frame that is not sampled costs one comparison.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use opentelemetry::trace::{Span as _, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue, global};
use tokio::time::Instant;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The name of the tracer, which the spans carry.
const SCOPE: &str = "reframe-gateway";

/// One frame in this many is traced; none until [`install`]. Process-wide, like the exporter.
static EVERY: AtomicU32 = AtomicU32::new(0);

/// From now on one frame in `every` of each session is traced; 0 traces none.
pub(crate) fn install(every: u32) {
    EVERY.store(every, Ordering::Relaxed);
}

/// The span of one frame; open until [`end`](Self::end), or its drop.
#[derive(Debug)]
pub(crate) struct FrameSpan {
    context: Context,
    /// One instant on both clocks: spans need wall time, and the media path has only monotonic
    /// time.
    now: (Instant, SystemTime),
}

impl FrameSpan {
    /// The span of the frame `seq`, whose last packet came at `arrived`, as a child of the
    /// session's span. `None` unless the frame is sampled and its session is traced. Boxed, so that
    /// other tickets stay small.
    pub(crate) fn sample(session: &Span, seq: u64, arrived: Instant) -> Option<Box<Self>> {
        let every = EVERY.load(Ordering::Relaxed);
        if every == 0 || !seq.is_multiple_of(u64::from(every)) {
            return None;
        }
        let parent = session.context();
        if !parent.span().span_context().is_sampled() {
            return None;
        }
        let now = (Instant::now(), opentelemetry::time::now());
        let tracer = global::tracer(SCOPE);
        let span = tracer
            .span_builder("frame")
            .with_start_time(wall(now, arrived))
            .with_attributes([KeyValue::new("seq", i64::try_from(seq).unwrap_or(i64::MAX))])
            .start_with_context(&tracer, &parent);
        Some(Box::new(Self { context: parent.with_span(span), now }))
    }

    /// For the worker, whose handler's span becomes a child of this one.
    pub(crate) fn traceparent(&self) -> String {
        reframe_trace::header(&self.context)
    }

    /// Records a part of the frame's way that is over.
    pub(crate) fn stage(&self, name: &'static str, began: Instant, ended: Instant) {
        let tracer = global::tracer(SCOPE);
        let mut span = tracer
            .span_builder(name)
            .with_start_time(wall(self.now, began))
            .start_with_context(&tracer, &self.context);
        span.end_with_timestamp(wall(self.now, ended));
    }

    /// The frame has ended: `end` says how, and `lost` where and why if it was lost.
    pub(crate) fn end(&self, end: &'static str, lost: Option<(&'static str, &'static str)>) {
        let span = self.context.span();
        span.set_attribute(KeyValue::new("end", end));
        if let Some((hop, reason)) = lost {
            span.set_attribute(KeyValue::new("hop", hop));
            span.set_attribute(KeyValue::new("reason", reason));
        }
        span.end_with_timestamp(wall(self.now, Instant::now()));
    }
}

/// The wall time of an instant, given one on both clocks.
fn wall((monotonic, wall): (Instant, SystemTime), at: Instant) -> SystemTime {
    match at.checked_duration_since(monotonic) {
        Some(after) => wall + after,
        None => wall - monotonic.saturating_duration_since(at),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn wall_time_runs_with_the_monotonic_clock() {
        let now = (Instant::now(), SystemTime::UNIX_EPOCH + Duration::from_secs(100));
        let second = Duration::from_secs(1);
        assert_eq!(wall(now, now.0 + second), now.1 + second);
        assert_eq!(wall(now, now.0 - second), now.1 - second);
    }

    #[test]
    fn nothing_is_sampled_where_nothing_is_exported() {
        install(1);
        assert!(FrameSpan::sample(&tracing::info_span!("session"), 0, Instant::now()).is_none());
        let registry = tracing_subscriber::registry();
        tracing::subscriber::with_default(registry, || {
            assert!(
                FrameSpan::sample(&tracing::info_span!("session"), 0, Instant::now()).is_none()
            );
        });
    }
}
