//! `--cluster-tls`, `--cluster-tls-ca`, `--cluster-tls-cert` and `--cluster-tls-key`.

use std::net::IpAddr;
use std::sync::Arc;

use clap::Args;

use crate::cluster::ClusterTls;
use crate::identity::Role;
use crate::reload::File;

const CURE: &str = "give --cluster-tls-ca, --cluster-tls-cert and --cluster-tls-key \
    (`reframe-gateway cluster-init DIR` makes all of them); or say --cluster-tls mesh where a \
    service mesh protects it, --cluster-tls off where nothing has to";

/// The options, as given. Flatten them into a command line.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub struct ClusterTlsOptions {
    /// Whether gateways and workers speak TLS with each other, and show certificates [required;
    /// prefer: plain too, where the other side has no certificate yet; off; mesh: something else
    /// protects it; default: required with --cluster-tls-cert; without, only addresses of this host
    /// are taken]. Unix sockets need none.
    #[arg(long, env = "REFRAME_CLUSTER_TLS", value_name = "MODE")]
    pub cluster_tls: Option<String>,

    /// The CAs whose certificates gateways and workers take of each other [PEM file; read again
    /// every 5 s, like the next two].
    #[arg(long, env = "REFRAME_CLUSTER_TLS_CA", value_name = "FILE")]
    pub cluster_tls_ca: Option<String>,

    /// The certificate of this process, for the name `reframe-gateway` or `reframe-worker`, and
    /// its chain [PEM file].
    #[arg(long, env = "REFRAME_CLUSTER_TLS_CERT", value_name = "FILE")]
    pub cluster_tls_cert: Option<String>,

    /// Private key of --cluster-tls-cert [PEM file, not encrypted].
    #[arg(long, env = "REFRAME_CLUSTER_TLS_KEY", value_name = "FILE")]
    pub cluster_tls_key: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Required,
    Prefer,
    Plain,
}

/// Whether a service beside gateways and workers, as Redis is, may be reached beyond this host
/// without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unprotected {
    /// No.
    Refused,
    /// For a change-over, and the log says so.
    Warned,
    /// Something else protects it, or nothing has to.
    Taken,
}

impl ClusterTlsOptions {
    /// What the mode says of a service beside gateways and workers.
    #[must_use]
    pub fn unprotected(&self) -> Unprotected {
        match self.cluster_tls.as_deref() {
            Some("off" | "mesh") => Unprotected::Taken,
            Some("prefer") => Unprotected::Warned,
            _ => Unprotected::Refused,
        }
    }

    /// TLS, or none. `exposed` are the addresses by which this process is, or speaks, beyond its
    /// host, each with its option: without TLS there may be none, unless the mode says so.
    ///
    /// # Errors
    /// One line for each problem, naming its flag.
    pub fn validate(
        &self,
        role: Role,
        exposed: &[String],
    ) -> Result<Option<Arc<ClusterTls>>, Vec<String>> {
        // An empty environment variable counts as one that is not set.
        let given = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        let files = [
            ("--cluster-tls-ca", given(&self.cluster_tls_ca)),
            ("--cluster-tls-cert", given(&self.cluster_tls_cert)),
            ("--cluster-tls-key", given(&self.cluster_tls_key)),
        ];
        let any = files.iter().any(|(_, path)| path.is_some());
        let prefer = match mode(given(&self.cluster_tls).as_deref(), any, exposed) {
            Ok(Mode::Plain) => return Ok(None),
            Ok(mode) => mode == Mode::Prefer,
            Err(problem) => return Err(vec![problem]),
        };
        let missing = files.iter().filter(|(_, path)| path.is_none());
        let missing: Vec<_> = missing
            .map(|(flag, _)| {
                format!("{flag}: is needed too; `reframe-gateway cluster-init DIR` makes it")
            })
            .collect();
        if !missing.is_empty() {
            return Err(missing);
        }
        let files = files.into_iter().filter_map(|(flag, path)| Some(File { flag, path: path? }));
        let tls = ClusterTls::from_files(role, files.collect(), prefer);
        tls.map(|tls| Some(Arc::new(tls)))
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }
}

