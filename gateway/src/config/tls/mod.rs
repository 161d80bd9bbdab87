//! TLS for the page: browsers give access to the camera only on https and on localhost.
//!
//! A self-signed certificate is made once, at the start. Files are read again while the gateway
//! runs, and a renewed certificate is used from the next connection on. The admin port stays plain
//! http.

mod certificates;
pub(crate) mod cluster_init;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use self::certificates::Certificates;
pub(crate) use self::certificates::watch;
use super::addresses::addresses;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The validity of a self-signed certificate. Apple's browsers refuse certificates with more than
/// 825 days, without a way around.
const SELF_SIGNED_FOR: Duration = DAY.saturating_mul(365);
/// A phone's clock may be behind ours.
const CLOCK_SKEW: Duration = DAY;

/// TLS on the public port.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) certificates: Certificates,
    /// Browsers do not know the certificate, so users must be told.
    pub(crate) self_signed: bool,
}

impl Tls {
    /// The result of `--tls`, `--tls-cert` and `--tls-key`: nothing, or TLS. Adds a line for each
    /// problem.
    pub(crate) fn from_options(
        problems: &mut Vec<String>,
        mode: Option<&str>,
        cert: Option<&str>,
        key: Option<&str>,
    ) -> Option<Self> {
        let problem = match (mode, cert, key) {
            (None, None, None) => return None,
            (None, Some(cert), Some(key)) => {
                let certificates = Certificates::from_files(problems, cert, key)?;
                return Some(Self::new(certificates, false));
            }
            (Some("self-signed"), None, None) => match Self::self_signed(addresses()) {
                Ok(tls) => return Some(tls),
                Err(error) => format!("--tls: cannot make a certificate: {error}"),
            },
            (None, Some(_), None) => {
                "--tls-key: is needed too, the private key of --tls-cert".into()
            }
            (None, None, Some(_)) => {
                "--tls-cert: is needed too, the certificate of --tls-key".into()
            }
            (Some("self-signed"), ..) => {
                "--tls: `self-signed` goes without --tls-cert and --tls-key".into()
            }
            (Some(other), ..) => format!("--tls: `{other}` is not `self-signed`"),
        };
        problems.push(problem);
        None
    }

    /// A new certificate for `localhost` and every address of this machine.
    fn self_signed(addresses: Vec<IpAddr>) -> Result<Self, SelfSignedError> {
        let (certificate, key) = make(addresses)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        Ok(Self::new(Certificates::fixed(vec![certificate], key)?, true))
    }

    fn new(certificates: Certificates, self_signed: bool) -> Self {
        // The provider is explicit, because an embedding program may have installed another one.
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder
            .with_safe_default_protocol_versions()
            .expect("ring has the suites of every version");
        let resolver = Arc::new(certificates.clone());
        let mut server = builder.with_no_client_auth().with_cert_resolver(resolver);
        // ALPN; the handshake refuses a client that insists on another protocol.
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { server: Arc::new(server), certificates, self_signed }
    }
}

