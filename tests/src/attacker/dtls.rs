//! DTLS in memory: datagrams in, datagrams out, and between them what the two ends say to each
//! other.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::OnceLock;

use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{ErrorCode, Ssl, SslContext, SslMethod, SslOptions, SslStream, SslVerifyMode};
use openssl::x509::{X509, X509NameBuilder};

/// What browsers have in common with the stack.
pub const AEAD: &str = "ECDHE-ECDSA-AES128-GCM-SHA256";
/// What is authenticated after it was decrypted.
pub const CBC: &str = "ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0";

const MTU: u32 = 1_200;
/// The longest record.
const RECORD: usize = 1 << 14;

/// Who says hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We do.
    Client,
    /// They do.
    Server,
}

/// A key and its certificate; one is enough for all attackers of a process.
struct Identity {
    key: PKey<Private>,
    certificate: X509,
}

fn identity() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(|| make_identity().expect("OpenSSL makes a certificate"))
}

fn make_identity() -> Result<Identity, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_text("CN", "attacker")?;
    let name = name.build();
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(&name)?;
    builder.set_pubkey(&key)?;
    let (begin, end) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(30)?);
    builder.set_not_before(&begin)?;
    builder.set_not_after(&end)?;
    builder.sign(&key, MessageDigest::sha256())?;
    Ok(Identity { key, certificate: builder.build() })
}

/// Of our certificate, as an offer says it (RFC 8122).
///
/// # Panics
/// Never: OpenSSL has SHA-256.
#[must_use]
pub fn fingerprint() -> String {
    let digest =
        identity().certificate.digest(MessageDigest::sha256()).expect("OpenSSL has SHA-256");
    digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

/// One connection.
#[derive(Debug)]
pub struct Dtls {
    stream: SslStream<Datagrams>,
    established: bool,
}

/// One record layer's socket; a read takes one datagram.
#[derive(Debug, Default)]
struct Datagrams {
    incoming: VecDeque<Vec<u8>>,
    outgoing: Vec<Vec<u8>>,
}

impl Dtls {
    /// Says nothing before [`Self::step`].
    ///
    /// # Panics
    /// When OpenSSL does not know one of `ciphers`.
    #[must_use]
    pub fn new(role: Role, ciphers: &str) -> Self {
        let stream =
            Self::stream(role, ciphers).unwrap_or_else(|error| panic!("{ciphers}: {error}"));
        Self { stream, established: false }
    }

    fn stream(role: Role, ciphers: &str) -> Result<SslStream<Datagrams>, ErrorStack> {
        let mut context = SslContext::builder(SslMethod::dtls())?;
        context.set_cipher_list(ciphers)?;
        context.set_tlsext_use_srtp("SRTP_AES128_CM_SHA1_80")?;
        context.set_options(SslOptions::NO_QUERY_MTU);
        // Whoever the gateway is: an attacker does not ask.
        context.set_verify_callback(SslVerifyMode::PEER, |_, _| true);
        context.set_private_key(&identity().key)?;
        context.set_certificate(&identity().certificate)?;
        let mut ssl = Ssl::new(&context.build())?;
        ssl.set_mtu(MTU)?;
        match role {
            Role::Client => ssl.set_connect_state(),
            Role::Server => ssl.set_accept_state(),
        }
        SslStream::new(ssl, Datagrams::default())
    }

    /// Takes a datagram and goes as far as it leads; true once the handshake is over. OpenSSL
    /// repeats what got lost, each time that it is asked to go on and its time has come: a second
    /// at first.
    ///
    /// # Errors
    /// The other side ended it, or what it says is not acceptable.
    pub fn step(&mut self, datagram: Option<&[u8]>) -> Result<bool, String> {
        self.stream.get_mut().incoming.extend(datagram.map(<[u8]>::to_vec));
        if !self.established {
            match self.stream.do_handshake() {
                Ok(()) => self.established = true,
                Err(error) if error.code() == ErrorCode::WANT_READ => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(self.established)
    }

    /// What the other side said, one record; `None`: nothing more has come.
    ///
    /// # Errors
    /// The other side ended it.
    pub fn read(&mut self) -> Result<Option<Vec<u8>>, String> {
        let mut record = vec![0; RECORD];
        match self.stream.ssl_read(&mut record) {
            Ok(length) => {
                record.truncate(length);
                Ok(Some(record))
            }
            Err(error) if error.code() == ErrorCode::WANT_READ => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Says this in one record.
    ///
    /// # Errors
    /// The handshake is not over, or the connection is.
    pub fn write(&mut self, record: &[u8]) -> Result<(), String> {
        self.stream.ssl_write(record).map(drop).map_err(|error| error.to_string())
    }

    /// What is to be sent.
    pub fn outgoing(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.stream.get_mut().outgoing)
    }
}

impl Read for Datagrams {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let datagram = self.incoming.pop_front().ok_or(ErrorKind::WouldBlock)?;
        let length = datagram.len().min(room.len());
        room[..length].copy_from_slice(&datagram[..length]);
        Ok(length)
    }
}

impl Write for Datagrams {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.outgoing.push(datagram.to_vec());
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Carries datagrams to and fro until both are through, and says how it ended.
    fn shake(client: &str, server: &str) -> Result<(Dtls, Dtls), String> {
        let (mut client, mut server) =
            (Dtls::new(Role::Client, client), Dtls::new(Role::Server, server));
        let (mut here, mut there) = (client.step(None)?, false);
        for _ in 0..10 {
            for datagram in client.outgoing() {
                there = server.step(Some(&datagram))?;
            }
            for datagram in server.outgoing() {
                here = client.step(Some(&datagram))?;
            }
            if here && there {
                return Ok((client, server));
            }
        }
        Err("no end".to_owned())
    }

    #[test]
    fn both_ends_understand_each_other() {
        for ciphers in [AEAD, CBC] {
            let (mut client, mut server) = shake(ciphers, ciphers).expect("a handshake");
            client.write(b"hello").expect("it stands");
            for datagram in client.outgoing() {
                server.step(Some(&datagram)).expect("sound");
            }
            assert_eq!(server.read(), Ok(Some(b"hello".to_vec())));
            assert_eq!(server.read(), Ok(None));
        }
        assert!(shake(CBC, AEAD).is_err(), "nothing in common");
    }
}
