//! The certificate of the public port, and its files, which may be replaced.

use std::sync::Arc;

use reframe_tls::{File, Looked, Reloaded, certified, expiry};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::telemetry;

/// The certificate for new connections.
#[derive(Clone, Debug)]
pub(crate) struct Certificates(Arc<Reloaded<CertifiedKey>>);

impl Certificates {
    /// From two PEM files, which [`watch`] reads again. `None` when a line was added to `problems`.
    pub(super) fn from_files(problems: &mut Vec<String>, cert: &str, key: &str) -> Option<Self> {
        let files = [("--tls-cert", cert), ("--tls-key", key)];
        let files = files.map(|(flag, path)| File { flag, path: path.to_owned() });
        let loaded = Reloaded::from_files(files.into(), |contents| match contents {
            [cert, key] => certified(*cert, *key),
            _ => Err(Vec::new()),
        });
        loaded
            .map(|loaded| Self(Arc::new(loaded)))
            .map_err(|errors| problems.extend(errors.iter().map(ToString::to_string)))
            .ok()
    }

    /// A certificate that does not change.
    pub(super) fn fixed(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, rustls::Error> {
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider())?;
        Ok(Self(Arc::new(Reloaded::fixed(certified))))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current())
    }
}

/// Reads the files as long as the gateway runs, and exports the certificate's expiry.
pub(crate) async fn watch(Certificates(certificates): Certificates) {
    let current = Arc::clone(&certificates);
    let told = move |looked: &Looked| {
        if matches!(looked, Looked::Unusable(_)) {
            telemetry::tls_reload_error("public");
        }
        if let Some(expiry) = expiry(&current.current()) {
            telemetry::tls_expiry("public", expiry);
        }
    };
    reframe_tls::watch(certificates, told).await;
}

#[cfg(test)]
mod tests {
    use std::fs;

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
        let Certificates(certificates) =
            Certificates::from_files(&mut problems, &cert, &key).unwrap();
        let expires = || expiry(&certificates.current());
        // 2049 stands in it as a UTCTime, 2051 as a GeneralizedTime (RFC 5280, 4.1.2.5).
        assert_eq!(expires(), Some(2_493_072_000));
        let shown = certificates.current();
        assert_eq!(certificates.look(), Looked::Same);
        assert!(Arc::ptr_eq(&shown, &certificates.current()), "nothing has changed");
        for broken in [(second.0.clone(), first.1.clone()), ("garbage".to_owned(), first.1.clone())]
        {
            write(&broken);
            assert!(matches!(certificates.look(), Looked::Unusable(_)), "{broken:?}");
            assert!(Arc::ptr_eq(&shown, &certificates.current()), "{broken:?}");
        }
        fs::remove_file(&key).unwrap();
        assert_eq!(certificates.look(), Looked::Same);
        assert!(Arc::ptr_eq(&shown, &certificates.current()), "one is away");
        write(&second);
        assert_eq!(certificates.look(), Looked::Renewed);
        assert_eq!(expires(), Some(2_556_144_000));
        fs::remove_dir_all(&folder).unwrap();
    }
}
