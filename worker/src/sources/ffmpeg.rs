//! The child process: started, read with a bound on every wait, and gone when dropped.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::time::Instant;

use super::error::SourceError;
use super::input::{Input, public};
use crate::session::Session;

/// How long a source may send nothing while a frame is waited for.
pub(super) const SILENCE: Duration = Duration::from_secs(10);

/// How often a wait looks whether its session is still there: the most that a closed session's
/// thread stays here.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// How long the child may take to exit after its pipes have ended, and how often that is looked at.
const EXIT: Duration = Duration::from_secs(1);
/// See [`EXIT`].
const EXIT_LOOK: Duration = Duration::from_millis(5);

/// The newest of what ffmpeg logs, in bytes: some lines, of which the last is shown. Older ones are
/// forgotten.
const LOG_BYTES: usize = 1024;

/// One run of ffmpeg. Its pipes are read by whoever asks for frames: both at once, so that neither
/// can fill up and block the child while the other is waited for, and without a thread.
#[derive(Debug)]
pub(super) struct Ffmpeg {
    child: Child,
    /// `None` once it has ended, as below.
    video: Option<ChildStdout>,
    log: Option<ChildStderr>,
    newest_log: Vec<u8>,
    source: OsString,
    name: String,
    session: Option<Session>,
    silence: Duration,
}

impl Ffmpeg {
    /// Starts `program` with arguments as they are, no shell between.
    pub(super) fn start(
        program: &OsStr,
        before: &[OsString],
        input: Input,
        after: &[OsString],
        silence: Duration,
    ) -> Result<Self, SourceError> {
        let mut command = Command::new(program);
        command
            .args(["-nostdin", "-loglevel", "error"])
            .args(before)
            .args(&input.arguments)
            .args(after);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Else a Ctrl-C at the terminal would end the sources before the worker has drained its
        // sessions.
        command.process_group(0);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                SourceError::NoFfmpeg(program.to_string_lossy().into_owned())
            }
            _ => SourceError::Start(error.to_string()),
        })?;
        let (video, log) = (child.stdout.take(), child.stderr.take());
        let source = input.arguments.into_iter().next_back().unwrap_or_default();
        let session = Session::current();
        Ok(Self {
            child,
            video,
            log,
            newest_log: Vec::new(),
            source,
            name: input.name,
            session,
            silence,
        })
    }

    /// Fills `buffer`, or as much of it as there is before the end of all output.
    ///
    /// # Errors
    ///
    /// When the session was closed, or nothing has come for too long.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_some(&mut buffer[filled..])? {
                0 => break,
                bytes => filled += bytes,
            }
        }
        Ok(filled)
    }

    /// Why there is no more, after the end: `None` when the source was played to its end.
    pub(super) fn end(&mut self) -> Option<SourceError> {
        // Its pipes have ended, so it is exiting. One that is not is at its end all the same.
        let until = Instant::now() + EXIT;
        let status = loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < until => thread::park_timeout(EXIT_LOOK),
                Ok(None) => return Some(self.failure("ffmpeg closed its output and did not end")),
                Ok(Some(status)) => break Ok(status),
                Err(error) => break Err(error),
            }
        };
        match status {
            Ok(status) if status.success() => None,
            Ok(status) => Some(self.failure(&format!("ffmpeg ended by {status}"))),
            Err(error) => Some(self.failure(&error.to_string())),
        }
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError> {
        let until = Instant::now() + self.silence;
        // Also the log to its end, which is where a failure is explained.
        while self.video.is_some() || self.log.is_some() {
            if self.session.as_ref().is_some_and(Session::is_closed) {
                return Err(SourceError::Closed);
            }
            let (video, log) = readable(self.video.as_ref(), self.log.as_ref())
                .map_err(|error| self.broken(&error))?;
            if log {
                self.read_log().map_err(|error| self.broken(&error))?;
            }
            if let Some(pipe) = self.video.as_mut().filter(|_| video) {
                match pipe.read(buffer) {
                    Ok(0) => self.video = None,
                    Ok(bytes) => return Ok(bytes),
                    Err(error) => return Err(self.broken(&error)),
                }
            }
            if Instant::now() >= until {
                return Err(SourceError::Silent { name: self.name.clone() });
            }
        }
        Ok(0)
    }

    fn read_log(&mut self) -> io::Result<()> {
        let Some(pipe) = &mut self.log else { return Ok(()) };
        let mut some = [0; LOG_BYTES];
        let bytes = pipe.read(&mut some)?;
        if bytes == 0 {
            self.log = None;
        }
        self.newest_log.extend_from_slice(&some[..bytes]);
        self.newest_log.drain(..self.newest_log.len().saturating_sub(LOG_BYTES));
        Ok(())
    }

    /// In ffmpeg's words, if it has left any.
    fn failure(&self, otherwise: &str) -> SourceError {
        let log = String::from_utf8_lossy(&self.newest_log);
        let name = self.name.clone();
        // The words of ffmpeg 4 to 8 for a source without pictures.
        if log.contains("does not contain any stream") {
            return SourceError::NoVideo(name);
        }
        let line =
            log.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or(otherwise);
        // It puts the source in front of most.
        let source = self.source.to_string_lossy();
        let reason = line
            .strip_prefix(&*source)
            .map_or(line, |reason| reason.trim_start_matches([':', ' ']));
        SourceError::Unreadable { name, reason: public(reason) }
    }

    fn broken(&self, error: &io::Error) -> SourceError {
        SourceError::Unreadable { name: self.name.clone(), reason: error.to_string() }
    }

    #[cfg(test)]
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }
}

/// A killed child that is not waited for would stay in the process table.
impl Drop for Ffmpeg {
    fn drop(&mut self) {
        // The whole group: the program of that name may be a script around the real one.
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process_group(group, Signal::KILL).ok();
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Which of the two can be read, or has ended, within [`LOOK`].
fn readable(video: Option<&ChildStdout>, log: Option<&ChildStderr>) -> io::Result<(bool, bool)> {
    let pipes = [video.map(AsFd::as_fd), log.map(AsFd::as_fd)];
    let mut watched: Vec<_> = pipes
        .into_iter()
        .flatten()
        .map(|pipe| PollFd::from_borrowed_fd(pipe, PollFlags::IN))
        .collect();
    match poll(&mut watched, Some(&LOOK)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut ready = watched.iter().map(|pipe| !pipe.revents().is_empty());
    let mut ready = |pipe: bool| pipe && ready.next() == Some(true);
    Ok((ready(video.is_some()), ready(log.is_some())))
}
