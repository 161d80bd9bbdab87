//! `reframe-gateway cluster-init DIR`: a CA, certificates of it for gateways, workers and Redis,
//! and the secrets of gateways and of their user of Redis.
//!
//! The certificates are good for as long as the CA: nobody renews those of a compose file. Where
//! somebody does, as cert-manager in Kubernetes, that makes them itself.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use reframe_tls::Role;
use ring::digest::{SHA256, digest};

use super::{DAY, valid};

const YEARS: u32 = 10;
const VALID_FOR: Duration = DAY.saturating_mul(365 * YEARS);
/// The clocks of the machines that get them may be behind the one that makes them.
const BACKDATED: Duration = Duration::from_secs(10 * 60);

/// As long as the hash of HS256 (RFC 7518, 3.2).
const SECRET_BYTES: usize = 32;
/// Redis in deploy/compose, and in deploy/k8s.
const REDIS_NAMES: &[&str] = &["redis", "reframe-redis"];
/// What the gateways' user of Redis may do, as docs/operations.md tells it.
pub(crate) const REDIS_RIGHTS: &str = "~reframe:* +ping +select +eval +hget +hmget +hset +del \
    +pexpire +time +zadd +zcard +zcount +zrem +zremrangebyscore +zscore";

/// For everybody who may read certificates.
const PUBLIC: u32 = 0o644;
/// For the owner alone.
const SECRET: u32 = 0o600;

/// The files could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClusterInitError {
    /// They would replace others, which processes may use.
    #[error("`{0}` is there already and stays: name another folder, or move that one away")]
    Exists(PathBuf),
    /// The system refused.
    #[error("cannot write `{0}`")]
    Write(PathBuf, #[source] io::Error),
    /// The certificates could not be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
}

/// Makes the folder `dir`, if it is not there, and thirteen files in it: `ca.pem`, `gateway.pem`,
/// `worker.pem` and `redis.pem`, each with its key, as in `ca-key.pem`; the secrets of access
/// tokens (`auth.key`), of sessions' tokens (`session.key`) and of the operator (`admin.token`);
/// and the users of Redis (`redis.acl`), who are `gateway` alone, with its password
/// (`redis.password`). The CA's key is needed for further certificates only. Returns what was made.
///
/// # Errors
/// One of the files is there already, and then none is touched; or they cannot be made.
pub fn cluster_init(dir: &Path) -> Result<Vec<PathBuf>, ClusterInitError> {
    let ca = ca()?;
    let mut files = vec![pem("ca", ca.pem(), ca.key())];
    for (file, names, usages) in [
        // Gateways also listen to each other.
        (
            "gateway",
            &[Role::Gateway.name()][..],
            &[ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth][..],
        ),
        ("worker", &[Role::Worker.name()], &[ExtendedKeyUsagePurpose::ServerAuth]),
        ("redis", REDIS_NAMES, &[ExtendedKeyUsagePurpose::ServerAuth]),
    ] {
        let key = KeyPair::generate()?;
        let mut params = params(names, names[0])?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages.to_vec();
        params.use_authority_key_identifier_extension = true;
        files.push(pem(file, params.signed_by(&key, &ca)?.pem(), &key));
    }
    let password = random();
    let secrets = ["auth.key", "session.key", "admin.token"]
        .map(|name| secret(name, &random()))
        .into_iter()
        .chain([secret("redis.acl", &redis_users(&password)), secret("redis.password", &password)]);
    let files: Vec<_> = files.into_iter().flatten().chain(secrets).collect();
    let paths: Vec<_> = files.iter().map(|(name, ..)| dir.join(name)).collect();
    if let Some(there) = paths.iter().find(|path| fs::symlink_metadata(path).is_ok()) {
        return Err(ClusterInitError::Exists(there.clone()));
    }
    fs::create_dir_all(dir).map_err(|error| ClusterInitError::Write(dir.to_owned(), error))?;
    for (path, (_, content, mode)) in paths.iter().zip(files) {
        write(path, &content, mode)
            .map_err(|error| ClusterInitError::Write(path.clone(), error))?;
    }
    Ok(paths)
}

fn ca() -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = params(&[], "Reframe cluster CA")?;
    // It signs certificates of processes, and no further CA.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn params(names: &[&str], common_name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params =
        CertificateParams::new(names.iter().copied().map(str::to_owned).collect::<Vec<_>>())?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    valid(&mut params, BACKDATED, VALID_FOR);
    Ok(params)
}

/// A certificate and its key: name, content and mode of each file.
fn pem(name: &str, certificate: String, key: &KeyPair) -> [(String, String, u32); 2] {
    [
        (format!("{name}.pem"), certificate, PUBLIC),
        (format!("{name}-key.pem"), key.serialize_pem(), SECRET),
    ]
}

/// Name, content and mode of a file with this text.
fn secret(name: &str, text: &str) -> (String, String, u32) {
    (name.to_owned(), format!("{text}\n"), SECRET)
}

/// A random secret.
fn random() -> String {
    hexadecimal(&rand::random::<[u8; SECRET_BYTES]>())
}

/// Redis' file of users (`aclfile`): gateways alone, by this password, whose hash is in it. Nobody
/// without a password.
fn redis_users(password: &str) -> String {
    let hash = hexadecimal(digest(&SHA256, password.as_bytes()).as_ref());
    format!("user default off\nuser gateway on #{hash} {REDIS_RIGHTS}")
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Never over another file, whoever made that meanwhile.
fn write(path: &Path, content: &str, mode: u32) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use reframe_tls::ClusterTlsOptions;

    use super::*;
    use crate::access::Keys;

    #[test]
    fn both_roles_take_what_is_made_and_it_is_made_once() {
        let dir = std::env::temp_dir().join(format!("reframe-init-{}", std::process::id()));
        let made = cluster_init(&dir.join("deep")).unwrap();
        let dir = dir.join("deep");
        assert_eq!(made.len(), 13);
        for path in &made {
            let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
            let public =
                path.extension().unwrap() == "pem" && !path.to_str().unwrap().ends_with("-key.pem");
            assert_eq!(mode, if public { PUBLIC } else { SECRET }, "{path:?}");
        }
        for name in ["auth.key", "session.key", "admin.token"] {
            let text = fs::read_to_string(dir.join(name)).unwrap();
            assert!(Keys::from_lines(&text).is_ok(), "{name}");
        }
        let options = |name: &str| {
            let path = |file: String| dir.join(file).to_str().map(str::to_owned);
            ClusterTlsOptions {
                cluster_tls: None,
                cluster_tls_ca: path("ca.pem".to_owned()),
                cluster_tls_cert: path(format!("{name}.pem")),
                cluster_tls_key: path(format!("{name}-key.pem")),
            }
        };
        for (name, role, other) in
            [("gateway", Role::Gateway, Role::Worker), ("worker", Role::Worker, Role::Gateway)]
        {
            assert!(options(name).validate(role, &[]).unwrap().is_some());
            assert!(options(name).validate(other, &[]).is_err(), "{name} is nothing else");
            assert!(options("redis").validate(role, &[]).is_err(), "Redis is no {name}");
        }
        let before = fs::read(dir.join("ca.pem")).unwrap();
        fs::remove_file(dir.join("gateway.pem")).unwrap();
        assert!(matches!(cluster_init(&dir), Err(ClusterInitError::Exists(_))));
        assert_eq!(fs::read(dir.join("ca.pem")).unwrap(), before);
        assert!(!dir.join("gateway.pem").exists(), "nothing is touched");
        fs::remove_dir_all(dir.parent().unwrap()).unwrap();
    }
}
