//! A reader of server-sent events (`GET /updates?webrtc_id=…`), with its own idea of when to read.
//!
//! It reads only while somebody waits for an event; otherwise what the server sends fills the
//! sockets between them, as with a browser's tab that is stopped.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::http::Reply;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its `event` field; `message` when there was none, as browsers have it.
    pub kind: String,
    /// Its `data` lines.
    pub data: String,
}

impl Event {
    /// The data as JSON; `Null` when it is not.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_default()
    }
}

/// An event stream that was accepted. Dropping it closes the connection.
#[derive(Debug)]
pub struct Updates {
    stream: TcpStream,
    /// Read and not yet taken out of HTTP's chunks.
    chunks: Vec<u8>,
    /// Taken out of the chunks and not yet a whole event.
    text: Vec<u8>,
    events: VecDeque<Event>,
    ended: bool,
}

/// For the response to begin.
const ANSWER: Duration = Duration::from_secs(30);

impl Updates {
    /// Asks for `url`.
    ///
    /// # Errors
    /// The reply, when it was not an event stream.
    ///
    /// # Panics
    /// When nobody answers with HTTP.
    pub fn open(url: &str) -> Result<Self, Reply> {
        let (host, path) = url
            .strip_prefix("http://")
            .and_then(|rest| rest.split_once('/'))
            .expect("http://host/path");
        let mut stream = TcpStream::connect(host).expect("the server takes connections");
        write!(
            stream,
            "GET /{path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\nConnection: \
             close\r\n\r\n"
        )
        .expect("the server reads a request");
        let mut updates = Self {
            stream,
            chunks: Vec::new(),
            text: Vec::new(),
            events: VecDeque::new(),
            ended: false,
        };
        let deadline = Instant::now() + ANSWER;
        let head = loop {
            if let Some(end) = find(&updates.chunks, b"\r\n\r\n") {
                break updates.chunks.drain(..end + 4).collect::<Vec<_>>();
            }
            assert!(
                updates.read(deadline),
                "no answer but {:?}",
                String::from_utf8_lossy(&updates.chunks)
            );
        };
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let status =
            head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("an HTTP status");
        if status == 200 && head.contains("\r\ncontent-type: text/event-stream") {
            assert!(
                head.contains("\r\ntransfer-encoding: chunked"),
                "a stream without a length is chunked: {head}"
            );
            return Ok(updates);
        }
        while updates.read(deadline) {}
        Err(Reply {
            status,
            body: String::from_utf8_lossy(&updates.chunks).into_owned(),
            retry_after: None,
            headers: Vec::new(),
        })
    }

    /// The next event; `None` when none has come in time or the stream has ended
    /// ([`Updates::ended`]).
    pub fn next(&mut self, timeout: Duration) -> Option<Event> {
        let deadline = Instant::now() + timeout;
        loop {
            self.unwrap_chunks();
            self.parse();
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if !self.read(deadline) {
                return None;
            }
        }
    }

    /// The next event of this kind, those before it forgotten.
    ///
    /// # Panics
    /// When none has come in time.
    #[track_caller]
    pub fn expect(&mut self, kind: &str, timeout: Duration) -> Event {
        let deadline = Instant::now() + timeout;
        loop {
            let event = self.next(deadline.saturating_duration_since(Instant::now()));
            let event = event
                .unwrap_or_else(|| panic!("no {kind:?} within {timeout:?}; ended {}", self.ended));
            if event.kind == kind {
                return event;
            }
        }
    }

    /// The server closed the stream, and everything before that has been taken.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended && self.events.is_empty()
    }

    /// Reads once; false when nothing came in time or nothing will come any more.
    fn read(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        if self.ended || left.is_zero() {
            return false;
        }
        self.stream.set_read_timeout(Some(left)).expect("a positive timeout");
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.ended = true,
            Ok(length) => self.chunks.extend_from_slice(&buffer[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            // Reset by a server that was killed.
            Err(_) => self.ended = true,
        }
        !self.ended
    }

    /// `SIZE\r\n`, as many bytes, `\r\n`, again and again (RFC 9112, section 7.1).
    fn unwrap_chunks(&mut self) {
        while let Some(line) = find(&self.chunks, b"\r\n") {
            let size = std::str::from_utf8(&self.chunks[..line])
                .ok()
                .and_then(|hex| usize::from_str_radix(hex, 16).ok());
            let size = size.expect("a chunk's size");
            let Some(chunk) = self.chunks.get(line + 2..line + 2 + size + 2) else { return };
            self.text.extend_from_slice(&chunk[..size]);
            self.chunks.drain(..line + 2 + size + 2);
        }
    }

    fn parse(&mut self) {
        while let Some(end) = find(&self.text, b"\n\n") {
            let block: Vec<u8> = self.text.drain(..end + 2).collect();
            let block = String::from_utf8(block).expect("event streams are UTF-8");
            let fields = |name: &str| {
                let prefix = format!("{name}:");
                let values = block.lines().filter_map(|line| line.strip_prefix(&prefix));
                values
                    .map(|value| value.strip_prefix(' ').unwrap_or(value).to_owned())
                    .collect::<Vec<_>>()
            };
            let data = fields("data");
            // A block without data is a comment that keeps the connection open.
            if !data.is_empty() {
                let kind = fields("event").pop().unwrap_or_else(|| "message".to_owned());
                self.events.push_back(Event { kind, data: data.join("\n") });
            }
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers one request with `head`, then writes each of `parts` as it is.
    fn serve(head: &'static str, parts: &'static [&'static str]) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/updates?webrtc_id=x", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let mut request = Vec::new();
            while find(&request, b"\r\n\r\n").is_none() {
                let mut buffer = [0; 1024];
                let length = stream.read(&mut buffer).unwrap();
                request.extend_from_slice(&buffer[..length]);
            }
            assert!(request.starts_with(b"GET /updates?webrtc_id=x HTTP/1.1\r\n"));
            for part in [head].iter().chain(parts) {
                stream.write_all(part.as_bytes()).unwrap();
                stream.flush().unwrap();
            }
        });
        url
    }

    const STREAM: &str =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n";

    #[test]
    fn events_come_out_of_chunks_however_they_are_cut() {
        let parts = &[
            "e\r\nevent: outputs\r\n",
            "9\r\n\ndata: {}\r\n2\r\n\n\n\r\n",
            "8\r\n: wait\n\n\r\n",
            "6\r\ndata:1\r\n",
            "9\r\n\ndata: 2\n\r\n1\r\n\n\r",
            "\n0\r\n\r\n",
        ];
        let mut updates = Updates::open(&serve(STREAM, parts)).unwrap();
        let event =
            |kind: &str, data: &str| Some(Event { kind: kind.to_owned(), data: data.to_owned() });
        assert_eq!(updates.next(ANSWER), event("outputs", "{}"));
        assert_eq!(updates.next(ANSWER), event("message", "1\n2"));
        assert_eq!((updates.next(ANSWER), updates.ended()), (None, true));
    }

    #[test]
    fn a_refusal_is_a_reply() {
        let url = serve(
            "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\n\r\n",
            &["{\"status\":", "\"failed\"}"],
        );
        let reply = Updates::open(&url).unwrap_err();
        assert_eq!((reply.status, reply.json()["status"].as_str()), (404, Some("failed")));
    }
}
