//! Whether the other side is who it must be: a certificate of one of the cluster's CAs, for this
//! name and purpose, and valid now, as is the CA.

use std::sync::{Arc, LazyLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};

use crate::identity::{Identity, Role, Root};
use crate::reload::Reloaded;

/// Explicit, because an embedding program may have installed another one.
pub(crate) static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(ring::default_provider()));

/// What a certificate is shown for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Usage {
    Server,
    Client,
}

/// A CA whose own time is over, or has not come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaError {
    #[error("the CA `{0}` in --cluster-tls-ca has expired: make another CA and certificates of it")]
    Expired(String),
    #[error(
        "the CA `{0}` in --cluster-tls-ca is not valid yet: set the clocks of the machines (NTP), \
         or wait"
    )]
    Early(String),
}

/// By the CAs of this process, as they are at each handshake.
#[derive(Debug)]
pub(crate) struct Verifier(pub(crate) Arc<Reloaded<Identity>>);

/// The library checks everything but the dates of a CA and the name of a client.
pub(crate) fn verify(
    roots: &[Root],
    chain: (&CertificateDer<'_>, &[CertificateDer<'_>]),
    name: &ServerName<'_>,
    usage: Usage,
    now: UnixTime,
) -> Result<(), Error> {
    // Whatever is wrong with the certificate itself is told first.
    verify_against(roots.iter(), chain, name, usage, now)?;
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let valid: Vec<_> =
        roots.iter().filter(|root| (root.not_before..=root.not_after).contains(&seconds)).collect();
    if valid.len() == roots.len() {
        return Ok(());
    }
    if !valid.is_empty() && verify_against(valid.into_iter(), chain, name, usage, now).is_ok() {
        return Ok(());
    }
    let issuer = roots
        .iter()
        .find(|root| verify_against(std::iter::once(*root), chain, name, usage, now).is_ok());
    let subject = issuer.map(|root| root.subject.clone()).unwrap_or_default();
    let early = issuer.is_some_and(|root| seconds < root.not_before);
    let error = if early { CaError::Early(subject) } else { CaError::Expired(subject) };
    Err(CertificateError::Other(OtherError(Arc::new(error))).into())
}

fn verify_against<'a>(
    roots: impl Iterator<Item = &'a Root>,
    (end, others): (&CertificateDer<'_>, &[CertificateDer<'_>]),
    name: &ServerName<'_>,
    usage: Usage,
    now: UnixTime,
) -> Result<(), Error> {
    let roots = Arc::new(RootCertStore { roots: roots.map(|root| root.anchor.clone()).collect() });
    let unusable = |error: rustls::server::VerifierBuilderError| Error::General(error.to_string());
    match usage {
        Usage::Server => {
            WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&PROVIDER))
                .build()
                .map_err(unusable)?
                .verify_server_cert(end, others, name, &[], now)?;
        }
        Usage::Client => {
            WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&PROVIDER))
                .build()
                .map_err(unusable)?
                .verify_client_cert(end, others, now)?;
            verify_server_name(&ParsedCertificate::try_from(end)?, name)?;
        }
    }
    Ok(())
}

/// The methods of signatures, which are the same in both traits: as the library checks them.
macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &PROVIDER.signature_verification_algorithms;
            verify_tls12_signature(message, cert, signed, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &PROVIDER.signature_verification_algorithms;
            verify_tls13_signature(message, cert, signed, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            PROVIDER.signature_verification_algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        verify(&self.0.current().roots, (end, others), name, Usage::Server, now)?;
        Ok(ServerCertVerified::assertion())
    }

    signatures!();
}

impl ClientCertVerifier for Verifier {
    /// A process has one certificate, and needs no hint which to show.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    /// Only gateways call.
    fn verify_client_cert(
        &self,
        end: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let name = Role::Gateway.server_name();
        verify(&self.0.current().roots, (end, others), &name, Usage::Client, now)?;
        Ok(ClientCertVerified::assertion())
    }

    signatures!();
}
