//! Options that say who may use which port.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use actix_web::http::header::{HeaderName, HeaderValue};
use clap::Args;
use clap::builder::FalseyValueParser;
use hyper::Uri;
use rand::distr::{Alphanumeric, SampleString};
use reframe_tls::Reloaded;
use tokio::sync::Notify;

use super::proxies::TrustedProxies;
use crate::access::{Audience, Keys, Secret};

const NO_FRAMES: &str = "'none'";
const USER_HEADER: &str = "X-Forwarded-User";
/// Characters of the token that `link` draws: 131 bits.
const LINK_CHARS: usize = 22;

/// The options, as given.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct AccessOptions {
    /// Who may use the public port [none: everybody; link: who has the address that is printed at
    /// the start; token: who has a token of --auth-key-file or --auth-jwks; http: whom the service
    /// at --auth-http lets in; proxy: whom a proxy in --trusted-proxies names; default: everybody
    /// on this machine, needed where --http is not a loopback address].
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
    /// FastRTC's front-ends send them: whoever learns an id then has that session.
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

/// Who may use the public port.
#[derive(Clone, Debug)]
pub(crate) enum Auth {
    /// Whoever is on this machine: the port is bound to a loopback address.
    Local,
    /// Everybody.
    Everybody,
    /// Whoever has the address with this token.
    Link(Secret),
    /// Whoever has a token that one of these keys signed.
    Token { keys: Vec<Arc<Reloaded<Keys>>>, jwks: Option<Jwks>, audience: Audience },
    /// Whom the service at this URL lets in.
    Http(Uri),
    /// Whom a trusted proxy names in this header.
    Proxy(HeaderName),
}

/// Keys that are fetched.
#[derive(Clone, Debug)]
pub(crate) struct Jwks {
    pub(crate) url: Uri,
    pub(crate) keys: Arc<Reloaded<Keys>>,
    /// A token came whose key is not known.
    pub(crate) wanted: Arc<Notify>,
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

/// Who may use `/api/sessions` of the admin port.
#[derive(Clone, Debug)]
pub(crate) enum Admin {
    /// Whoever reaches it: it is bound to a loopback address.
    Local,
    /// Nobody, as no token is set.
    Closed,
    Token(Arc<Reloaded<Secret>>),
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
        let mut readable = Vec::new();
        let secrets = keys(problems, &mut readable, "--auth-key-file", &self.auth_key_file);
        let (public, jwks) = self.jwks(problems);
        let audience = given(&self.auth_audience).map(str::to_owned);
        if (public.is_some() || jwks.is_some()) && audience.is_none() {
            problems.push(
                "--auth-audience: needed with --auth-jwks, whose keys sign tokens for other \
                 services too"
                    .to_owned(),
            );
        }
        let local = http.is_none_or(|address| address.ip().is_loopback());
        let sources: Vec<_> = secrets.into_iter().chain(public).collect();
        let no_keys = sources.is_empty() && jwks.is_none();
        let header = self.auth_header.trim();
        let header = if header.is_empty() { USER_HEADER } else { header };
        let auth = match given(&self.auth).map(str::trim) {
            None if local => Ok(Auth::Local),
            None => Err(format!(
                "--auth: needed, as --http {} can be reached from other machines: `token` with \
                 --auth-key-file, `http`, `proxy`, `link`, or `none` for everybody",
                http.map(|http| http.to_string()).unwrap_or_default()
            )),
            Some("none") => Ok(Auth::Everybody),
            Some("link") => Ok(Auth::Link(Secret::new(
                &Alphanumeric.sample_string(&mut rand::rng(), LINK_CHARS),
            ))),
            Some("token") if no_keys && problems.len() == before => {
                Err("--auth: `token` needs --auth-key-file or --auth-jwks".to_owned())
            }
            Some("token") => Ok(Auth::Token { keys: sources, jwks, audience }),
            Some("http") => match given(&self.auth_http) {
                Some(url) => remote(url).map(Auth::Http).map_err(|it| format!("--auth-http: {it}")),
                None => {
                    Err("--auth: `http` needs --auth-http, the service that decides".to_owned())
                }
            },
            Some("proxy") if proxies.is_empty() => Err(
                "--auth: `proxy` needs --trusted-proxies, the addresses that may set --auth-header"
                    .to_owned(),
            ),
            Some("proxy") => header
                .parse()
                .map(Auth::Proxy)
                .map_err(|_| format!("--auth-header: `{header}` is not a header's name")),
            Some(other) => {
                Err(format!("--auth: `{other}` is not one of none, link, token, http and proxy"))
            }
        };
        let auth = auth.map_err(|problem| problems.push(problem)).ok();
        self.unused(problems);
        let cluster = keys(problems, &mut readable, "--cluster-key-file", &self.cluster_key_file);
        let ephemeral_cluster_key = cluster.is_none();
        let cluster = cluster.unwrap_or_else(|| Arc::new(Reloaded::fixed(Keys::random())));
        let admin = self.admin(problems, &mut readable, admin);
        let frame_ancestors = self.frame_ancestors.trim();
        let frame_ancestors =
            if frame_ancestors.is_empty() { NO_FRAMES } else { frame_ancestors }.to_owned();
        // It ends up within one header, in one directive of it.
        if HeaderValue::from_str(&frame_ancestors).is_err() || frame_ancestors.contains([';', ','])
        {
            problems.push(format!(
                "--frame-ancestors: `{frame_ancestors}` is not a list like `'self' \
                 https://example.com`, with spaces between"
            ));
        }
        let (auth, legacy_ids) = (auth?, self.legacy_ids);
        (problems.len() == before).then_some(Access {
            auth,
            cluster,
            ephemeral_cluster_key,
            legacy_ids,
            admin,
            frame_ancestors,
            readable,
        })
    }

