//! The media port: one UDP port, and the same one for TCP, that carries every session of this
//! gateway.
//!
//! In:    datagrams and connections from anywhere.
//! Out:   each session's own, and nothing else, to its WebRTC stack.
//! Runs:  a task for each socket, on the media runtime; it copies and never waits for a session.
//! Full:  `udp::DATAGRAMS`, `tcp::FRAMES` and their like; what finds no room is lost and counted,
//!        as on any network.
//!
//! The stack believes that it has sockets of its own: `runtime` gives it such as only exist in
//! memory, and `candidates` tells the browser where the real ones are. `public` says where that is;
//! it finds out by `address_source` and `stun`. Which datagram is whose says `routes`; which of
//! them the stack gets, and whom it may ask, says `filter`, and what must wait for its turn,
//! `early`.

mod address_source;
mod candidates;
mod early;
mod filter;
mod packet;
mod policy;
mod port;
mod probes;
mod public;
mod roaming;
mod routes;
mod runtime;
mod session;
mod stun;
mod tcp;
mod udp;

#[cfg(any(test, feature = "internals"))]
pub(crate) use self::packet::{Check, Kind, classify};
pub(crate) use self::policy::CandidatePolicy;
pub use self::port::MediaError;
pub(crate) use self::port::MediaPort;
pub(crate) use self::public::Audience;
pub(crate) use self::runtime::{Nudge, SessionRuntime};
pub(crate) use self::session::SessionPort;
