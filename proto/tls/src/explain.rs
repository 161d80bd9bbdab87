//! Why a connection was refused, and what to do, for whoever reads the log.

use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use crate::verify::CaError;

/// An error of TLS, explained. Its source is none: the text has everything.
#[derive(Debug)]
struct Explained(String);

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Explained {}

/// The same error with a text that says what to do, if it is one of TLS.
pub(crate) fn explained(error: io::Error) -> io::Error {
    match tls(&error).map(explain) {
        Some(text) => io::Error::new(error.kind(), Explained(text)),
        None => error,
    }
}

/// The error of TLS in an error of a connection.
pub(crate) fn tls(error: &io::Error) -> Option<&Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

/// What was sent is no TLS at all.
pub(crate) fn is_plain(error: &Error) -> bool {
    matches!(error, Error::InvalidMessage(InvalidMessage::InvalidContentType))
}

/// The time of the certificate, or of its CA, has not come.
pub(crate) fn is_early(error: &Error) -> bool {
    let Error::InvalidCertificate(problem) = error else { return false };
    match problem {
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => true,
        CertificateError::Other(other) => {
            matches!(other.0.downcast_ref(), Some(CaError::Early(_)))
        }
        _ => false,
    }
}

fn explain(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(_) => certificate(error, "the other side's"),
        Error::NoCertificatesPresented => "the other side shows no certificate: give it \
            --cluster-tls-cert and --cluster-tls-key"
            .to_owned(),
        Error::AlertReceived(alert) => refused(*alert),
        error if is_plain(error) => "the other side does not speak TLS: give it --cluster-tls-ca, \
            --cluster-tls-cert and --cluster-tls-key, and here --cluster-tls prefer until it has \
            them"
            .to_owned(),
        error => format!("TLS: {error}"),
    }
}

/// What is wrong with a certificate; `whose` says which.
pub(crate) fn certificate(error: &Error, whose: &str) -> String {
    let Error::InvalidCertificate(problem) = error else { return format!("TLS: {error}") };
    match problem {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
            "{whose} certificate is of another CA than those in --cluster-tls-ca: give all \
             processes of the cluster certificates of one CA"
        ),
        CertificateError::ExpiredContext { time, not_after } => format!(
            "{whose} certificate expired {} s ago: renew it; if it has not, set the clocks of the \
             machines (NTP)",
            time.as_secs().saturating_sub(not_after.as_secs())
        ),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "{whose} certificate is not valid for another {} s: set the clocks of the machines \
             (NTP), or wait",
            not_before.as_secs().saturating_sub(time.as_secs())
        ),
        CertificateError::NotValidForNameContext { expected, presented } => format!(
            "{whose} certificate is for {presented:?} and not for `{}`: make one with that DNS \
             name",
            expected.to_str()
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            format!(
                "{whose} certificate has another purpose: a worker's needs server authentication, \
                 a gateway's client and server authentication"
            )
        }
        // Ours: see `verify`.
        CertificateError::Other(other) => other.0.to_string(),
        other => format!("{whose} certificate cannot be used: {other}"),
    }
}

/// What the other side says of us.
fn refused(alert: AlertDescription) -> String {
    let why = match alert {
        AlertDescription::UnknownCA => {
            "it is of another CA than those in the other side's --cluster-tls-ca: give all \
             processes of the cluster certificates of one CA"
        }
        AlertDescription::CertificateExpired => {
            "it has expired or is not valid yet: renew it, or set the clocks of the machines (NTP)"
        }
        AlertDescription::CertificateRequired => {
            return "the other side wants a certificate: give --cluster-tls-cert and \
                --cluster-tls-key"
                .to_owned();
        }
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate => "its log says why",
        other => return format!("TLS: the other side ended it with {other:?}; its log says why"),
    };
    format!("the other side refuses this process' certificate: {why}")
}