    /// What is given for another `--auth` would not hold, and seem to.
    fn unused(&self, problems: &mut Vec<String>) {
        let auth = given(&self.auth).map(str::trim);
        for (flag, value, mode) in [
            ("--auth-key-file", &self.auth_key_file, "token"),
            ("--auth-jwks", &self.auth_jwks, "token"),
            ("--auth-audience", &self.auth_audience, "token"),
            ("--auth-http", &self.auth_http, "http"),
        ] {
            if given(value).is_some() && auth != Some(mode) {
                problems.push(format!("{flag}: only with --auth {mode}"));
            }
        }
    }

    /// The keys of a file, or of a URL.
    fn jwks(&self, problems: &mut Vec<String>) -> (Option<Arc<Reloaded<Keys>>>, Option<Jwks>) {
        const FLAG: &str = "--auth-jwks";
        let Some(from) = given(&self.auth_jwks) else { return (None, None) };
        let read = if from.contains("://") {
            let jwks = |url| {
                let (keys, wanted) = (Arc::new(Reloaded::fixed(Keys::none())), Arc::default());
                (None, Some(Jwks { url, keys, wanted }))
            };
            remote(from).map(jwks).map_err(|problem| format!("{FLAG}: {problem}"))
        } else {
            Reloaded::from_text(FLAG, from, Keys::from_jwks)
                .map(|keys| (Some(Arc::new(keys)), None))
        };
        read.unwrap_or_else(|problem| {
            problems.push(problem);
            (None, None)
        })
    }

