//! Options that say who may use which port.
//!
//! | module | what it is |
//! |---|---|
//! | `auth` | `--auth`, and what each of its modes needs |
//! | `files` | files of secrets, and what the operator's says about the admin port |

mod auth;
mod files;

use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::http::header::HeaderValue;
use clap::Args;
use clap::builder::FalseyValueParser;
use reframe_tls::Reloaded;

pub(crate) use self::auth::{Auth, Jwks};
pub(crate) use self::files::Admin;
use self::files::Files;
use super::proxies::TrustedProxies;
use crate::access::Keys;

const NO_FRAMES: &str = "'none'";
const USER_HEADER: &str = "X-Forwarded-User";

/// The options, as given.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct AccessOptions {
    /// Who may use the public port [none: everybody; link: anybody with the address that is printed
    /// at the start; token: anybody with a token of --auth-key-file or --auth-jwks; http: anybody
    /// that the service at --auth-http lets in; proxy: anybody that a proxy in --trusted-proxies
    /// names; default: everybody on this machine, needed where --http is not a loopback address].
    #[arg(long, env = "REFRAME_AUTH", value_name = "MODE")]
    pub auth: Option<String>,

    /// Secrets of access tokens (HS256), read again when they change [file; `SECRET` or `NAME
    /// SECRET` on each line, 32 characters at least].
    #[arg(long, env = "REFRAME_AUTH_KEY_FILE", value_name = "FILE")]
    pub auth_key_file: Option<String>,

    /// Public keys of access tokens (RS256, ES256, EdDSA), read again when they change [file or
    /// https URL of a JSON Web Key Set; with --auth-audience].
    #[arg(long, env = "REFRAME_AUTH_JWKS", value_name = "FILE|URL")]
    pub auth_jwks: Option<String>,

    /// The service that --auth http asks, by POST of `{ip, action, stream, token}`; 2xx allows
    /// [https URL, or http to a loopback address].
    #[arg(long, env = "REFRAME_AUTH_HTTP", value_name = "URL")]
    pub auth_http: Option<String>,

    /// The name of this service in the claim `aud` of access tokens [text; default: tokens with
    /// that claim are refused].
    #[arg(long, env = "REFRAME_AUTH_AUDIENCE", value_name = "NAME")]
    pub auth_audience: Option<String>,

    /// The header in which the proxies of --auth proxy name the person [a header's name].
    #[arg(
        long,
        env = "REFRAME_AUTH_HEADER",
        value_name = "HEADER",
        default_value = "X-Forwarded-User"
    )]
    pub auth_header: String,

    /// Secrets that sign the tokens of sessions; gateways that share sessions share it [file, as
    /// --auth-key-file; the first secret signs; default: one that is drawn at the start].
    #[arg(long, env = "REFRAME_CLUSTER_KEY_FILE", value_name = "FILE")]
    pub cluster_key_file: Option<String>,

    /// Also take requests for a session that show its id alone, of 16 characters at least, as
    /// FastRTC's front-ends send them: anybody who learns an id then has that session.
    #[arg(long, env = "REFRAME_LEGACY_IDS", value_parser = FalseyValueParser::new())]
    pub legacy_ids: bool,

    /// The token that `/api/sessions` of the admin port needs, read again when it changes [file;
    /// its first line; default: none on a loopback address, elsewhere that path is closed].
    #[arg(long, env = "REFRAME_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub admin_token_file: Option<String>,

    /// Sites that may show the page in a frame, with spaces between [`'self'`, `*`, or origins as
    /// in `frame-ancestors` of a Content-Security-Policy].
    #[arg(long, env = "REFRAME_FRAME_ANCESTORS", value_name = "SOURCES", default_value = "'none'")]
    pub frame_ancestors: String,
}

/// Checked options.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) auth: Auth,
    /// They sign the tokens of sessions.
    pub(crate) cluster: Arc<Reloaded<Keys>>,
    /// They were drawn at the start: no other gateway has them.
    pub(crate) ephemeral_cluster_key: bool,
    pub(crate) legacy_ids: bool,
    pub(crate) admin: Admin,
    /// The value of the directive.
    pub(crate) frame_ancestors: String,
    /// Files that everybody on this machine may read, by their options.
    pub(crate) readable: Vec<&'static str>,
}

impl AccessOptions {
    /// Checks every option; `None` when `problems` has got a line.
    pub(crate) fn validate(
        &self,
        problems: &mut Vec<String>,
        http: Option<SocketAddr>,
        admin: Option<SocketAddr>,
        proxies: &TrustedProxies,
    ) -> Option<Access> {
        let before = problems.len();
        let mut files = Files { problems, readable: Vec::new() };
        let auth = self.auth(&mut files, http, proxies);
        let cluster = files.keys("--cluster-key-file", &self.cluster_key_file);
        let admin = files.admin(&self.admin_token_file, admin);
        let readable = files.readable;
        let frame_ancestors = self.frame_ancestors(problems);
        let auth = auth.filter(|_| problems.len() == before)?;
        Some(Access {
            auth,
            ephemeral_cluster_key: cluster.is_none(),
            cluster: cluster.unwrap_or_else(|| Arc::new(Reloaded::fixed(Keys::random()))),
            legacy_ids: self.legacy_ids,
            admin,
            frame_ancestors,
            readable,
        })
    }

    fn frame_ancestors(&self, problems: &mut Vec<String>) -> String {
        let sources = self.frame_ancestors.trim();
        let sources = if sources.is_empty() { NO_FRAMES } else { sources };
        // It ends up within one header, in one directive of it.
        if HeaderValue::from_str(sources).is_err() || sources.contains([';', ',']) {
            problems.push(format!(
                "--frame-ancestors: `{sources}` is not a list like `'self' https://example.com`, \
                 with spaces between"
            ));
        }
        sources.to_owned()
    }
}

impl Access {
    /// The token in the address that is printed.
    pub(crate) fn link(&self) -> Option<&str> {
        match &self.auth {
            Auth::Link(secret) => Some(secret.text()),
            _ => None,
        }
    }

    /// What files of keys hold, which may change.
    pub(crate) fn keys(&self) -> Vec<Arc<Reloaded<Keys>>> {
        let tokens = match &self.auth {
            Auth::Token { keys, .. } => &keys[..],
            _ => &[],
        };
        tokens.iter().chain([&self.cluster]).map(Arc::clone).collect()
    }
}

impl Default for AccessOptions {
    /// As without any flag and variable.
    fn default() -> Self {
        Self {
            auth: None,
            auth_key_file: None,
            auth_jwks: None,
            auth_http: None,
            auth_audience: None,
            auth_header: USER_HEADER.to_owned(),
            cluster_key_file: None,
            legacy_ids: false,
            admin_token_file: None,
            frame_ancestors: NO_FRAMES.to_owned(),
        }
    }
}

/// An empty environment variable counts as one that is not set.
fn given(value: &Option<String>) -> Option<&str> {
    value.as_deref().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests;
