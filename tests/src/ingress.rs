//! A proxy in front of a gateway, as an Ingress is one: it asks `/readyz` on the gateway's public
//! port, and while that is not 200 it answers by itself, with a page of HTML.

use std::io::{BufRead as _, BufReader, Read as _, Write as _, copy};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::http::get;

/// A running proxy. Its threads end with the process.
#[derive(Debug)]
pub struct Ingress {
    url: String,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    gateway: String,
    closed: AtomicBool,
    /// Requests for an answer to an offer that were answered here.
    offers: AtomicUsize,
}

impl Ingress {
    /// In front of `gateway`, `http://ip:port`.
    ///
    /// # Panics
    /// When the loopback interface has no free port.
    #[must_use]
    pub fn start(gateway: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let gateway = gateway.trim_end_matches('/').to_owned();
        let (closed, offers) = (AtomicBool::default(), AtomicUsize::default());
        let shared = Arc::new(Shared { gateway, closed, offers });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                // Browsers open connections and ask nothing on them. An error is one that left.
                thread::spawn(move || shared.serve(client).ok());
            }
        });
        Self { url, shared }
    }

    /// The address of `path` (with its leading slash).
    #[must_use]
    pub fn page(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// From now on no gateway is ready, or again.
    pub fn close(&self, closed: bool) {
        self.shared.closed.store(closed, Ordering::Relaxed);
    }

    /// Offers that it has answered by itself so far.
    #[must_use]
    pub fn offers_refused(&self) -> usize {
        self.shared.offers.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn is_ready(&self) -> bool {
        let probed = || get(&format!("{}/readyz", self.gateway));
        !self.closed.load(Ordering::Relaxed) && probed().is_ok_and(|reply| reply.status == 200)
    }

    /// One request, and what comes back until its end.
    fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(client.try_clone()?);
        let mut head = String::new();
        while reader.read_line(&mut head)? > 2 {}
        if head.is_empty() {
            return Ok(());
        }
        if self.is_ready() {
            let others = |line: &&str| !line.to_ascii_lowercase().starts_with("connection:");
            let kept: String = head.trim_end().split_inclusive("\r\n").filter(others).collect();
            let mut gateway = TcpStream::connect(self.gateway.trim_start_matches("http://"))?;
            write!(gateway, "{}\r\nConnection: close\r\n\r\n", kept.trim_end())?;
            let mut to_gateway = gateway.try_clone()?;
            thread::spawn(move || copy(&mut reader, &mut to_gateway).ok());
            copy(&mut gateway, &mut client)?;
        } else {
            // The whole request first: a reset could overtake the answer.
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            });
            copy(&mut reader.take(length.unwrap_or(0)), &mut std::io::sink())?;
            if head.starts_with("POST ") && head.contains("/webrtc/offer ") {
                self.offers.fetch_add(1, Ordering::Relaxed);
            }
            let page = "<html><h1>503 Service Temporarily Unavailable</h1></html>";
            write!(
                client,
                "HTTP/1.1 503 Service Temporarily Unavailable\r\nContent-Type: text/html\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{page}",
                page.len()
            )?;
        }
        client.shutdown(Shutdown::Both)
    }
}
