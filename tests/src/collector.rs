//! An OpenTelemetry collector that keeps what it is sent.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// A running collector, on a free port and a thread of its own; stops when dropped.
#[derive(Debug)]
pub struct Collector {
    url: String,
    spans: Spans,
    _runtime: Runtime,
}

/// A span and which program exported it.
#[derive(Clone, Debug)]
pub struct Exported {
    /// `service.name`.
    pub service: String,
    /// As it came.
    pub span: Span,
}

#[derive(Clone, Debug, Default)]
struct Spans(Arc<Mutex<Vec<Exported>>>);

impl Collector {
    /// Starts one.
    ///
    /// # Panics
    /// When the loopback interface has no free port.
    #[must_use]
    pub fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let url =
            format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
        let spans = Spans::default();
        let service = TraceServiceServer::new(spans.clone());
        // Ends with the runtime.
        runtime.spawn(
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        Self { url, spans, _runtime: runtime }
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Every span so far, in the order in which they came.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn spans(&self) -> Vec<Exported> {
        self.spans.0.lock().expect("nothing panics while it holds the spans").clone()
    }
}

impl Exported {
    /// The attribute `key`, as text.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<String> {
        attribute(&self.span.attributes, key)
    }
}

#[tonic::async_trait]
impl TraceService for Spans {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut spans = self.0.lock().expect("nothing panics while it holds the spans");
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let service = attribute(&attributes, "service.name").unwrap_or_default();
            let of_resource = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.extend(of_resource.map(|span| Exported { service: service.clone(), span }));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let value =
        attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()?;
    match value {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    }
}
