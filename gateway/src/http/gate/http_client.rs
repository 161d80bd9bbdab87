//! Our own requests to services that know who may do what: a set of keys, or one decision.
//!
//! Each has a bound in time and size, and there is a bound for all of them. Certificates are
//! checked against the system's roots (`SSL_CERT_FILE` names others).

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Semaphore;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

/// For the whole answer. A person waits for it.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// The longest answer, in bytes. A set of 32 RSA keys has some 50 kB.
const MAX_ANSWER: usize = 256 * 1024;
/// Requests at once. Full: the next one is an error.
const AT_ONCE: usize = 64;

/// A client. Cheap to clone.
#[derive(Clone)]
pub(crate) struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    places: Arc<Semaphore>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpClientError {
    #[error("it cannot be reached")]
    Unreachable(#[from] ClientError),
    #[error("its answer broke off, or is longer than 256 kB")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("it did not answer within {} s", ANSWER_WITHIN.as_secs())]
    Late(#[from] Elapsed),
    #[error("{AT_ONCE} requests wait for it already")]
    Full,
}

impl HttpClient {
    /// For this URL.
    ///
    /// # Errors
    /// It is https, and the system has no root certificates.
    pub(crate) fn new(url: &Uri) -> std::io::Result<Self> {
        let ring = ring::default_provider();
        let https = if url.scheme_str() == Some("https") {
            HttpsConnectorBuilder::new().with_provider_and_native_roots(ring)?
        } else {
            let config = ClientConfig::builder_with_provider(Arc::new(ring))
                .with_safe_default_protocol_versions()
                .expect("the provider has TLS 1.2 and 1.3")
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth();
            HttpsConnectorBuilder::new().with_tls_config(config)
        };
        let https = https.https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).build(https);
        Ok(Self { client, places: Arc::new(Semaphore::new(AT_ONCE)) })
    }

    /// The status and the body; with `json`, by POST.
    ///
    /// # Errors
    /// There is no whole answer in time.
    ///
    /// # Cancel safety
    /// When dropped, the service may have processed the request.
    pub(crate) async fn ask(
        &self,
        url: &Uri,
        json: Option<String>,
    ) -> Result<(u16, Bytes), HttpClientError> {
        let _place = self.places.try_acquire().map_err(|_| HttpClientError::Full)?;
        let request = Request::builder().uri(url);
        let request = match json {
            Some(body) => {
                let typed = request.method(Method::POST).header(CONTENT_TYPE, "application/json");
                typed.body(Full::new(Bytes::from(body)))
            }
            None => request.body(Full::default()),
        };
        let request = request.expect("a checked URL makes a request");
        let answer = async {
            let (head, body) = self.client.request(request).await?.into_parts();
            let body =
                Limited::new(body, MAX_ANSWER).collect().await.map_err(HttpClientError::Broken)?;
            Ok((head.status.as_u16(), body.to_bytes()))
        };
        timeout(ANSWER_WITHIN, answer).await?
    }
}