    fn admin(
        &self,
        problems: &mut Vec<String>,
        readable: &mut Vec<&'static str>,
        address: Option<SocketAddr>,
    ) -> Admin {
        const FLAG: &str = "--admin-token-file";
        match given(&self.admin_token_file) {
            Some(path) => match Reloaded::from_text(FLAG, path, Secret::from_file) {
                Ok(token) => {
                    readable.extend(token.readable_by_all().then_some(FLAG));
                    return Admin::Token(Arc::new(token));
                }
                Err(problem) => problems.push(problem),
            },
            None if address.is_none_or(|address| address.ip().is_loopback()) => {
                return Admin::Local;
            }
            None => {}
        }
        Admin::Closed
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

/// The URL of a service that is believed: nobody on the way may change what it says.
fn remote(text: &str) -> Result<Uri, String> {
    let wrong = || format!("`{text}` is not https://…, or http:// to a loopback address");
    let url: Uri = text.parse().map_err(|_| wrong())?;
    let host = url.host().unwrap_or_default();
    let named = url.authority().is_some_and(|authority| authority.as_str().contains('@'));
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let local = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    match url.scheme_str() {
        _ if named => Err(wrong()),
        Some("https") if !host.is_empty() => Ok(url),
        Some("http") if local => Ok(url),
        _ => Err(wrong()),
    }
}

/// An empty environment variable counts as one that is not set.
fn given(value: &Option<String>) -> Option<&str> {
    value.as_deref().filter(|value| !value.is_empty())
}

fn keys(
    problems: &mut Vec<String>,
    readable: &mut Vec<&'static str>,
    flag: &'static str,
    path: &Option<String>,
) -> Option<Arc<Reloaded<Keys>>> {
    let read = Reloaded::from_text(flag, given(path)?, Keys::from_lines);
    let keys = read.map_err(|problem| problems.push(problem)).ok()?;
    readable.extend(keys.readable_by_all().then_some(flag));
    Some(Arc::new(keys))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(options: &AccessOptions, http: &str, proxies: &str) -> Result<Access, Vec<String>> {
        let mut problems = Vec::new();
        let proxies = TrustedProxies::from_option(&mut problems, Some(proxies));
        let (http, admin) = (http.parse().ok(), "127.0.0.1:9090".parse().ok());
        options.validate(&mut problems, http, admin, &proxies).ok_or(problems)
    }

    fn with(auth: &str) -> AccessOptions {
        AccessOptions { auth: Some(auth.into()), ..AccessOptions::default() }
    }

    #[test]
    fn this_machine_needs_no_decision_and_a_network_does() {
        let none = AccessOptions::default();
        for local in ["127.0.0.1:8080", "127.0.0.9:0", "[::1]:8080"] {
            assert!(matches!(checked(&none, local, "").unwrap().auth, Auth::Local), "{local}");
        }
        for reached in ["0.0.0.0:8080", "[::]:8080", "192.168.1.5:8080"] {
            let problems = checked(&none, reached, "").unwrap_err();
            let [one] = &problems[..] else { panic!("{problems:?}") };
            assert!(one.starts_with("--auth: needed") && one.contains(reached), "{one}");
            assert!(matches!(checked(&with("none"), reached, "").unwrap().auth, Auth::Everybody));
        }
        let empty = with("");
        assert!(checked(&empty, "0.0.0.0:8080", "").is_err(), "a variable that is empty");
    }

    #[test]
    fn each_mode_names_what_it_lacks() {
        let jwks = AccessOptions { auth_jwks: Some("/absent".into()), ..with("token") };
        let service = AccessOptions { auth_http: Some("http://10.0.0.1/".into()), ..with("http") };
        let unused = AccessOptions { auth_audience: Some("video".into()), ..with("none") };
        let header = AccessOptions { auth_header: "a b".into(), ..with("proxy") };
        let frames =
            AccessOptions { frame_ancestors: "'self'; script-src *".into(), ..with("none") };
        let admin = AccessOptions { admin_token_file: Some("/absent".into()), ..with("none") };
        for (options, proxies, starts) in [
            (with("token"), "", "--auth: `token` needs"),
            (with("proxy"), "", "--auth: `proxy` needs"),
            (with("http"), "", "--auth: `http` needs"),
            (service, "", "--auth-http: `http://10.0.0.1/` is not"),
            (unused, "", "--auth-audience: only with --auth token"),
            (with("basic"), "", "--auth: `basic` is not one of"),
            (header, "10.0.0.1", "--auth-header: `a b`"),
            (jwks, "", "--auth-jwks: cannot read `/absent`: "),
            (frames, "", "--frame-ancestors: "),
            (admin, "", "--admin-token-file: cannot read `/absent`: "),
        ] {
            let problems = checked(&options, "0.0.0.0:80", proxies).unwrap_err();
            let [one] = &problems[..] else { panic!("{problems:?}") };
            assert!(one.starts_with(starts), "{one}");
        }
    }

    #[test]
    fn two_links_differ() {
        let link = || match checked(&with("link"), "0.0.0.0:80", "").unwrap().auth {
            Auth::Link(token) => token,
            other => panic!("{other:?}"),
        };
        assert!(!link().is(link().text()));
    }
}
