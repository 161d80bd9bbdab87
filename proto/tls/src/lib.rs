//! Certificates of Reframe's programs, and TLS between its gateways and workers.
//!
//! | module | what it is |
//! |---|---|
//! | `reload` | a value that files make, and make again when they change |
//! | `pem` | certificates and keys from PEM files; each problem names its option |
//! | `identity` | who a process is inside the cluster, and which CAs it trusts |
//! | `verify` | whether the other side is who it must be: its CA, name, purpose and dates |
//! | `explain` | why not, and what to do |
//! | `cluster` | both ends of a connection: TLS, or plain where that is allowed |
//! | `stream` | a connection, with or without TLS |
//! | `options` | `--cluster-tls`, `--cluster-tls-ca`, `--cluster-tls-cert` and `--cluster-tls-key` |
//!
//! There is no resumption: a resumed connection would skip the check of the client's certificate,
//! and what has expired or was replaced would stay good.

mod cluster;
mod explain;
mod identity;
mod options;
mod pem;
mod reload;
mod stream;
#[cfg(test)]
mod tests;
mod verify;

pub use self::cluster::{Accepting, ClusterTls};
pub use self::identity::{Identity, Role, expiry};
pub use self::options::{ClusterTlsOptions, Unprotected, is_local};
pub use self::pem::{LoadError, certified};
pub use self::reload::{Content, File, Looked, Reloaded, watch};
pub use self::stream::Io;
