//! A service that these tests play.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;

/// A service on loopback: answers each request with what `decide` says of its body.
pub(super) fn service(
    decide: impl Fn(&Value) -> (u16, String) + Send + Sync + 'static,
) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("its address"));
    let (asked, decide) = (Arc::new(AtomicUsize::new(0)), Arc::new(decide));
    let counted = Arc::clone(&asked);
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let (counted, decide) = (Arc::clone(&counted), Arc::clone(&decide));
            // Browsers open connections and ask nothing on them.
            thread::spawn(move || serve(connection, &counted, &*decide).ok());
        }
    });
    (url, asked)
}

fn serve(
    connection: TcpStream,
    asked: &AtomicUsize,
    decide: &dyn Fn(&Value) -> (u16, String),
) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line)? > 2 {
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    asked.fetch_add(1, Ordering::Relaxed);
    let (status, body) = decide(&serde_json::from_slice(&body).unwrap_or_default());
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    reader.get_mut().write_all((head + &body).as_bytes())
}
