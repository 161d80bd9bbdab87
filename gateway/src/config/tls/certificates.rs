//! The server's certificate, and its files, which may be replaced.
//!
//! Files are compared by their contents, not by their times: Kubernetes swaps a link, other tools
//! copy over the file. Files that cannot be used leave the old certificate in place, are counted,
//! and are logged once for each content.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use rustls::crypto::ring;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};
use x509_parser::parse_x509_certificate;

use crate::telemetry;

/// Between two reads of the files. Certificates are renewed days before they expire.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The certificate for new connections.
#[derive(Debug)]
pub(crate) struct Certificates {
    current: RwLock<Arc<CertifiedKey>>,
    files: Option<Files>,
}

#[derive(Debug)]
struct Files {
    cert: String,
    key: String,
    /// The contents at the last read; they may contain the key, so they are never printed.
    seen: Mutex<Seen>,
}

#[derive(PartialEq, Eq)]
struct Seen {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seen")
    }
}

/// What is wrong with the files; each names its option.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error("{flag}: cannot read `{path}`: {error}")]
    Read { flag: &'static str, path: String, error: io::Error },
    #[error("{flag}: no PEM {what} in `{path}`")]
    Missing { flag: &'static str, path: String, what: &'static str },
    #[error("{flag}: `{path}` is not PEM: {error}")]
    Pem { flag: &'static str, path: String, error: PemError },
    #[error("--tls-key: `{key}` is not the key of the certificate in --tls-cert `{cert}`")]
    Pair { cert: String, key: String },
    #[error("--tls-cert: `{cert}` with --tls-key `{key}`: {error}")]
    Use { cert: String, key: String, error: rustls::Error },
}

impl Certificates {
    /// From two PEM files, which [`watch`] reads again. `None` when a line was added to `problems`.
    pub(super) fn from_files(problems: &mut Vec<String>, cert: &str, key: &str) -> Option<Self> {
        let (chain, pair) = (read("--tls-cert", cert), read("--tls-key", key));
        let seen = match (chain, pair) {
            (Ok(cert), Ok(key)) => Seen { cert, key },
            (chain, pair) => {
                problems.extend(
                    [chain.err(), pair.err()].into_iter().flatten().map(|error| error.to_string()),
                );
                return None;
            }
        };
        match load(cert, key, &seen) {
            Ok(current) => {
                let files =
                    Files { cert: cert.to_owned(), key: key.to_owned(), seen: Mutex::new(seen) };
                Some(Self { current: RwLock::new(current), files: Some(files) })
            }
            Err(errors) => {
                problems.extend(errors.iter().map(ToString::to_string));
                None
            }
        }
    }

    /// A certificate that does not change.
    pub(super) fn fixed(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, rustls::Error> {
        let current = CertifiedKey::from_der(chain, key, &ring::default_provider())?;
        Ok(Self { current: RwLock::new(Arc::new(current)), files: None })
    }

    fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.current.read())
    }

    /// The expiry of the current certificate, in seconds since 1970.
    fn expiry(&self) -> Option<i64> {
        let current = self.current();
        let (_, parsed) = parse_x509_certificate(current.cert.first()?).ok()?;
        Some(parsed.validity().not_after.timestamp())
    }

    /// Uses the files if they have changed and are valid. Blocks on the disk.
    fn look(&self) {
        let Some(Files { cert, key, seen }) = &self.files else { return };
        // An error means that a file is being replaced, or that the disk is unavailable: the next
        // read decides.
        let (Ok(new_cert), Ok(new_key)) = (fs::read(cert), fs::read(key)) else { return };
        let new = Seen { cert: new_cert, key: new_key };
        let mut seen = seen.lock();
        if *seen == new {
            return;
        }
        match load(cert, key, &new) {
            Ok(loaded) => {
                *self.current.write() = loaded;
                info!(cert, expires = self.expiry(), "another certificate was read");
            }
            Err(errors) => {
                telemetry::tls_reload_error();
                let problem = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                warn!(
                    problem,
                    "the certificate's files have changed and cannot be used; the old one stays"
                );
            }
        }
        *seen = new;
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

/// Reads the files as long as the gateway runs, and exports the certificate's expiry.
pub(crate) async fn watch(certificates: Arc<Certificates>) {
    let mut tick = interval(LOOK_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let looked = Arc::clone(&certificates);
        // An error means that the runtime ends.
        tokio::task::spawn_blocking(move || looked.look()).await.ok();
        if let Some(expiry) = certificates.expiry() {
            telemetry::tls_expiry(expiry);
        }
    }
}

fn read(flag: &'static str, path: &str) -> Result<Vec<u8>, LoadError> {
    fs::read(path).map_err(|error| LoadError::Read { flag, path: path.to_owned(), error })
}

/// A certificate with its key, or all problems.
fn load(
    cert: &str,
    key: &str,
    Seen { cert: chain, key: pair }: &Seen,
) -> Result<Arc<CertifiedKey>, Vec<LoadError>> {
    let pem = |flag, path: &str, what, error| {
        let path = path.to_owned();
        match error {
            PemError::NoItemsFound => LoadError::Missing { flag, path, what },
            error => LoadError::Pem { flag, path, error },
        }
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let chain = chain
        .and_then(|chain| if chain.is_empty() { Err(PemError::NoItemsFound) } else { Ok(chain) });
    let chain = chain.map_err(|error| pem("--tls-cert", cert, "certificate", error));
    let pair = PrivateKeyDer::from_pem_slice(pair);
    let pair = pair.map_err(|error| pem("--tls-key", key, "unencrypted private key", error));
    let (chain, pair) = match (chain, pair) {
        (Ok(chain), Ok(pair)) => (chain, pair),
        (chain, pair) => return Err([chain.err(), pair.err()].into_iter().flatten().collect()),
    };
    let (cert, key) = (cert.to_owned(), key.to_owned());
    CertifiedKey::from_der(chain, pair, &ring::default_provider()).map(Arc::new).map_err(|error| {
        vec![match error {
            rustls::Error::InconsistentKeys(_) => LoadError::Pair { cert, key },
            error => LoadError::Use { cert, key, error },
        }]
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// A certificate that expires at the beginning of `year`, and its key.
    fn pem(year: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn changed_files_are_taken_and_broken_ones_are_not() {
        let folder =
            std::env::temp_dir().join(format!("reframe-certificates-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let [cert, key] =
            ["cert.pem", "key.pem"].map(|name| folder.join(name).to_str().unwrap().to_owned());
        let write = |(one, other): &(String, String)| {
            fs::write(&cert, one).unwrap();
            fs::write(&key, other).unwrap();
        };
        let (first, second) = (pem(2049), pem(2051));
        write(&first);
        let mut problems = Vec::new();
        let certificates = Certificates::from_files(&mut problems, &cert, &key).unwrap();
        // 2049 stands in it as a UTCTime, 2051 as a GeneralizedTime (RFC 5280, 4.1.2.5).
        assert_eq!(certificates.expiry(), Some(2_493_072_000));
        let shown = certificates.current();
        certificates.look();
        assert!(Arc::ptr_eq(&shown, &certificates.current()), "nothing has changed");
        for broken in [(second.0.clone(), first.1.clone()), ("garbage".to_owned(), first.1.clone())]
        {
            write(&broken);
            certificates.look();
            assert!(Arc::ptr_eq(&shown, &certificates.current()), "{broken:?}");
        }
        fs::remove_file(&key).unwrap();
        certificates.look();
        assert!(Arc::ptr_eq(&shown, &certificates.current()), "one is away");
        write(&second);
        certificates.look();
        assert_eq!(certificates.expiry(), Some(2_556_144_000));
        fs::remove_dir_all(&folder).unwrap();
    }
}
