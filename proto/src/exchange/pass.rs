//! Passing an [exchange](super::Exchange)'s memory to a worker of the same host, before the session
//! opens.
//!
//! A worker that listens on a Unix socket has a second one [beside](socket) it. A gateway connects
//! there, sends one message (the token with the memory's descriptor, `SCM_RIGHTS`, unix(7)), and is
//! answered with [`TAKEN`]. The worker keeps the memory until the connection ends or its session
//! has joined. The calls here do not block: they are for non-blocking sockets.

use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The answer to memory that was accepted; otherwise the connection is closed.
pub const TAKEN: u8 = b'+';

/// The socket of the worker at `unix:/path`, or with an empty authority (`unix:///path`); `None`
/// when the address has another form, or its path is not absolute.
#[must_use]
pub fn path(address: &str) -> Option<&Path> {
    let path = address.strip_prefix("unix:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    (path.starts_with('/') && !path.ends_with('/')).then(|| Path::new(path))
}

/// The socket on which the worker at `path` accepts memory.
#[must_use]
pub fn socket(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".memory");
    name.into()
}

/// Sends the token and the memory.
///
/// # Errors
/// As of sendmsg(2).
pub fn send(to: impl AsFd, token: u64, memory: impl AsFd) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files = [memory.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&files));
    let token = token.to_be_bytes();
    match sendmsg(to, &[IoSlice::new(&token)], &mut control, SendFlags::NOSIGNAL)? {
        // So few bytes are sent in one piece.
        sent if sent == token.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// Receives what [`send`] sent.
///
/// # Errors
/// As of recvmsg(2); `InvalidData` when it is anything else.
pub fn receive(from: impl AsFd) -> io::Result<(u64, OwnedFd)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut token = [0; size_of::<u64>()];
    let received =
        recvmsg(from, &mut [IoSliceMut::new(&mut token)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut files = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => files.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    match (files.next(), received.bytes == token.len()) {
        (Some(memory), true) => Ok((u64::from_be_bytes(token), memory)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
