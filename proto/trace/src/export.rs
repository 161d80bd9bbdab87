//! Spans to an OpenTelemetry collector, by OTLP over gRPC.
//!
//! The variables are OpenTelemetry's own and read by its SDK; this module only reads whether to
//! export at all. Spans are queued (`OTEL_BSP_MAX_QUEUE_SIZE`, 2048; a further one is dropped) and
//! sent by a thread of the SDK, so nothing waits for a slow or unreachable collector.

use std::env;
use std::io;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::runtime::Runtime;
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;

/// How long a program that ends waits until its last spans have been sent.
const FLUSH: Duration = Duration::from_secs(2);

const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];

/// The environment configures an export that is not possible.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// An unsupported protocol.
    #[error(
        "{variable}: `{protocol}` is not grpc, which is the protocol that traces are exported by"
    )]
    Protocol {
        /// The variable's name.
        variable: &'static str,
        /// Its value.
        protocol: String,
    },
    /// The endpoint is not `http://host:port`, or another variable has an invalid value.
    #[error("traces cannot be exported as the OTEL_EXPORTER_OTLP_ variables say")]
    Exporter(#[from] ExporterBuildError),
    /// The system refused a thread.
    #[error("the thread that exports traces did not start")]
    Runtime(#[from] io::Error),
}

/// The exporter of this process. Dropping it sends the queued spans, or gives up after two seconds.
#[derive(Debug)]
pub struct Export {
    provider: SdkTracerProvider,
    /// The runtime of the connection, separate from those that serve media. It outlives the last
    /// flush.
    _connection: Runtime,
}

impl Export {
    /// `None` when the environment names no endpoint, or disables the export.
    pub(crate) fn from_env(service: &'static str) -> Result<Option<Self>, ExportError> {
        let off = variable("OTEL_SDK_DISABLED")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
            || variable("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
        if off || ENDPOINTS.into_iter().find_map(variable).is_none() {
            return Ok(None);
        }
        let protocol = PROTOCOLS.into_iter().find_map(|name| Some((name, variable(name)?)));
        if let Some((variable, protocol)) = protocol.filter(|(_, protocol)| protocol != "grpc") {
            return Err(ExportError::Protocol { variable, protocol });
        }
        let connection = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("traces")
            .enable_all()
            .build()?;
        let exporter = {
            let _inside = connection.enter();
            SpanExporter::builder().with_tonic().build()?
        };
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource(service))
            .build();
        // For spans whose times are known only afterwards, which `tracing` does not support.
        global::set_tracer_provider(provider.clone());
        Ok(Some(Self { provider, _connection: connection }))
    }

    pub(crate) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(
        &self,
    ) -> OpenTelemetryLayer<S, SdkTracer> {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("reframe"))
            // A session's span is entered thousands of times a second, so its busy and idle times
            // mean nothing.
            .with_tracked_inactivity(false)
            .with_threads(false)
            .with_location(false)
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSH) {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

/// A variable that is set and not empty: OpenTelemetry treats an empty one as not set.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// The resource from `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`; without them the program's
/// name.
fn resource(service: &'static str) -> Resource {
    let said = Resource::builder().build();
    let named = said
        .get(&"service.name".into())
        .is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let ours = (!named).then(|| KeyValue::new("service.name", service));
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    Resource::builder().with_attributes(ours.into_iter().chain([version])).build()
}
