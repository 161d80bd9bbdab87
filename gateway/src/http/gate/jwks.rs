//! Keeps the public keys of access tokens as their URL has them.

use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use reframe_tls::Reloaded;
use reframe_trace::error_chain;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::http_client::HttpClient;
use crate::access::Keys;

/// Between two looks when all is well.
const LOOK_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// At least between two looks: a token with an unknown key asks for one, and anybody can make such
/// a token.
const MIN_INTERVAL: Duration = Duration::from_secs(10);

/// Runs as long as the gateway does. `wanted`: a token came whose key is not known.
pub(crate) async fn keep(
    client: HttpClient,
    url: Uri,
    keys: Arc<Reloaded<Keys>>,
    wanted: Arc<Notify>,
) {
    let mut told = String::new();
    loop {
        let problem = match client.ask(&url, None).await {
            Ok((200, body)) => {
                match std::str::from_utf8(&body).map_err(|error| error.to_string()) {
                    Ok(text) => Keys::from_jwks(text).map(|read| keys.replace(read)).err(),
                    Err(problem) => Some(problem),
                }
            }
            Ok((status, _)) => Some(format!("HTTP {status}")),
            Err(error) => Some(error_chain(&error)),
        };
        let problem = problem.unwrap_or_default();
        // Told when it changes: it is looked at again and again.
        if problem != told {
            if problem.is_empty() {
                info!(%url, "the keys of access tokens were read (--auth-jwks)");
            } else {
                warn!(%url, problem, "no keys of access tokens (--auth-jwks); those that were read before stay");
            }
        }
        let failed = !problem.is_empty();
        told = problem;
        sleep(MIN_INTERVAL).await;
        if !failed {
            // Elapsed: nobody asked.
            drop(timeout(LOOK_INTERVAL, wanted.notified()).await);
        }
    }
}
