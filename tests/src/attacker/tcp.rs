//! Connections over TCP from any of this machine's loopback addresses, and what becomes of them.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For one read or write.
const PATIENCE: Duration = Duration::from_secs(30);

/// Raises this process's limit of descriptors to what is allowed, and gives it: an attacker has as
/// many as its victim.
///
/// # Panics
/// Never: the limit may be raised as far as the hard one.
pub fn raise_descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    raised.expect("up to the hard limit anybody may");
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The address in `http://ADDRESS/…`.
///
/// # Panics
/// When there is no address.
#[must_use]
pub fn address(url: &str) -> SocketAddr {
    let rest = url.strip_prefix("http://").expect("plain http");
    rest.split('/').next().expect("a host").parse().expect("an address")
}

/// This many from `source`; a server may have closed some of them again.
///
/// # Panics
/// When the system has no more of them.
#[must_use]
pub fn connections(to: SocketAddr, source: [u8; 4], count: usize) -> Vec<TcpStream> {
    raise_descriptors();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let connect = || async {
        let socket = tokio::net::TcpSocket::new_v4().expect("a descriptor");
        socket.bind((source, 0).into()).expect("an address of the loopback interface");
        let stream =
            socket.connect(to).await.expect("the kernel takes it").into_std().expect("a socket");
        stream.set_nonblocking(false).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    };
    (0..count).map(|_| runtime.block_on(connect())).collect()
}

/// What comes until the server closes it.
///
/// # Errors
/// It is not closed.
pub fn until_closed(mut connection: TcpStream) -> Result<String, String> {
    let mut text = Vec::new();
    match connection.read_to_end(&mut text) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => {
            Err(format!("it is not closed: {error}"))
        }
        _ => Ok(String::from_utf8_lossy(&text).into_owned()),
    }
}

/// Whether the server has closed it by now; what it said before is forgotten.
///
/// # Panics
/// Never: every socket can be told not to wait.
#[must_use]
pub fn is_closed(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("sockets can");
    let mut buffer = [0; 1_024];
    let closed = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break true,
            Ok(_) => {}
            Err(error) => break error.kind() != ErrorKind::WouldBlock,
        }
    };
    stream.set_nonblocking(false).expect("sockets can");
    closed
}
