//! Two processes of a cluster that take each other, and all the ways in which they must not.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::UnixTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{ClusterTls, ClusterTlsOptions, Looked, Role};

const DAY: i64 = 24 * 60 * 60;

/// Seconds from now until a certificate is valid, and until it is no more.
type Dates = (i64, i64);

const GOOD: Dates = (-600, DAY);

fn params(name: &str, (from, until): Dates) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let now = date_time_ymd(1970, 1, 1) + Duration::from_secs(UnixTime::now().as_secs());
    let at = |seconds: i64| {
        let by = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 { now - by } else { now + by }
    };
    (params.not_before, params.not_after) = (at(from), at(until));
    params
}

struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    fn new(name: &str, dates: Dates) -> Self {
        let mut params = params(name, dates);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate and its key, as PEM.
    fn issue(&self, name: &str, dates: Dates) -> (String, String) {
        let mut params = params(name, dates);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }
}

/// The files of one process, gone with it.
struct Files(PathBuf);

impl Files {
    fn new(name: &str, ca: &str, pair: &(String, String)) -> Self {
        let path =
            std::env::temp_dir().join(format!("reframe-inside-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let files = Self(path);
        files.write(ca, pair);
        files
    }

    fn write(&self, ca: &str, (cert, key): &(String, String)) {
        for (name, content) in [("ca", ca), ("cert", cert), ("key", key)] {
            fs::write(self.0.join(name), content).unwrap();
        }
    }

    fn options(&self, mode: &str) -> ClusterTlsOptions {
        let path = |name: &str| Some(self.0.join(name).to_str().unwrap().to_owned());
        ClusterTlsOptions {
            cluster_tls: Some(mode.to_owned()),
            cluster_tls_ca: path("ca"),
            cluster_tls_cert: path("cert"),
            cluster_tls_key: path("key"),
        }
    }

    fn tls(&self, role: Role, mode: &str) -> Arc<ClusterTls> {
        self.options(mode).validate(role, &[]).unwrap().unwrap()
    }

    /// Before the dates of its certificate are looked at, which a running process may outlive.
    fn unchecked(&self, role: Role) -> Arc<ClusterTls> {
        let early = UnixTime::since_unix_epoch(Duration::from_secs(
            UnixTime::now().as_secs() - 40 * DAY.unsigned_abs(),
        ));
        Arc::new(ClusterTls::from_files_at(role, self.named(), false, early).unwrap())
    }

    fn named(&self) -> Vec<crate::File> {
        ["ca", "cert", "key"]
            .map(|name| crate::File {
                flag: "--cluster-tls",
                path: self.0.join(name).to_str().unwrap().to_owned(),
            })
            .into()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// A worker that echoes what it is sent; the result is that of its next connection.
async fn worker(tls: Arc<ClusterTls>) -> (SocketAddr, tokio::task::JoinHandle<io::Result<bool>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        // A gateway that prefers TLS comes twice.
        loop {
            let (connection, _) = listener.accept().await?;
            let mut io = tls.accept(connection).await?;
            let mut byte = [0];
            if io.read_exact(&mut byte).await.is_err() {
                continue;
            }
            io.write_all(&byte).await?;
            io.flush().await?;
            return Ok(io.is_plain());
        }
    });
    (address, served)
}

/// Whether a byte went there and back without TLS.
async fn ask(tls: &ClusterTls, address: SocketAddr) -> io::Result<bool> {
    let mut io = tls.connect(Role::Worker, || TcpStream::connect(address)).await?;
    io.write_all(b"P").await?;
    io.flush().await?;
    io.read_u8().await?;
    Ok(io.is_plain())
}

async fn both(
    gateway: &ClusterTls,
    other: Arc<ClusterTls>,
) -> (io::Result<bool>, io::Result<bool>) {
    let (address, served) = worker(other).await;
    let asked = ask(gateway, address).await;
    (asked, served.await.unwrap())
}

#[track_caller]
fn told(refused: &io::Result<bool>, expected: &[&str]) {
    let text = refused.as_ref().unwrap_err().to_string();
    for expected in expected {
        assert!(text.contains(expected), "{text:?} does not say {expected:?}");
    }
}

#[tokio::test]
async fn two_of_one_cluster_take_each_other() {
    let ca = Ca::new("ca", GOOD);
    let gateway = Files::new("taken-g", &ca.pem(), &ca.issue("reframe-gateway", GOOD));
    let other = Files::new("taken-w", &ca.pem(), &ca.issue("reframe-worker", GOOD));
    let gateway = gateway.tls(Role::Gateway, "required");
    let (asked, served) = both(&gateway, other.tls(Role::Worker, "required")).await;
    assert!(!asked.unwrap() && !served.unwrap(), "by TLS");
    assert!(gateway.identity().current().expiry().is_some());
}

#[tokio::test]
async fn a_foreign_certificate_is_refused_by_both_sides() {
    let (ca, foreign) = (Ca::new("ca", GOOD), Ca::new("foreign", GOOD));
    let gateway = Files::new("foreign-g", &ca.pem(), &ca.issue("reframe-gateway", GOOD));
    let gateway = gateway.tls(Role::Gateway, "required");
    let other = Files::new("foreign-w", &foreign.pem(), &foreign.issue("reframe-worker", GOOD));
    let (asked, served) = both(&gateway, other.tls(Role::Worker, "required")).await;
    told(&asked, &["another CA", "one CA"]);
    told(&served, &["refuses this process' certificate", "one CA"]);
    // And a stranger that takes any worker.
    let trusting = ca.pem() + &foreign.pem();
    let stranger = Files::new("foreign-s", &trusting, &foreign.issue("reframe-gateway", GOOD));
    let other = Files::new("foreign-o", &ca.pem(), &ca.issue("reframe-worker", GOOD));
    let stranger = stranger.tls(Role::Gateway, "required");
    let (asked, served) = both(&stranger, other.tls(Role::Worker, "required")).await;
    told(&asked, &["refuses this process' certificate"]);
    told(&served, &["another CA", "one CA"]);
}

#[tokio::test]
async fn another_name_is_refused() {
    let ca = Ca::new("ca", GOOD);
    let own = Files::new("name-g", &ca.pem(), &ca.issue("reframe-gateway", GOOD));
    // A worker that was broken into asks another.
    let other = Files::new("name-w", &ca.pem(), &ca.issue("reframe-worker", GOOD));
    let as_gateway = other.unchecked(Role::Worker);
    let (asked, served) = both(&as_gateway, other.tls(Role::Worker, "required")).await;
    told(&asked, &["refuses this process' certificate"]);
    told(&served, &["reframe-worker", "not for `reframe-gateway`"]);
    let problems = own.options("required").validate(Role::Worker, &[]).unwrap_err();
    assert!(
        problems[0].starts_with("--cluster-tls-cert: ") && problems[0].contains("`reframe-worker`"),
        "{problems:?}"
    );
}

#[tokio::test]
async fn an_expired_ca_is_refused_at_the_start_and_later() {
    let ca = Ca::new("the old CA", (-30 * DAY, -60));
    let own = Files::new("ca-g", &ca.pem(), &ca.issue("reframe-gateway", (-30 * DAY, DAY)));
    let problems = own.options("required").validate(Role::Gateway, &[]).unwrap_err();
    assert!(problems[0].contains("the old CA") && problems[0].contains("expired"), "{problems:?}");
    let other = Files::new("ca-w", &ca.pem(), &ca.issue("reframe-worker", (-30 * DAY, DAY)));
    let (asked, served) = both(&own.unchecked(Role::Gateway), other.unchecked(Role::Worker)).await;
    told(&asked, &["the old CA", "has expired", "make another"]);
    told(&served, &["refuses this process' certificate"]);
    // A new one beside it is enough.
    let new = Ca::new("the new CA", GOOD);
    let bundle = ca.pem() + &new.pem();
    own.write(&bundle, &new.issue("reframe-gateway", GOOD));
    other.write(&bundle, &new.issue("reframe-worker", GOOD));
    let gateway = own.tls(Role::Gateway, "required");
    let (asked, _) = both(&gateway, other.tls(Role::Worker, "required")).await;
    assert!(!asked.unwrap());
}

#[tokio::test]
async fn a_clock_that_is_two_minutes_wrong_is_told() {
    let ca = Ca::new("ca", GOOD);
    let gateway = Files::new("clock-g", &ca.pem(), &ca.issue("reframe-gateway", GOOD));
    let gateway = gateway.tls(Role::Gateway, "required");
    let other = Files::new("clock-w", &ca.pem(), &ca.issue("reframe-worker", (120, DAY)));
    // Of the machine that made it: it starts all the same.
    let (asked, _) = both(&gateway, other.tls(Role::Worker, "required")).await;
    told(&asked, &["not valid for another 1", "clocks", "NTP"]);
    let other = Files::new("clock-o", &ca.pem(), &ca.issue("reframe-worker", (-DAY, -120)));
    let (asked, served) = both(&gateway, other.unchecked(Role::Worker)).await;
    told(&asked, &["expired 12", "clocks"]);
    told(&served, &["refuses this process' certificate", "expired", "clocks"]);
}

#[tokio::test]
async fn a_renewed_certificate_holds_from_the_next_connection_on() {
    let (old, new) = (Ca::new("old", GOOD), Ca::new("new", GOOD));
    let own = Files::new("renewed-g", &old.pem(), &old.issue("reframe-gateway", GOOD));
    let other = Files::new("renewed-w", &old.pem(), &old.issue("reframe-worker", GOOD));
    let (gateway, tls) = (own.tls(Role::Gateway, "required"), other.tls(Role::Worker, "required"));
    let (asked, _) = both(&gateway, Arc::clone(&tls)).await;
    assert!(!asked.unwrap());
    other.write(&new.pem(), &new.issue("reframe-worker", GOOD));
    assert_eq!(tls.identity().look(), Looked::Renewed);
    assert_eq!(tls.identity().look(), Looked::Same);
    let (asked, _) = both(&gateway, Arc::clone(&tls)).await;
    told(&asked, &["another CA"]);
    own.write("garbage", &new.issue("reframe-gateway", GOOD));
    assert!(
        matches!(gateway.identity().look(), Looked::Unusable(why) if why.contains("--cluster-tls-ca"))
    );
    own.write(&new.pem(), &new.issue("reframe-gateway", GOOD));
    assert_eq!(gateway.identity().look(), Looked::Renewed);
    let (asked, _) = both(&gateway, tls).await;
    assert!(!asked.unwrap());
}

#[tokio::test]
async fn plain_is_taken_while_the_cluster_changes_over_and_not_later() {
    let ca = Ca::new("ca", GOOD);
    let own = Files::new("prefer-g", &ca.pem(), &ca.issue("reframe-gateway", GOOD));
    let other = Files::new("prefer-w", &ca.pem(), &ca.issue("reframe-worker", GOOD));
    let (asked, served) =
        both(&own.tls(Role::Gateway, "prefer"), other.tls(Role::Worker, "prefer")).await;
    assert!(!asked.unwrap() && !served.unwrap(), "TLS where both can");

    // A gateway without certificates.
    for (mode, taken) in [("prefer", true), ("required", false)] {
        let (address, served) = worker(other.tls(Role::Worker, mode)).await;
        let mut plain = TcpStream::connect(address).await.unwrap();
        plain.write_all(b"P").await.unwrap();
        assert_eq!(plain.read_u8().await.is_ok(), taken, "{mode}");
        assert_eq!(served.await.unwrap().is_ok(), taken, "{mode}");
    }

    // A worker without: it greets first, as HTTP/2 does.
    for (mode, taken) in [("prefer", true), ("required", false)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let plain = tokio::spawn(async move {
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                connection.write_all(&[0, 0, 18, 4, 0]).await.unwrap();
                let mut first = [0];
                if connection.read_exact(&mut first).await.is_ok() && first == *b"P" {
                    return;
                }
            }
        });
        let asked = ask(&own.tls(Role::Gateway, mode), address).await;
        if taken {
            assert!(asked.unwrap());
            plain.await.unwrap();
        } else {
            told(&asked, &["does not speak TLS", "prefer"]);
            plain.abort();
        }
    }
}

#[tokio::test]
async fn who_shows_no_certificate_is_refused() {
    let ca = Ca::new("ca", GOOD);
    let other = Files::new("none-w", &ca.pem(), &ca.issue("reframe-worker", GOOD));
    let (address, served) = worker(other.tls(Role::Worker, "prefer")).await;
    let provider = Arc::clone(&crate::verify::PROVIDER);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.0.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let name = "reframe-worker".try_into().unwrap();
    let connection = TcpStream::connect(address).await.unwrap();
    let mut stranger = connector.connect(name, connection).await.unwrap();
    let refused = stranger.read_u8().await.unwrap_err().to_string();
    assert!(refused.contains("CertificateRequired"), "{refused}");
    told(&served.await.unwrap(), &["shows no certificate", "--cluster-tls-cert"]);
}

#[tokio::test]
async fn a_probe_of_the_port_is_no_refusal() {
    let ca = Ca::new("ca", GOOD);
    let other = Files::new("probe-w", &ca.pem(), &ca.issue("reframe-worker", GOOD));
    let (address, served) = worker(other.tls(Role::Worker, "required")).await;
    drop(TcpStream::connect(address).await.unwrap());
    assert_eq!(served.await.unwrap().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}
