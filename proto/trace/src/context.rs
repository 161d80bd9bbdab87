//! A span's trace context as text: the `traceparent` of W3C Trace Context.

use std::collections::HashMap;

use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

const HEADER: &str = "traceparent";

/// The text for a span's children in another process; empty when nothing is exported.
#[must_use]
pub fn traceparent(span: &Span) -> String {
    header(&span.context())
}

/// [`traceparent`] of a span that `tracing` does not know.
#[must_use]
pub fn header(context: &Context) -> String {
    if !context.span().span_context().is_valid() {
        return String::new();
    }
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(context, &mut headers);
    headers.remove(HEADER).unwrap_or_default()
}

/// Makes a span that was never entered a child of the one that `traceparent` names. A missing or
/// malformed one changes nothing.
pub fn follow(span: &Span, traceparent: &str) {
    if traceparent.is_empty() {
        return;
    }
    let headers = HashMap::from([(HEADER.to_owned(), traceparent.to_owned())]);
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    if parent.span().span_context().is_valid() {
        // Fails when nothing is exported.
        span.set_parent(parent).ok();
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{
        SpanContext, SpanId, TraceFlags, TraceId, TraceState, TracerProvider,
    };
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn exporting<T>(test: impl FnOnce() -> T) -> T {
        let tracer = SdkTracerProvider::builder().build().tracer("test");
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), test)
    }

    #[test]
    fn a_context_is_written_as_the_standard_says() {
        let (trace, span) = (0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, 0xb7ad_6b71_6920_3331);
        let context = |flags| {
            let state = TraceState::default();
            let span =
                SpanContext::new(TraceId::from(trace), SpanId::from(span), flags, true, state);
            Context::new().with_remote_span_context(span)
        };
        assert_eq!(header(&context(TraceFlags::SAMPLED)), SAMPLED);
        // The other side must also learn that a trace is not sampled.
        assert_eq!(header(&context(TraceFlags::default())), SAMPLED.replace("-01", "-00"));
        assert_eq!(header(&Context::new()), "");
    }

    #[test]
    fn a_span_that_follows_is_of_the_same_trace() {
        exporting(|| {
            let span = tracing::info_span!("session");
            follow(&span, SAMPLED);
            let sent = traceparent(&span);
            assert_eq!(sent[..36], SAMPLED[..36]);
            assert_ne!(sent, SAMPLED, "a span of its own");
        });
    }

    #[test]
    fn what_means_nothing_leaves_the_span_as_it_is() {
        for nothing in [
            "",
            "00",
            "zz-…",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            &"0-".repeat(9999),
        ] {
            exporting(|| {
                let span = tracing::info_span!("session");
                follow(&span, nothing);
                let sent = traceparent(&span);
                assert!(
                    sent.len() == SAMPLED.len() && sent[..36] != SAMPLED[..36],
                    "{nothing:?}: {sent}"
                );
            });
        }
    }

    #[test]
    fn nothing_is_told_where_nothing_is_exported() {
        let span = tracing::info_span!("session");
        follow(&span, SAMPLED);
        assert_eq!(traceparent(&span), "");
        tracing::subscriber::with_default(tracing_subscriber::registry(), || {
            let span = tracing::info_span!("session");
            follow(&span, SAMPLED);
            assert_eq!(traceparent(&span), "");
        });
    }
}
