//! One of Reframe's binaries as a child process: its announcements, its end, its memory and CPU
//! time.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::{eventually, try_eventually};

/// Until a process has said where it listens; a debug build on a busy machine needs a second or
/// two.
const STARTUP: Duration = Duration::from_secs(30);

/// Of its log, what a failing test shows.
const LAST_LINES: usize = 40;

/// A running binary. Killed (SIGKILL, by its own process id) when dropped.
///
/// Its standard error goes to a file under `target/tmp`, which is kept, and its end shown, when the
/// test fails.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdout: Arc<Mutex<Vec<String>>>,
    log: PathBuf,
}

impl Process {
    /// Starts the binary `name` of this build with `args`.
    ///
    /// # Panics
    /// When the binary was not built or cannot be started.
    #[must_use]
    pub fn start(name: &str, args: &[&str]) -> Self {
        Self::start_in(&[], name, args)
    }

    /// [`Process::start`] with further environment variables.
    ///
    /// # Panics
    /// When the binary was not built or cannot be started.
    #[must_use]
    pub fn start_in(environment: &[(&str, &str)], name: &str, args: &[&str]) -> Self {
        let mut command = command(name);
        command.args(args).envs(environment.iter().copied());
        Self::spawn(name, command)
    }

    /// [`Process::start`] with at most this many file descriptors (`prlimit` of util-linux).
    ///
    /// # Panics
    /// When the binary was not built or cannot be started.
    #[must_use]
    pub fn start_limited(descriptors: usize, name: &str, args: &[&str]) -> Self {
        let program = command(name);
        let mut command = Command::new("prlimit");
        for (key, value) in program.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        // It becomes the program: the process id is the program's.
        command
            .arg(format!("--nofile={descriptors}:{descriptors}"))
            .arg(program.get_program())
            .args(args);
        Self::spawn(name, command)
    }

    /// Starts another program, which is called `name` in messages.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn spawn(name: &str, mut command: Command) -> Self {
        let log = log_path(name);
        let stderr = File::create(&log)
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", log.display()));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let pipe = BufReader::new(child.stdout.take().expect("stdout was piped"));
        let sink = Arc::clone(&lines);
        // Ends with the child, whose end closes the pipe.
        thread::spawn(move || {
            for line in pipe.lines().map_while(Result::ok) {
                sink.lock().expect("nothing panics while it holds the lines").push(line);
            }
        });
        Self { name: name.to_owned(), child, stdout: lines, log }
    }

    /// What follows `prefix` on the first line of standard output that starts so; waits for it.
    ///
    /// # Panics
    /// When the process ends, or half a minute passes, without such a line.
    pub fn announced(&mut self, prefix: &str) -> String {
        let what = format!("a line {prefix:?} on standard output (log: {})", self.log.display());
        eventually(&what, STARTUP, || {
            // Before the lines are read, so that an announcement just before an exit is still seen.
            let ended = self.child.try_wait().expect("a child can be waited for");
            let found = find(&self.stdout, prefix);
            if found.is_none()
                && let Some(status) = ended
            {
                panic!("ended ({status}) instead of {what}");
            }
            found
        })
    }

    /// Everything written to standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// True while the process runs.
    pub fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends SIGKILL and collects the process: the machine that loses power.
    pub fn kill9(&mut self) {
        // Both fail only when the process is already gone and collected, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Sends SIGTERM: what an orchestrator sends first.
    ///
    /// # Panics
    /// When the process is already gone.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGHUP: its terminal was closed.
    ///
    /// # Panics
    /// When the process is already gone.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Sends SIGINT: Ctrl-C.
    ///
    /// # Panics
    /// When the process is already gone.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Sends SIGSTOP: a process that hangs, until [`Process::thaw`]. Only [`Process::kill9`] ends
    /// it.
    ///
    /// # Panics
    /// When the process is already gone.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Sends SIGCONT, after [`Process::freeze`].
    ///
    /// # Panics
    /// When the process is already gone.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Whether a thread of this name was computing, and not in a system call, when the process was
    /// frozen.
    ///
    /// # Panics
    /// When the process is gone, or is not frozen.
    #[must_use]
    pub fn is_computing(&self, thread: &str) -> bool {
        let tasks = format!("/proc/{}/task", self.child.id());
        let tasks = fs::read_dir(&tasks).unwrap_or_else(|error| panic!("{tasks}: {error}"));
        tasks.flatten().any(|task| {
            let task = format!("task/{}", task.file_name().display());
            let read = |file: &str| proc(self.child.id(), &format!("{task}/{file}"));
            // The number of a system call or -1; "running" until the signal has reached the thread.
            let stopped = || Some(read("syscall")).filter(|call| !call.starts_with("running"));
            read("comm").trim() == thread
                && eventually("the thread has stopped", STARTUP, stopped).starts_with("-1 ")
        })
    }

    fn signal(&self, signal: Signal) {
        let pid =
            i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        // The child is not collected yet, so the id is still its own.
        kill_process(pid, signal).expect("the process is there");
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// File descriptors that it has open.
    ///
    /// # Panics
    /// When the process is gone.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.child.id());
        fs::read_dir(&path).unwrap_or_else(|error| panic!("{path}: {error}")).count()
    }

    /// Its threads.
    ///
    /// # Panics
    /// When the process is gone.
    #[must_use]
    pub fn threads(&self) -> usize {
        let status = proc(self.child.id(), "status");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("Threads:"))
            .expect("the count of threads");
        line.trim().parse().expect("a number")
    }

    /// The exit status, once the process has ended; `None` when it still runs after `timeout`.
    pub fn exit(&mut self, timeout: Duration) -> Option<ExitStatus> {
        try_eventually(timeout, || self.child.try_wait().expect("a child can be waited for"))
    }

    /// Resident memory in bytes.
    ///
    /// # Panics
    /// When the process is gone.
    #[must_use]
    pub fn rss_bytes(&self) -> u64 {
        Usage::of(self.child.id()).expect("a running process").rss_bytes
    }

    /// User and system time of all its threads so far, in steps of a clock tick (10 ms).
    ///
    /// # Panics
    /// When the process is gone.
    #[must_use]
    pub fn cpu_time(&self) -> Duration {
        cpu_time(self.child.id())
    }
}

