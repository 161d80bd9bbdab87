//! Value of `--workers`: where workers are.

use std::path::PathBuf;

use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tonic::transport::Uri;

/// Where a worker is.
#[derive(Clone, Debug)]
pub enum WorkerAddress {
    /// `http://host:port`.
    Uri(Uri),
    /// Each address that this name has.
    Dns {
        /// Of a compose service, or a headless service of Kubernetes.
        name: String,
        /// The same at each.
        port: u16,
    },
    /// On this host: the path of its socket.
    Unix(PathBuf),
    /// In this process.
    InProcess {
        /// For metrics and logs.
        name: String,
        /// The server's end of each new connection is sent here.
        connect: mpsc::Sender<DuplexStream>,
    },
}
