//! The worker from outside: its service over connections in memory, and its program as a process.
#![expect(clippy::unwrap_used, reason = "allowed in tests; their helpers are tests too")]

mod client;
mod drain;
mod ends;
mod inputs;
mod modes;
#[cfg(feature = "demos")]
mod program;
mod service;
