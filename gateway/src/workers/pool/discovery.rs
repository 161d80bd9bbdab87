//! `dns://name:port`: the addresses that a name has, looked up again and again. Each is a worker.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::{sleep, timeout};
use tonic::transport::Uri;
use tracing::{info, warn};

use super::watch::RETRY_INTERVAL;
use super::{Locality, PoolState, channel};
use crate::telemetry;

/// Between two lookups of a name: a new worker is found, and one that vanished takes no sessions,
/// within this.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(5);
/// A lookup that takes longer has failed. The system's resolver goes on in a thread of its own,
/// which ends by itself.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Addresses of one name that are used. Each is a task and a connection, with a ping a second: of
/// more, only the first in order are taken.
const MAX_ADDRESSES: usize = 2_048;

/// Keeps the workers of part `source` of the configuration to what `name` stands for. A lookup that
/// fails changes nothing: the last addresses stay.
pub(super) async fn keep_found(shared: PoolState, source: usize, name: String, port: u16) {
    let mut logged = None;
    loop {
        match look_up(&name, port).await {
            Ok(addresses) => {
                logged = None;
                shared.list(source, &name, &addresses);
                sleep(LOOKUP_INTERVAL).await;
            }
            Err(error) => {
                telemetry::discovery_error();
                // One line per change, not one per attempt.
                let why = error.to_string();
                if logged.as_ref() != Some(&why) {
                    warn!(%name, error = %why, "name not found; its last addresses stay, retrying \
                        every second");
                    logged = Some(why);
                }
                sleep(RETRY_INTERVAL).await;
            }
        }
    }
}

/// The workers at a name, by their own names.
async fn look_up(name: &str, port: u16) -> io::Result<BTreeSet<String>> {
    let timed_out =
        |_| io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {LOOKUP_TIMEOUT:?}"));
    let addresses =
        timeout(LOOKUP_TIMEOUT, lookup_host((name, port))).await.map_err(timed_out)??;
    // A URL cannot hold a link-local address with its interface.
    let urls = addresses
        .map(|address| format!("http://{address}"))
        .filter(|url| url.parse::<Uri>().is_ok());
    Ok(at_most(urls.collect()))
}

fn at_most(mut urls: BTreeSet<String>) -> BTreeSet<String> {
    if let Some(first_out) = urls.iter().nth(MAX_ADDRESSES).cloned() {
        warn!(
            found = urls.len(),
            used = MAX_ADDRESSES,
            "a name has more addresses than there may be workers"
        );
        urls.split_off(&first_out);
    }
    urls
}

impl PoolState {
    pub(super) fn list(&self, source: usize, name: &str, addresses: &BTreeSet<String>) {
        let listed = self.update(|roster| roster.list(source, addresses));
        if !listed.added.is_empty() || !listed.vanished.is_empty() {
            info!(%name, added = ?listed.added, vanished = ?listed.vanished, "workers found");
        }
        for worker in listed.unknown {
            let connection = channel::at(&worker, self.tls.as_ref());
            self.watch(worker, Locality::Network, connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_server_does_not_say_how_many_connections_there_are() {
        let urls = |count: usize| -> BTreeSet<String> {
            (0..count).map(|n| format!("http://{n:09}:1")).collect()
        };
        assert_eq!(at_most(urls(MAX_ADDRESSES)).len(), MAX_ADDRESSES);
        let kept = at_most(urls(10 * MAX_ADDRESSES));
        assert_eq!(kept, urls(MAX_ADDRESSES), "the same ones at every lookup");
    }
}