/// The certificate could not be made.
#[derive(Debug, thiserror::Error)]
enum SelfSignedError {
    #[error(transparent)]
    Make(#[from] rcgen::Error),
    #[error(transparent)]
    Use(#[from] rustls::Error),
}

fn make(addresses: Vec<IpAddr>) -> Result<(CertificateDer<'static>, KeyPair), rcgen::Error> {
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let mut names = vec!["localhost".to_owned()];
    names.extend(loopback.into_iter().chain(addresses).map(|address| address.to_string()));
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Reframe, self-signed");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    valid(&mut params, CLOCK_SKEW, SELF_SIGNED_FOR);
    let key = KeyPair::generate()?;
    Ok((params.self_signed(&key)?.into(), key))
}

/// From so long ago until so far ahead.
fn valid(params: &mut CertificateParams, ago: Duration, ahead: Duration) {
    #[expect(clippy::disallowed_methods, reason = "the dates in a certificate are wall time")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = date_time_ymd(1970, 1, 1) + now;
    (params.not_before, params.not_after) = (now - ago, now + ahead);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    /// A folder of files, gone with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("reframe-tls-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self, name: &str, content: &str) -> String {
            let path = self.0.join(name);
            fs::write(&path, content).unwrap();
            text(&path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    fn text(path: &Path) -> String {
        path.to_str().unwrap().to_owned()
    }

    /// A certificate and its key, as PEM.
    fn pem() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    #[track_caller]
    fn assert_refused(
        mode: Option<&str>,
        cert: Option<&str>,
        key: Option<&str>,
        expected: &[&str],
    ) {
        let mut problems = Vec::new();
        assert!(Tls::from_options(&mut problems, mode, cert, key).is_none());
        assert_eq!(problems.len(), expected.len(), "{problems:?}");
        for (problem, expected) in problems.iter().zip(expected) {
            assert!(problem.starts_with(expected), "{problem:?} does not start with {expected:?}");
        }
    }

    #[test]
    fn nothing_asked_is_no_tls_and_no_problem() {
        assert_refused(None, None, None, &[]);
    }

    #[test]
    fn a_certificate_and_its_key_are_taken() {
        let folder = Folder::new("taken");
        let (cert, key) = pem();
        let mut problems = Vec::new();
        let tls = Tls::from_options(
            &mut problems,
            None,
            Some(&folder.file("cert.pem", &cert)),
            Some(&folder.file("key.pem", &key)),
        );
        assert!(!tls.unwrap().self_signed && problems.is_empty());
        // Both in one file is usual too.
        let both = folder.file("both.pem", &(key + &cert));
        assert!(
            Tls::from_options(&mut problems, None, Some(&both), Some(&both)).is_some(),
            "{problems:?}"
        );
    }

    #[test]
    fn options_that_do_not_go_together_are_told() {
        assert_refused(None, Some("a"), None, &["--tls-key: is needed too"]);
        assert_refused(None, None, Some("a"), &["--tls-cert: is needed too"]);
        assert_refused(
            Some("self-signed"),
            Some("a"),
            None,
            &["--tls: `self-signed` goes without"],
        );
        assert_refused(Some("yes"), None, None, &["--tls: `yes` is not"]);
    }

    #[test]
    fn wrong_files_are_told_with_their_flags() {
        let folder = Folder::new("wrong");
        let ((cert, key), (_, other)) = (pem(), pem());
        let (cert, key) = (folder.file("cert.pem", &cert), folder.file("key.pem", &key));
        let other = folder.file("other.pem", &other);
        let absent = text(&folder.0.join("absent.pem"));
        let garbage = folder.file("garbage.pem", "hello");
        let cut = folder.file("cut.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
        let hollow = folder
            .file("hollow.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        let both = ["--tls-cert: cannot read `", "--tls-key: cannot read `"];
        assert_refused(None, Some(&absent), Some(&absent), &both);
        assert_refused(None, Some(&text(&folder.0)), Some(&text(&folder.0)), &both);
        let both = [
            "--tls-cert: no PEM certificate in `",
            "--tls-key: no PEM unencrypted private key in `",
        ];
        assert_refused(None, Some(&garbage), Some(&garbage), &both);
        assert_refused(None, Some(&key), Some(&cert), &both);
        assert_refused(None, Some(&cut), Some(&key), &["--tls-cert: `"]);
        assert_refused(None, Some(&hollow), Some(&key), &["--tls-cert: `"]);
        assert_refused(None, Some(&cert), Some(&other), &["--tls-key: `"]);
    }

    #[test]
    fn each_self_signed_certificate_is_new() {
        let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
        let (one, _) = make(vec![address]).unwrap();
        let (two, _) = make(vec![address]).unwrap();
        assert_ne!(one, two);
        assert!(
            one.windows(4).any(|bytes| bytes == [192, 0, 2, 7])
                && one.windows(9).any(|bytes| bytes == b"localhost")
        );
        assert!(Tls::self_signed(vec![address]).unwrap().self_signed);
    }
}
