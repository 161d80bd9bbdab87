//! Certificates of a cluster, right and wrong ones, in a folder of their own.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

/// Seconds from now until a certificate is valid, and until it is no more.
pub type Dates = (i64, i64);

/// Valid now, for a day.
pub const GOOD: Dates = (-600, 86_400);

/// A CA.
pub struct Ca(CertifiedIssuer<'static, KeyPair>);

/// The files of one process, gone with this.
#[derive(Debug)]
pub struct Certificates {
    folder: PathBuf,
    options: Vec<String>,
}

const FILES: [&str; 3] = ["ca", "cert", "key"];

fn params(name: &str, (from, until): Dates) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).expect("a DNS name");
    params.distinguished_name.push(DnType::CommonName, name);
    #[expect(clippy::disallowed_methods, reason = "the dates in a certificate are wall time")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let now = date_time_ymd(1970, 1, 1) + now;
    let at = |seconds: i64| {
        let by = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 { now - by } else { now + by }
    };
    (params.not_before, params.not_after) = (at(from), at(until));
    params
}

impl Ca {
    /// A CA of this name.
    ///
    /// # Panics
    /// When the library makes none.
    #[must_use]
    pub fn new(name: &str, dates: Dates) -> Self {
        let mut params = params(name, dates);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// The certificate of a process with this name, in files of its own.
    ///
    /// # Panics
    /// When they cannot be made or written.
    #[must_use]
    pub fn issue(&self, name: &str, dates: Dates) -> Certificates {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("reframe-cluster-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let options = FILES.into_iter().flat_map(|file| {
            [format!("--cluster-tls-{file}"), folder.join(file).display().to_string()]
        });
        let files = Certificates { options: options.collect(), folder };
        self.renew(&files, name, dates);
        files
    }

    /// Another certificate, in the same files.
    ///
    /// # Panics
    /// When they cannot be made or written.
    pub fn renew(&self, files: &Certificates, name: &str, dates: Dates) {
        let mut params = params(name, dates);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate").pem();
        for (file, content) in FILES.iter().zip([self.0.pem(), certificate, key.serialize_pem()]) {
            fs::write(files.folder.join(file), content).expect("a file");
        }
    }
}

impl Certificates {
    /// The options that name them.
    #[must_use]
    pub fn options(&self) -> Vec<&str> {
        self.options.iter().map(String::as_str).collect()
    }

    /// One of them: `ca`, `cert` or `key`.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        // Not there: somebody cleaned up before us.
        drop(fs::remove_dir_all(&self.folder));
    }
}
