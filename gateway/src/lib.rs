//! The Reframe gateway: terminates WebRTC for browsers and has their video processed by workers.
//!
//! Each folder says in its `mod.rs` what it is and what it may import: only folders below it in
//! this table, which `tests/e2e/docs.rs` holds. `ARCHITECTURE.md` follows a frame through them.
//!
//! | folder | what it is |
//! |---|---|
//! | `http` | the public and the admin port |
//! | `gateway` | the actor that knows all sessions, and admits them |
//! | `viewer` | one actor for each viewer of a session |
//! | `session` | one actor for each session |
//! | `browser` | the connection to a browser: offers, the WebRTC stack, the media port; hops 1 and 10 |
//! | `pipeline` | packets to frames and back: hops 2, 8 and 9 |
//! | `workers` | which there are, which one takes a session, and the stream to it: hops 4 and 7 |
//! | `stream` | what a stream declares; inputs and outputs of its sessions |
//! | `config` | options, and the values that they are checked into |
//! | `threads` | arbiters, and how a codec thread shares its time |
//! | `media` | what passes from hop to hop |
//! | `telemetry` | metrics, traces, and the end of every frame |
//! | `codec` | VP8, VP9 and H.264, and their RTP payloads |
//! | `access` | who may do what: access tokens, and the tokens of sessions |
//! | `shares` | what strangers use up, shared among their networks |

mod app;

mod access;
mod browser;
pub mod codec;
mod config;
mod gateway;
mod http;
mod media;
mod pipeline;
mod session;
mod shares;
mod stream;
mod telemetry;
mod threads;
mod viewer;
mod workers;

#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod bench;
#[cfg(any(test, feature = "internals"))]
#[doc(hidden)]
pub mod fuzz;

pub use app::{RunError, run, run_until};
pub use browser::net::MediaError;
pub use config::access::AccessOptions;
pub use config::client_limits::ClientLimitOptions;
pub use config::cluster::{Cluster, ClusterOptions};
pub use config::edge::EdgeOptions;
pub use config::ice_servers::IceServerOptions;
pub use config::media::MediaOptions;
pub use config::redis::RedisOptions;
pub use config::tls::cluster_init::{ClusterInitError, cluster_init};
pub use config::token::TokenOptions;
pub use config::worker_address::WorkerAddress;
pub use config::{Config, EXIT_USAGE, Options};
