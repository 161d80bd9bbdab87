//! `--auth`: who may use the public port.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use actix_web::http::header::HeaderName;
use hyper::Uri;
use rand::distr::{Alphanumeric, SampleString};
use reframe_tls::Reloaded;
use tokio::sync::Notify;

use super::files::Files;
use super::{AccessOptions, USER_HEADER, given};
use crate::access::{Audience, Keys, Secret};
use crate::config::proxies::TrustedProxies;

/// Characters of the token that `link` draws: 131 bits.
const LINK_CHARS: usize = 22;

/// Who may use the public port.
#[derive(Clone, Debug)]
pub(crate) enum Auth {
    /// Everybody on this machine: the port is bound to a loopback address.
    Local,
    /// Everybody.
    Everybody,
    /// Anybody with the address that has this token in it.
    Link(Secret),
    /// Anybody with a token that one of these keys signed.
    Token { keys: Vec<Arc<Reloaded<Keys>>>, jwks: Option<Jwks>, audience: Audience },
    /// Anybody that the service at this URL lets in.
    Http(Uri),
    /// Anybody that a trusted proxy names in this header.
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

impl AccessOptions {
    /// `None` when there is a problem.
    pub(super) fn auth(
        &self,
        files: &mut Files<'_>,
        http: Option<SocketAddr>,
        proxies: &TrustedProxies,
    ) -> Option<Auth> {
        let (mode, local) = (self.mode(), http.is_none_or(|address| address.ip().is_loopback()));
        // Also for another mode: what is wrong with a file is told beside what it is not for.
        let tokens = self.tokens(files);
        let auth = match mode {
            None if local => Ok(Auth::Local),
            None => Err(format!(
                "--auth: needed, as --http {} can be reached from other machines: `token` with \
                 --auth-key-file, `http`, `proxy`, `link`, or `none` for everybody",
                http.map(|http| http.to_string()).unwrap_or_default()
            )),
            Some("none") => Ok(Auth::Everybody),
            Some("link") => {
                let drawn = Alphanumeric.sample_string(&mut rand::rng(), LINK_CHARS);
                Ok(Auth::Link(Secret::new(&drawn)))
            }
            Some("token")
                if given(&self.auth_key_file).is_none() && given(&self.auth_jwks).is_none() =>
            {
                Err("--auth: `token` needs --auth-key-file or --auth-jwks".to_owned())
            }
            Some("token") => Ok(tokens),
            Some("http") => self.service().map(Auth::Http),
            Some("proxy") => self.header(proxies).map(Auth::Proxy),
            Some(other) => {
                Err(format!("--auth: `{other}` is not one of none, link, token, http and proxy"))
            }
        };
        let auth = auth.map_err(|problem| files.problems.push(problem)).ok();
        self.unused(files.problems);
        auth
    }

    fn mode(&self) -> Option<&str> {
        given(&self.auth).map(str::trim)
    }

    /// Keys of access tokens.
    fn tokens(&self, files: &mut Files<'_>) -> Auth {
        let secrets = files.keys("--auth-key-file", &self.auth_key_file);
        let (public, jwks) = self.jwks(files.problems);
        let audience = given(&self.auth_audience).map(str::to_owned);
        if (public.is_some() || jwks.is_some()) && audience.is_none() {
            let problem = "--auth-audience: needed with --auth-jwks, whose keys sign tokens for \
                           other services too";
            files.problems.push(problem.to_owned());
        }
        Auth::Token { keys: secrets.into_iter().chain(public).collect(), jwks, audience }
    }

    fn service(&self) -> Result<Uri, String> {
        let url = given(&self.auth_http)
            .ok_or("--auth: `http` needs --auth-http, the service that decides")?;
        service_url(url).map_err(|problem| format!("--auth-http: {problem}"))
    }

    fn header(&self, proxies: &TrustedProxies) -> Result<HeaderName, String> {
        if proxies.is_empty() {
            let problem = "--auth: `proxy` needs --trusted-proxies, the addresses that may set \
                           --auth-header";
            return Err(problem.to_owned());
        }
        let header = Some(self.auth_header.trim()).filter(|header| !header.is_empty());
        let header = header.unwrap_or(USER_HEADER);
        header.parse().map_err(|_| format!("--auth-header: `{header}` is not a header's name"))
    }

    /// What is given for another `--auth` would not hold, and seem to.
    fn unused(&self, problems: &mut Vec<String>) {
        for (flag, value, mode) in [
            ("--auth-key-file", &self.auth_key_file, "token"),
            ("--auth-jwks", &self.auth_jwks, "token"),
            ("--auth-audience", &self.auth_audience, "token"),
            ("--auth-http", &self.auth_http, "http"),
        ] {
            if given(value).is_some() && self.mode() != Some(mode) {
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
            service_url(from).map(jwks).map_err(|problem| format!("{FLAG}: {problem}"))
        } else {
            Reloaded::from_text(FLAG, from, Keys::from_jwks)
                .map(|keys| (Some(Arc::new(keys)), None))
        };
        read.unwrap_or_else(|problem| {
            problems.push(problem);
            (None, None)
        })
    }
}

/// The URL of a service that is believed: nobody on the way may change what it says.
fn service_url(text: &str) -> Result<Uri, String> {
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
