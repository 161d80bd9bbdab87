//! Certificates and keys from PEM files.

use std::io;

use rustls::crypto::ring;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::reload::{Content, File};

/// What is wrong with a file; each names its option.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is not there, or not for us.
    #[error("{}: cannot read `{}`: {error}", file.flag, file.path)]
    Read {
        /// Which one.
        file: File,
        /// What the system said.
        error: io::Error,
    },
    /// Nothing of the kind stands in it.
    #[error("{}: no PEM {what} in `{}`", file.flag, file.path)]
    Missing {
        /// Which one.
        file: File,
        /// What should.
        what: &'static str,
    },
    /// It is damaged.
    #[error("{}: `{}` is not PEM: {error}", file.flag, file.path)]
    Pem {
        /// Which one.
        file: File,
        /// Where.
        error: PemError,
    },
    /// Certificate and key are of two pairs.
    #[error("{}: `{}` is not the key of the certificate in {} `{}`", key.flag, key.path, cert.flag, cert.path)]
    Pair {
        /// The certificate.
        cert: File,
        /// The key.
        key: File,
    },
    /// A certificate that nobody could use.
    #[error("{}: `{}`: {error}", file.flag, file.path)]
    Use {
        /// Which one.
        file: File,
        /// What the library said.
        error: rustls::Error,
    },
    /// A certificate that the other side would refuse.
    #[error("{}: `{}`: {why}", file.flag, file.path)]
    Unfit {
        /// Which one.
        file: File,
        /// Why, and what to do.
        why: String,
    },
}

/// A certificate with its key, or all problems.
///
/// # Errors
/// What is wrong with either, or that they do not belong together.
pub fn certified(cert: Content<'_>, key: Content<'_>) -> Result<CertifiedKey, Vec<LoadError>> {
    let pair = PrivateKeyDer::from_pem_slice(key.bytes)
        .map_err(|error| broken(key.file, "unencrypted private key", error));
    let (chain, pair) = match (certificates(cert), pair) {
        (Ok(chain), Ok(pair)) => (chain, pair),
        (chain, pair) => return Err([chain.err(), pair.err()].into_iter().flatten().collect()),
    };
    CertifiedKey::from_der(chain, pair, &ring::default_provider()).map_err(|error| {
        let (cert, key) = (cert.file.clone(), key.file.clone());
        vec![match error {
            rustls::Error::InconsistentKeys(_) => LoadError::Pair { cert, key },
            error => LoadError::Use { file: cert, error },
        }]
    })
}

/// Every certificate of a file, at least one.
pub(crate) fn certificates(
    content: Content<'_>,
) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(content.bytes).collect();
    let chain = chain
        .and_then(|chain| if chain.is_empty() { Err(PemError::NoItemsFound) } else { Ok(chain) });
    chain.map_err(|error| broken(content.file, "certificate", error))
}

fn broken(file: &File, what: &'static str, error: PemError) -> LoadError {
    let file = file.clone();
    match error {
        PemError::NoItemsFound => LoadError::Missing { file, what },
        error => LoadError::Pem { file, error },
    }
}
