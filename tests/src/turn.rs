//! A real `turnserver` (coturn) on free ports of the loopback interface, with a shared secret.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::wait::eventually;

/// Until it takes connections; it takes some 100 ms.
const STARTUP: Duration = Duration::from_secs(30);

/// A running server. Killed (SIGKILL, by its own process id) when dropped.
#[derive(Debug)]
pub struct TurnServer {
    child: Child,
    port: u16,
}

impl TurnServer {
    /// Starts one whose database and log are in `directory`.
    ///
    /// # Panics
    /// When `turnserver` is missing or does not come up.
    #[must_use]
    pub fn start(directory: &Path, secret: &str) -> Self {
        std::fs::create_dir_all(directory).expect("a directory for turnserver");
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = free.local_addr().expect("a bound socket has an address").port();
        drop(free);
        let child = Command::new("turnserver")
            .args([
                "-n",
                "--listening-ip=127.0.0.1",
                "--relay-ip=127.0.0.1",
                "--realm=reframe.test",
            ])
            .args([
                "--use-auth-secret",
                "--no-cli",
                "--no-tls",
                "--no-dtls",
                "--allow-loopback-peers",
                "--fingerprint",
            ])
            .arg(format!("--listening-port={port}"))
            .arg(format!("--static-auth-secret={secret}"))
            .arg(format!("--userdb={}", directory.join("turn.db").display()))
            .arg(format!("--pidfile={}", directory.join("turn.pid").display()))
            .arg("--log-file=stdout")
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("turnserver (Debian: coturn) is needed: {error}"));
        let mut server = Self { child, port };
        eventually("turnserver takes connections", STARTUP, || {
            assert!(matches!(server.child.try_wait(), Ok(None)), "turnserver has ended by itself");
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(())
        });
        server
    }

    /// `host:port`, for TURN and STUN.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for TurnServer {
    fn drop(&mut self) {
        // Both fail only when the process is already gone and collected, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
