//! The Reframe gateway: terminates WebRTC for browsers and has their video processed by workers.
//!
//! The modules in the order in which a frame meets them; each of the ten hops opens with the same header:
//!
//! 1. `peer` takes RTP from the browser, 2. `ingress` decodes (`assembler`, `payload`, `codec`), 3. `session` accepts or
//!    skips (`frame`), 4. `link` sends to the worker; there 5. the service and 6. the runner work; 7. `link` takes
//!    the result, 8. `pacer` releases it, 9. `egress` encodes, 10. `peer` sends.
//!
//! Beside the path: `bandwidth` fits the video into what the network carries, `books` counts every frame's end, `trace` looks at one in some hundred, `spec` is what a stream declares, `controls` what the outside may
//! do with a session (`inputs`, `outputs`), `pool` knows the workers, `placement` chooses one, `offer` and `http` are the
//! way in, `app` puts all together.



pub mod codec;
mod session;




mod app;
#[doc(hidden)]
pub mod bench;
mod config;
#[doc(hidden)]
pub mod fuzz;
mod http;
mod shares;
mod telemetry;

pub use app::{RunError, run};
pub use cluster::{Cluster, ClusterOptions};
pub use config::{Config, EXIT_USAGE, Options};
pub use edge::EdgeOptions;
pub use net::{IceServerOptions, MediaError, MediaOptions};
pub use pool::WorkerAddress;
mod media;
mod threads;
mod stream;
mod workers;
mod pipeline;
mod browser;