/// True of `localhost` and loopback addresses, with or without a port: what is there never leaves
/// this host.
#[must_use]
pub fn is_local(host: &str) -> bool {
    let name = host.trim_start_matches('[').trim_end_matches(']');
    match name.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
}

fn mode(given: Option<&str>, files: bool, exposed: &[String]) -> Result<Mode, String> {
    match (given, exposed) {
        (Some("required"), _) => Ok(Mode::Required),
        (Some("prefer"), _) => Ok(Mode::Prefer),
        (Some("off" | "mesh"), _) => Ok(Mode::Plain),
        (Some(other), _) => {
            Err(format!("--cluster-tls: `{other}` is not required, prefer, off or mesh"))
        }
        (None, _) if files => Ok(Mode::Required),
        (None, []) => Ok(Mode::Plain),
        (None, exposed) => Err(format!(
            "--cluster-tls: {} is not an address of this host, and anybody there could read and \
             change what is sent: {CURE}",
            exposed.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_certificates_only_this_host_is_taken() {
        let elsewhere = ["--listen 0.0.0.0:50051".to_owned()];
        assert_eq!(mode(None, false, &[]), Ok(Mode::Plain));
        assert_eq!(mode(None, true, &[]), Ok(Mode::Required));
        assert_eq!(mode(None, true, &elsewhere), Ok(Mode::Required));
        assert_eq!(mode(Some("off"), true, &elsewhere), Ok(Mode::Plain));
        assert_eq!(mode(Some("mesh"), false, &elsewhere), Ok(Mode::Plain));
        assert_eq!(mode(Some("prefer"), true, &elsewhere), Ok(Mode::Prefer));
        let refused = mode(None, false, &elsewhere).unwrap_err();
        for told in ["--cluster-tls: --listen 0.0.0.0:50051", "cluster-init", "mesh", "off"] {
            assert!(refused.contains(told), "{refused}");
        }
        assert!(mode(Some("yes"), true, &[]).is_err());
    }

    #[test]
    fn only_a_word_of_the_operator_leaves_a_service_unprotected() {
        for (mode, unprotected) in [
            (None, Unprotected::Refused),
            (Some("required"), Unprotected::Refused),
            (Some(""), Unprotected::Refused),
            (Some("yes"), Unprotected::Refused),
            (Some("prefer"), Unprotected::Warned),
            (Some("off"), Unprotected::Taken),
            (Some("mesh"), Unprotected::Taken),
        ] {
            let cluster_tls = mode.map(str::to_owned);
            let options = ClusterTlsOptions { cluster_tls, ..ClusterTlsOptions::default() };
            assert_eq!(options.unprotected(), unprotected, "{mode:?}");
        }
    }

    #[test]
    fn all_three_files_are_needed() {
        let only = ClusterTlsOptions {
            cluster_tls_cert: Some("/absent".into()),
            cluster_tls_key: Some(String::new()),
            ..ClusterTlsOptions::default()
        };
        let problems = only.validate(Role::Worker, &[]).unwrap_err();
        assert!(problems[0].starts_with("--cluster-tls-ca: is needed too"), "{problems:?}");
        assert!(problems[1].starts_with("--cluster-tls-key: is needed too"), "{problems:?}");
        let required =
            ClusterTlsOptions { cluster_tls: Some("required".into()), ..Default::default() };
        assert_eq!(required.validate(Role::Gateway, &[]).unwrap_err().len(), 3);
    }

    #[test]
    fn what_is_of_this_host() {
        for (host, local) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("[::1]", true),
            ("::ffff:127.0.0.1", true),
            ("localhost", true),
            ("worker.localhost", true),
            ("0.0.0.0", false),
            ("::", false),
            ("10.0.0.7", false),
            ("worker", false),
            ("notlocalhost", false),
        ] {
            assert_eq!(is_local(host), local, "{host}");
        }
    }
}
