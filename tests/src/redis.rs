//! A real `redis-server` on a free port of the loopback interface, empty, nothing of it on disk.
//!
//! The gateway's own tests include this file (`gateway/src/workers/redis/mod.rs`), so it uses
//! nothing of this crate.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

/// Until it answers; it takes some 20 ms.
const STARTUP: Duration = Duration::from_secs(30);
/// Between two looks at whether it answers.
const POLL: Duration = Duration::from_millis(5);
/// Its working directory, where nobody can create a file, root neither.
const NOWHERE: &str = "/proc";
/// Another process may take the port that was found free.
const ATTEMPTS: usize = 5;

/// A running server. Killed (SIGKILL, by its own process id) when dropped.
#[derive(Debug)]
pub struct RedisServer {
    child: Child,
    port: u16,
    password: Option<String>,
    tls: Option<Tls>,
}

/// A second port, by TLS.
#[derive(Debug)]
struct Tls {
    port: u16,
    cert: String,
    key: String,
}

impl RedisServer {
    /// Starts one that takes everybody.
    ///
    /// # Panics
    /// When `redis-server` is missing or does not come up.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(None, None)
    }

    /// Starts one that also listens by TLS, with the certificate and the key in these PEM files.
    ///
    /// # Panics
    /// When `redis-server` is missing or does not come up.
    #[must_use]
    pub fn with_tls(cert: &str, key: &str) -> Self {
        Self::start_with(None, Some((cert.to_owned(), key.to_owned())))
    }

    /// Starts one that asks for a password.
    ///
    /// # Panics
    /// When `redis-server` is missing or does not come up.
    #[must_use]
    pub fn with_password(password: &str) -> Self {
        Self::start_with(Some(password.to_owned()), None)
    }

    fn start_with(password: Option<String>, files: Option<(String, String)>) -> Self {
        let free = || {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            free.local_addr().expect("a bound socket has an address").port()
        };
        let server = || {
            let files = files.clone();
            let (port, tls) = (free(), files.map(|(cert, key)| Tls { port: free(), cert, key }));
            let child = spawn(port, password.as_deref(), tls.as_ref())?;
            Some((child, port, tls))
        };
        let started = (0..ATTEMPTS).find_map(|_| server());
        let (child, port, tls) = started.expect("redis-server starts on one of several free ports");
        Self { child, port, password, tls }
    }

    /// `rediss://…`, of one that was started with TLS.
    ///
    /// # Panics
    /// When it was not.
    #[must_use]
    pub fn tls_url(&self) -> String {
        let tls = self.tls.as_ref().expect("started with TLS");
        format!("rediss://127.0.0.1:{}", tls.port)
    }

    /// `redis://…`, with the password.
    #[must_use]
    pub fn url(&self) -> String {
        let login =
            self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        format!("redis://{login}127.0.0.1:{}", self.port)
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGKILL; until [`RedisServer::restart`] nobody listens on its port.
    pub fn kill9(&mut self) {
        // Both fail only when the process is already gone and collected, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Kills it, if that was not done, and starts another on the same port: empty.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn restart(&mut self) {
        self.kill9();
        self.child = spawn(self.port, self.password.as_deref(), self.tls.as_ref())
            .expect("redis-server starts again on its port");
    }

    /// SIGSTOP: it takes connections and commands, and answers none.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// SIGCONT: it answers what it was asked meanwhile.
    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    /// From now on it takes no writes: it has been told to save its data, and could not.
    ///
    /// # Panics
    /// When it could.
    pub fn stop_saving(&self) {
        assert_eq!(self.cli(&["CONFIG", "SET", "save", "3600 1"]), "OK");
        drop(self.cli(&["BGSAVE"]));
        let deadline = Instant::now() + STARTUP;
        while !self.cli(&["INFO", "persistence"]).contains("rdb_last_bgsave_status:err") {
            assert!(Instant::now() < deadline, "redis-server saves its data into {NOWHERE}");
            std::thread::park_timeout(POLL);
        }
    }

    /// Saving is switched off: it takes writes again.
    ///
    /// # Panics
    /// When it does not.
    pub fn save_nothing(&self) {
        assert_eq!(self.cli(&["CONFIG", "SET", "save", ""]), "OK");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.id().to_string()]).status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "kill {signal} of a process that is ours"
        );
    }

    /// What `redis-cli` answers to a command.
    ///
    /// # Panics
    /// When it cannot be asked.
    #[must_use]
    pub fn cli(&self, command: &[&str]) -> String {
        let login = self.password.as_deref().map(|password| ["-a", password]);
        self.cli_as(login.as_ref().map_or(&[], |login| login), command)
    }

    /// What `redis-cli` answers to a command, with these options of who asks.
    ///
    /// # Panics
    /// When it cannot be asked.
    #[must_use]
    pub fn cli_as(&self, login: &[&str], command: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string(), "--no-auth-warning"])
            .args(login)
            .args(command)
            .output()
            .unwrap_or_else(|error| panic!("redis-cli (Debian: redis-tools): {error}"));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// `None` when it ends at once: its port is taken.
fn spawn(port: u16, password: Option<&str>, tls: Option<&Tls>) -> Option<Child> {
    let mut command = Command::new("redis-server");
    command.args([
        "--port",
        &port.to_string(),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        NOWHERE,
    ]);
    if let Some(password) = password {
        command.args(["--requirepass", password]);
    }
    if let Some(Tls { port, cert, key }) = tls {
        command.args(["--tls-port", &port.to_string(), "--tls-auth-clients", "no"]);
        command.args(["--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert]);
    }
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = child
        .unwrap_or_else(|error| panic!("redis-server (Debian: redis-server) is needed: {error}"));
    let deadline = Instant::now() + STARTUP;
    loop {
        if !matches!(child.try_wait(), Ok(None)) {
            return None;
        }
        if answers(port) {
            return Some(child);
        }
        assert!(
            Instant::now() < deadline,
            "redis-server does not answer on port {port} within {STARTUP:?}"
        );
        std::thread::park_timeout(POLL);
    }
}

/// True when a Redis answers there, be it that it wants a password first.
fn answers(port: u16) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(STARTUP))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    matches!(ask().as_ref().map(<[u8; 5]>::as_slice), Ok(b"+PONG" | b"-NOAU"))
}
