//! The page over https: certificates from files and self-signed ones, looked at with OpenSSL, and
//! the options' refusals.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use reframe_tests::process::{Process, run};
use reframe_tests::wait::eventually;

use super::PATIENCE;

/// A gateway without workers on a free port; gives what follows `page ` in its first announcement.
fn gateway(options: &[&str]) -> (Process, String) {
    let ports = ["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let mut gateway = Process::start("reframe-gateway", &[&ports, options].concat());
    let page = gateway.announced("page ");
    (gateway, page)
}

/// The certificate that `page` shows to who asks for `name`, and its answer to `GET /api/streams`;
/// trusts `root`, or, without one, everybody.
fn get(page: &str, name: &str, root: Option<&X509>) -> Result<(X509, String), String> {
    let address = page.strip_prefix("https://").expect("an https address").trim_end_matches('/');
    let mut connector = SslConnector::builder(SslMethod::tls_client()).expect("OpenSSL works");
    match root {
        Some(root) => {
            let mut store = X509StoreBuilder::new().expect("OpenSSL works");
            store.add_cert(root.clone()).expect("a certificate");
            connector.set_cert_store(store.build());
        }
        None => connector.set_verify(SslVerifyMode::NONE),
    }
    let socket = TcpStream::connect(address).expect("the gateway listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut connection =
        connector.build().connect(name, socket).map_err(|error| error.to_string())?;
    let request = "GET /api/streams HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    connection.write_all(request.as_bytes()).expect("a request is taken");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("an answer of text");
    Ok((connection.ssl().peer_certificate().expect("servers have certificates"), answer))
}

/// A folder of files, gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("reframe-e2e-tls-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).expect("a file");
        path.into_os_string().into_string().expect("a UTF-8 path")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

#[test]
fn a_self_signed_certificate_holds_for_this_machine() {
    let (mut gateway, page) = gateway(&["--tls", "self-signed"]);
    assert!(page.starts_with("https://127.0.0.1:"), "{page}");
    assert!(gateway.announced("admin ").starts_with("http://"));
    gateway.announced("The certificate was made just now");
    gateway.announced("Only this machine reaches the page");
    let (certificate, _) = get(&page, "localhost", None).unwrap();
    for name in ["localhost", "127.0.0.1", "::1"] {
        let (shown, answer) =
            get(&page, name, Some(&certificate)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(shown.to_der().unwrap(), certificate.to_der().unwrap());
        assert!(
            answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("{\"streams\":[]}"),
            "{answer}"
        );
    }
    get(&page, "example.com", Some(&certificate)).unwrap_err();
}

#[test]
fn every_address_is_announced_where_others_reach_it() {
    let options = ["--http", "0.0.0.0:0", "--admin", "127.0.0.1:0", "--tls", "self-signed"];
    let options = [&options[..], &["--auth", "none"]].concat();
    let mut gateway = Process::start("reframe-gateway", &options);
    let page = gateway.announced("page ");
    let port =
        page.strip_prefix("https://127.0.0.1:").expect("the first address opens here").to_owned();
    // An address of this machine, if it has one: nothing is sent, the system only chooses where it
    // would send from.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let outside = socket.connect("192.0.2.1:9").ok().and_then(|()| socket.local_addr().ok());
    if let Some(ip) =
        outside.map(|address| address.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback())
    {
        assert_eq!(gateway.announced(&format!("page https://{ip}:")), port);
        let page = format!("https://{ip}:{port}");
        let (certificate, _) = get(&page, "localhost", None).unwrap();
        get(&page, &ip.to_string(), Some(&certificate)).unwrap();
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

#[test]
fn certificates_from_files_are_shown_with_their_chain() {
    let folder = Folder::new("files");
    // An authority that the client knows, one that only the file has, and the certificate.
    let root =
        CertifiedIssuer::self_signed(authority("root"), KeyPair::generate().unwrap()).unwrap();
    let between =
        CertifiedIssuer::signed_by(authority("between"), KeyPair::generate().unwrap(), &root)
            .unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["reframe.example".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "reframe.example");
    let chain = params.signed_by(&key, &between).unwrap().pem() + &between.pem();
    let (cert, key) =
        (folder.file("cert.pem", &chain), folder.file("key.pem", &key.serialize_pem()));
    let (_gateway, page) = gateway(&["--tls-cert", &cert, "--tls-key", &key]);
    let root = X509::from_pem(root.pem().as_bytes()).unwrap();
    let (_, answer) = get(&page, "reframe.example", Some(&root)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    get(&page, "localhost", Some(&root)).unwrap_err();
}

#[test]
fn a_renewed_certificate_is_shown_and_a_broken_one_is_not() {
    let folder = Folder::new("renewed");
    let pair = |year| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    };
    let ((first, first_key), (second, second_key)) = (pair(2049), pair(2051));
    let (cert, key) = (folder.file("cert.pem", &first), folder.file("key.pem", &first_key));
    let (mut gateway, page) = gateway(&["--tls-cert", &cert, "--tls-key", &key]);
    let admin = gateway.announced("admin ").trim_end_matches('/').to_owned();
    let metric = |name: &str| {
        let reply =
            reframe_tests::http::get(&format!("{admin}/metrics")).expect("the admin port answers");
        reframe_tests::metrics::Metrics::parse(&reply.body).sum(name, &[])
    };
    let shown = || get(&page, "localhost", None).unwrap().0.to_pem().unwrap();
    let is = |pem: &str| X509::from_pem(pem.as_bytes()).unwrap().to_pem().unwrap();
    let expiry = "reframe_tls_certificate_expiry_timestamp_seconds";
    assert_eq!(shown(), is(&first));
    eventually("its expiry is told", PATIENCE, || {
        (metric(expiry) == 2_493_072_000.0).then_some(())
    });

    // Its key is missing still.
    folder.file("cert.pem", &second);
    let errors = || metric("reframe_tls_reload_errors_total");
    eventually("it is told", PATIENCE, || (errors() >= 1.0).then_some(()));
    assert_eq!(shown(), is(&first));
    assert!(gateway.log().contains("is not the key of the certificate"), "{}", gateway.log());
    folder.file("key.pem", &second_key);
    eventually("the new one is shown", PATIENCE, || (shown() == is(&second)).then_some(()));
    eventually("its expiry is told", PATIENCE, || {
        (metric(expiry) == 2_556_144_000.0).then_some(())
    });
}

#[test]
fn who_does_not_speak_tls_is_dropped_without_a_word() {
    let (gateway, page) = gateway(&["--tls", "self-signed", "--log", "error"]);
    let address = page.strip_prefix("https://").unwrap().trim_end_matches('/');
    for junk in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), b"\x16\x03\x01\xff\xff", &[0; 2_000]] {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(junk).unwrap();
        // Closed, with an alert or without; a reset when it had not read everything.
        socket.read_to_end(&mut Vec::new()).ok();
    }
    get(&page, "localhost", None).unwrap();
    assert_eq!(gateway.log(), "");
}

#[test]
fn wrong_options_are_told_by_name() {
    let folder = Folder::new("wrong");
    let pair = || {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    };
    let cert = folder.file("cert.pem", &pair().0);
    let other = folder.file("other.pem", &pair().1);
    let cases: [(&[&str], &[&str]); 5] = [
        (&["--tls", "yes", "--http", "here"], &["--tls: `yes`", "self-signed", "--http: `here`"]),
        (&["--tls-cert", &cert], &["--tls-key: is needed"]),
        (&["--tls-key", &other], &["--tls-cert: is needed"]),
        (
            &["--tls-cert", "/absent/cert", "--tls-key", "/absent/key"],
            &["--tls-cert: cannot", "--tls-key: cannot"],
        ),
        (&["--tls-cert", &cert, "--tls-key", &other], &["--tls-key: ", &cert, &other]),
    ];
    for (options, named) in cases {
        for (program, command) in [("reframe-gateway", None), ("reframe-worker", Some("launch"))] {
            let output = run(program, &command.iter().chain(options).copied().collect::<Vec<_>>());
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(64), "{program} {options:?}: {text}");
            assert!(named.iter().all(|name| text.contains(name)), "{program} {options:?}: {text}");
            assert!(output.stdout.is_empty(), "{program} {options:?}");
        }
    }
}
