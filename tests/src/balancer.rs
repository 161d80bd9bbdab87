//! A load balancer in front of several gateways: plain TCP, a connection to each in turn.
//!
//! It knows nothing of HTTP, as a Kubernetes service does not: what comes on one connection goes to
//! one gateway.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// A browser has six to a host. Further ones wait in the kernel's queue until one of these ends.
const MAX_CONNECTIONS: usize = 256;

/// A running load balancer. Dropping it cuts its connections.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    backends: Arc<Mutex<Backends>>,
    cut: CancellationToken,
    /// Runs it; taken when dropped.
    runtime: Option<Runtime>,
}

#[derive(Debug)]
struct Backends {
    addresses: Vec<SocketAddr>,
    next: usize,
    only: Option<usize>,
}

impl Balancer {
    /// Balances over `backends`, each like `http://127.0.0.1:8080`, on a free port.
    ///
    /// # Panics
    /// When a backend is not such an address, or the loopback interface has no free port.
    #[must_use]
    pub fn start(backends: &[String]) -> Self {
        let address =
            |url: &String| url.strip_prefix("http://").and_then(|address| address.parse().ok());
        let addresses = backends
            .iter()
            .map(|url| address(url).unwrap_or_else(|| panic!("{url} is not http://IP:PORT")))
            .collect();
        let backends = Arc::new(Mutex::new(Backends { addresses, next: 0, only: None }));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let cut = CancellationToken::new();
        runtime.spawn(serve(listener, Arc::clone(&backends), cut.clone()));
        Self { address, backends, cut, runtime: Some(runtime) }
    }

    /// The address of `path` (with its leading slash).
    #[must_use]
    pub fn page(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// New connections go to the backend of this index and to no other; `None` is back to all of
    /// them.
    ///
    /// # Panics
    /// Never: nothing panics while it holds the lock.
    pub fn only(&self, backend: Option<usize>) {
        self.backends.lock().expect("nothing panics while it holds the lock").only = backend;
    }

    /// From now on nothing passes, either way, and nobody is told: connections stay open, and new
    /// ones are taken.
    pub fn cut(&self) {
        self.cut.cancel();
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Backends {
    /// Where the next connection shall go: the first of them that takes it.
    fn choose(&mut self) -> Vec<SocketAddr> {
        if let Some(only) = self.only {
            return vec![self.addresses[only]];
        }
        let first = self.next % self.addresses.len();
        self.next = first + 1;
        let (before, after) = self.addresses.split_at(first);
        [after, before].concat()
    }
}

async fn serve(listener: TcpListener, backends: Arc<Mutex<Backends>>, cut: CancellationToken) {
    let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let permit = Arc::clone(&free).acquire_owned().await.expect("it is never closed");
        // An error is a connection that is gone already.
        let Ok((mut client, _)) = listener.accept().await else { continue };
        let chosen = backends.lock().expect("nothing panics while it holds the lock").choose();
        let cut = cut.clone();
        tokio::spawn(async move {
            // One that refuses is passed over. Without any the client's connection closes.
            if let Ok(mut backend) = TcpStream::connect(&chosen[..]).await {
                // It ends as either end likes: an error is how a killed process ends.
                let copied =
                    cut.run_until_cancelled(copy_bidirectional(&mut client, &mut backend)).await;
                if copied.is_none() {
                    // With both sockets, so that neither end learns of anything.
                    std::future::pending::<()>().await;
                }
            }
            drop(permit);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener as Listener, TcpStream as Stream};

    use super::*;

    /// Says `name` to whoever comes.
    fn backend(name: &'static str) -> String {
        let listener = Listener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        std::thread::spawn(move || {
            listener
                .incoming()
                .flatten()
                .for_each(|mut stream| stream.write_all(name.as_bytes()).expect("it listens"))
        });
        url
    }

    fn ask(balancer: &Balancer) -> String {
        let mut answer = String::new();
        Stream::connect(balancer.address).unwrap().read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn connections_go_to_each_in_turn_and_past_one_that_refuses() {
        let dead = Listener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let balancer = Balancer::start(&[backend("a"), format!("http://{dead}"), backend("b")]);
        let answers: Vec<_> = (0..6).map(|_| ask(&balancer)).collect();
        assert_eq!(answers, ["a", "b", "b", "a", "b", "b"]);
        balancer.only(Some(0));
        assert_eq!([ask(&balancer), ask(&balancer)], ["a", "a"]);
        balancer.only(Some(1));
        assert_eq!(ask(&balancer), "");
        balancer.only(None);
        assert_eq!(ask(&balancer), "a");
    }
}
