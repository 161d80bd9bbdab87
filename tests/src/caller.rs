//! Whoever calls a port inside the cluster: plain, or by TLS, with a certificate or none. It takes
//! whoever answers, and shares no TLS with gateways and workers.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use openssl::ssl::{SslConnector, SslFiletype, SslMethod, SslVerifyMode};

use crate::certificates::Certificates;
use crate::process::Process;

/// For an answer, or for the connection's end.
const ANSWER: Duration = Duration::from_secs(30);
/// Of an answer that is looked at.
const BYTES: usize = 4_096;
/// What a client of HTTP/2 sends first, with no settings (RFC 9113, 3.4).
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The type of the frame that a server of HTTP/2 sends first, and where in it that stands.
const SETTINGS: (usize, u8) = (3, 4);

/// What it shows.
#[derive(Clone, Copy, Debug)]
pub enum Caller<'a> {
    /// It speaks no TLS.
    Plain,
    /// TLS without a certificate.
    Nameless,
    /// TLS with this one.
    With(&'a Certificates),
}

impl Caller<'_> {
    /// What is answered first to `request`; nothing, if the connection is ended instead.
    ///
    /// # Panics
    /// When nobody listens, or neither an answer nor an end comes.
    #[must_use]
    pub fn ask(&self, address: &str, request: &[u8]) -> Vec<u8> {
        self.try_ask(address, request).unwrap_or_else(|error| {
            let late = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
            assert!(!late, "{address}: no answer and no end to {self:?}");
            Vec::new()
        })
    }

    /// The status of the answer to an HTTP request; `None` without one.
    ///
    /// # Panics
    /// As [`Caller::ask`], and when the answer is no HTTP.
    #[must_use]
    pub fn status(&self, address: &str, method: &str, path: &str, headers: &str) -> Option<u16> {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n");
        let answer = self.ask(address, head.as_bytes());
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        assert!(answer.is_empty() || status.is_some(), "{address}: {answer}");
        status
    }

    /// Whether a gRPC server takes the connection.
    ///
    /// # Panics
    /// As [`Caller::ask`].
    #[must_use]
    pub fn is_taken_by_grpc(&self, address: &str) -> bool {
        let (place, frame) = SETTINGS;
        self.ask(address, HTTP2).get(place) == Some(&frame)
    }

    fn try_ask(&self, address: &str, request: &[u8]) -> io::Result<Vec<u8>> {
        let socket = TcpStream::connect(address).expect("the port is open");
        socket.set_read_timeout(Some(ANSWER)).expect("a socket");
        let files = match self {
            Self::Plain => return first(socket, request),
            Self::Nameless => None,
            Self::With(files) => Some(files),
        };
        let mut connector = SslConnector::builder(SslMethod::tls_client()).expect("OpenSSL works");
        connector.set_verify(SslVerifyMode::NONE);
        if let Some(files) = files {
            let (cert, key) = (files.file("cert"), files.file("key"));
            connector.set_certificate_file(cert, SslFiletype::PEM).expect("a certificate");
            connector.set_private_key_file(key, SslFiletype::PEM).expect("its key");
        }
        let connecting = connector.build().configure().expect("OpenSSL works");
        let connecting = connecting.verify_hostname(false).connect("cluster", socket);
        first(connecting.map_err(io::Error::other)?, request)
    }
}

/// Where a gateway listens to others.
///
/// # Panics
/// When it does not.
#[must_use]
pub fn peer_address(gateway: &Process) -> String {
    let log = gateway.log();
    let line = log.lines().find(|line| line.contains("listening to other gateways"));
    let line = line.unwrap_or_else(|| panic!("no such line: {log}"));
    let address = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next());
    address.expect("its address").to_owned()
}

fn first(mut connection: impl Read + Write, request: &[u8]) -> io::Result<Vec<u8>> {
    connection.write_all(request)?;
    let mut answer = vec![0; BYTES];
    let read = connection.read(&mut answer)?;
    answer.truncate(read);
    Ok(answer)
}
