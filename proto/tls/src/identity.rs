//! Who a process is inside the cluster, and which CAs it trusts.

use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::parse_x509_certificate;

use crate::explain;
use crate::pem::{LoadError, certificates, certified};
use crate::reload::{Content, Reloaded};
use crate::verify::{Usage, verify};

/// What a process is. Each has the name of its role in its certificate, wherever it runs: the name
/// says what it may do, and addresses come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Calls workers, and other gateways.
    Gateway,
    /// Is called by gateways.
    Worker,
}

impl Role {
    /// The name in its certificate, a DNS name of the subject alternative names.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "reframe-gateway",
            Self::Worker => "reframe-worker",
        }
    }

    pub(crate) fn server_name(self) -> ServerName<'static> {
        ServerName::try_from(self.name()).expect("the constants above are DNS names")
    }

    /// What its certificate is used for.
    const fn usages(self) -> &'static [Usage] {
        match self {
            // The latter at `--peer`.
            Self::Gateway => &[Usage::Client, Usage::Server],
            Self::Worker => &[Usage::Server],
        }
    }
}

/// A certificate with its key, and the CAs of the cluster.
#[derive(Debug)]
pub struct Identity {
    key: Arc<CertifiedKey>,
    pub(crate) roots: Vec<Root>,
}

/// A CA. The library does not look at the dates of one, so they stand here.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) anchor: TrustAnchor<'static>,
    pub(crate) subject: String,
    /// Seconds since 1970.
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

impl Identity {
    /// From `--cluster-tls-ca`, `--cluster-tls-cert` and `--cluster-tls-key`. A certificate that no
    /// other process would take is refused here, where it is known which file that is. One that is
    /// not valid yet is taken: it soon will be.
    pub(crate) fn load(
        role: Role,
        contents: &[Content<'_>],
        now: UnixTime,
    ) -> Result<Self, Vec<LoadError>> {
        let [ca, cert, key] = contents else { return Err(Vec::new()) };
        let (key, roots) = match (certified(*cert, *key), roots(*ca)) {
            (Ok(key), Ok(roots)) => (key, roots),
            (key, roots) => {
                return Err(key.err().into_iter().flatten().chain(roots.err()).collect());
            }
        };
        let (end, others) = key.cert.split_first().expect("a chain has one at least");
        for usage in role.usages() {
            if let Err(error) = verify(&roots, (end, others), &role.server_name(), *usage, now)
                && !explain::is_early(&error)
            {
                let why = explain::certificate(&error, "this process'");
                return Err(vec![LoadError::Unfit { file: cert.file.clone(), why }]);
            }
        }
        Ok(Self { key: Arc::new(key), roots })
    }

    /// The expiry of the certificate, or of its CAs if that is earlier, in seconds since 1970.
    #[must_use]
    pub fn expiry(&self) -> Option<i64> {
        let own = expiry(&self.key);
        let roots = self.roots.iter().map(|root| root.not_after).max();
        [own, roots].into_iter().flatten().min()
    }
}

impl ResolvesServerCert for Reloaded<Identity> {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current().key))
    }
}

impl ResolvesClientCert for Reloaded<Identity> {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current().key))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn roots(ca: Content<'_>) -> Result<Vec<Root>, LoadError> {
    let root = |certificate: &CertificateDer<'static>| {
        let broken = || LoadError::Unfit {
            file: ca.file.clone(),
            why: "a certificate in it is damaged".to_owned(),
        };
        let (_, parsed) = parse_x509_certificate(certificate).map_err(|_| broken())?;
        if !parsed.is_ca() {
            let why = format!("`{}` in it is no CA's certificate", parsed.subject());
            return Err(LoadError::Unfit { file: ca.file.clone(), why });
        }
        let mut store = rustls::RootCertStore::empty();
        store.add(certificate.clone()).map_err(|_| broken())?;
        let (not_before, not_after) = dates(certificate).ok_or_else(broken)?;
        let anchor = store.roots.pop().ok_or_else(broken)?;
        Ok(Root { anchor, subject: parsed.subject().to_string(), not_before, not_after })
    };
    certificates(ca)?.iter().map(root).collect()
}

/// When a certificate expires, in seconds since 1970.
#[must_use]
pub fn expiry(certified: &CertifiedKey) -> Option<i64> {
    certified.cert.first().and_then(dates).map(|(_, not_after)| not_after)
}

/// From when until when a certificate is valid, in seconds since 1970.
fn dates(certificate: &CertificateDer<'_>) -> Option<(i64, i64)> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let validity = parsed.validity();
    Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
}
