//! Value of `--workers`: addresses of workers.

use std::path::PathBuf;

use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tonic::transport::Uri;

/// The address of a worker.
#[derive(Clone, Debug)]
pub enum WorkerAddress {
    /// `http://host:port`.
    Uri(Uri),
    /// All addresses of a name.
    Dns {
        /// The name of a compose service, or a headless service of Kubernetes.
        name: String,
        /// The port at each address.
        port: u16,
    },
    /// The path of a Unix socket on this host.
    Unix(PathBuf),
    /// A worker in this process.
    InProcess {
        /// For metrics and logs.
        name: String,
        /// The server's end of each new connection is sent here.
        connect: mpsc::Sender<DuplexStream>,
    },
}