/// User and system time of a process, in steps of a clock tick (10 ms).
///
/// # Panics
/// When it is gone.
#[must_use]
pub fn cpu_time(id: u32) -> Duration {
    Usage::of(id).unwrap_or_else(|| panic!("no process {id}")).cpu
}

/// What a process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and system time of all its threads so far, in steps of a clock tick (10 ms).
    pub cpu: Duration,
    /// Resident memory.
    pub rss_bytes: u64,
}

impl Usage {
    /// Of the process with this id; `None` when it is gone.
    #[must_use]
    pub fn of(id: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The second field is the name in parentheses and may hold anything. From the third on:
        // utime and stime are fields 14 and 15, in clock ticks, rss is field 24, in pages.
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<_> = fields.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let ticks = field(14)? + field(15)?;
        let cpu = Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second());
        Some(Self { cpu, rss_bytes: field(24)? * rustix::param::page_size() as u64 })
    }
}

fn proc(id: u32, file: &str) -> String {
    let path = format!("/proc/{id}/{file}");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "a test that fails shows what its processes said")]
    fn drop(&mut self) {
        self.kill9();
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
            eprintln!("--- {}, the last lines of {}:\n{last}", self.name, self.log.display());
        } else {
            // Not there: somebody cleaned up before us.
            drop(fs::remove_file(&self.log));
        }
    }
}

fn find(lines: &Mutex<Vec<String>>, prefix: &str) -> Option<String> {
    let lines = lines.lock().expect("nothing panics while it holds the lines");
    lines.iter().find_map(|line| line.strip_prefix(prefix)).map(|rest| rest.trim().to_owned())
}

/// What stands for a session's id in logs and traces.
#[must_use]
pub fn digest(id: &str) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, id.as_bytes());
    hash.as_ref()[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs the binary `name` to its end: for `--help` and configurations it refuses.
///
/// # Panics
/// When the binary was not built or cannot be started.
#[must_use]
pub fn run(name: &str, args: &[&str]) -> Output {
    run_in(&[], name, args)
}

/// [`run`] with further environment variables.
///
/// # Panics
/// When the binary was not built or cannot be started.
#[must_use]
pub fn run_in(environment: &[(&str, &str)], name: &str, args: &[&str]) -> Output {
    let mut command = command(name);
    command.args(args).envs(environment.iter().copied()).stdin(Stdio::null());
    command.output().unwrap_or_else(|error| panic!("cannot run {name}: {error}"))
}

/// The binary of the same build as this test, without whatever of ours the developer's shell
/// exports.
///
/// # Panics
/// When the binary was not built.
#[must_use]
pub fn command(name: &str) -> Command {
    let path = profile_dir().join(name);
    assert!(path.exists(), "{} is missing: run `cargo build --bins` first", path.display());
    own(Command::new(path))
}

/// The command without whatever of ours the developer's shell exports.
pub(crate) fn own(mut command: Command) -> Command {
    let ours = |key: &str| key.starts_with("REFRAME_") || key.starts_with("OTEL_");
    for (key, _) in std::env::vars_os().filter(|(key, _)| ours(&key.to_string_lossy())) {
        command.env_remove(key);
    }
    command
}

/// `target/<profile>`: tests run from its `deps`, tools like the load generator from the directory
/// itself.
fn profile_dir() -> PathBuf {
    let exe = std::env::current_exe().expect("the path of this executable");
    let dir = exe.parent().expect("a file is in a directory");
    if dir.ends_with("deps") {
        dir.parent().expect("deps is in the profile").to_owned()
    } else {
        dir.to_owned()
    }
}

/// `target/tmp/NAME-PID-N.log`: unique among the test processes that run side by side.
fn log_path(name: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let dir = profile_dir().parent().map_or_else(|| PathBuf::from("."), Path::to_owned).join("tmp");
    fs::create_dir_all(&dir)
        .unwrap_or_else(|error| panic!("cannot make {}: {error}", dir.display()));
    dir.join(format!("{name}-{}-{}.log", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "run `cargo build --bins` first")]
    fn says_how_to_get_a_missing_binary() {
        drop(run("reframe-no-such-binary", &[]));
    }
}
