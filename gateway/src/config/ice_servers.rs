//! The STUN and TURN servers that browsers are to use, and their credentials.
//!
//! TURN servers share a secret with us (`draft-uberti-behave-turn-rest`): a user name contains its
//! expiry time, and its password is our signature of it. So the server needs no user database, and
//! a leaked password is valid only for `--turn-ttl`.

use std::net::Ipv6Addr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use hmac::{Hmac, Mac};
use serde::Deserialize;
use serde_json::{Value, json};
use sha1::Sha1;

use super::parse::within;

const SCHEMES: [&str; 4] = ["stun:", "stuns:", "turn:", "turns:"];

/// The options, as given.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct IceServerOptions {
    /// STUN and TURN servers for browsers [comma-separated URLs like turn:host:3478?transport=tcp;
    /// or a JSON file with a list of `{urls, username, credential}`].
    #[arg(long, env = "REFRAME_ICE_SERVERS", value_name = "URL|FILE", default_value = "")]
    pub ice_servers: String,

    /// The secret that the TURN servers of --ice-servers share with us [text; coturn's
    /// static-auth-secret].
    #[arg(long, env = "REFRAME_TURN_SECRET", value_name = "SECRET", hide_env_values = true)]
    pub turn_secret: Option<String>,

    /// The same from a file [path; its first line].
    #[arg(long, env = "REFRAME_TURN_SECRET_FILE", value_name = "FILE")]
    pub turn_secret_file: Option<String>,

    /// How long a browser's TURN credentials are good; a session may last longer [seconds, 60 to
    /// 86400].
    #[arg(long, env = "REFRAME_TURN_TTL", value_name = "SECONDS", default_value = "3600")]
    pub turn_ttl: String,
}

/// Checked options.
#[derive(Clone)]
pub(crate) struct IceServers {
    servers: Vec<IceServer>,
    secret: Option<String>,
    ttl: Duration,
}

/// In the form of the browser's `RTCIceServer`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IceServer {
    urls: Urls,
    username: Option<String>,
    credential: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Urls {
    One(String),
    Several(Vec<String>),
}

impl IceServerOptions {
    /// Checks every option; `None` when `problems` has got a line.
    pub(crate) fn validate(&self, problems: &mut Vec<String>) -> Option<IceServers> {
        let before = problems.len();
        let servers = servers(problems, self.ice_servers.trim());
        let secret = self.secret(problems);
        let ttl = within(problems, "--turn-ttl", &self.turn_ttl, 60, 86_400);
        for server in
            servers.iter().filter(|server| server.is_turn() && server.credential.is_none())
        {
            if secret.is_none() && problems.len() == before {
                let url = server.urls().first().copied().unwrap_or_default();
                problems.push(format!(
                    "--ice-servers: `{url}` needs --turn-secret or --turn-secret-file, or a file \
                     with credentials"
                ));
            }
        }
        let ttl = Duration::from_secs(ttl?.into());
        (problems.len() == before).then_some(IceServers { servers, secret, ttl })
    }

    /// An empty environment variable counts as one that is not set.
    fn secret(&self, problems: &mut Vec<String>) -> Option<String> {
        let given = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        match (given(&self.turn_secret), given(&self.turn_secret_file)) {
            (Some(_), Some(_)) => {
                problems.push("--turn-secret: not together with --turn-secret-file".to_owned());
                None
            }
            (secret, None) => secret,
            (None, Some(file)) => match std::fs::read_to_string(&file) {
                Ok(text) => text
                    .lines()
                    .next()
                    .map(str::trim)
                    .filter(|line| !line.is_empty())
                    .map(str::to_owned)
                    .or_else(|| {
                        problems.push(format!("--turn-secret-file: `{file}` has no first line"));
                        None
                    }),
                Err(error) => {
                    problems.push(format!("--turn-secret-file: `{file}`: {error}"));
                    None
                }
            },
        }
    }
}

impl Default for IceServerOptions {
    /// As without any flag and variable.
    fn default() -> Self {
        Self {
            ice_servers: String::new(),
            turn_secret: None,
            turn_secret_file: None,
            turn_ttl: "3600".to_owned(),
        }
    }
}

fn servers(problems: &mut Vec<String>, given: &str) -> Vec<IceServer> {
    let is_url = |text: &str| SCHEMES.iter().any(|scheme| text.starts_with(scheme));
    let servers: Vec<IceServer> = if given.is_empty() {
        Vec::new()
    } else if given.split(',').any(|part| is_url(part.trim())) {
        let urls = given.split(',').map(|part| Urls::One(part.trim().to_owned()));
        urls.map(|urls| IceServer { urls, username: None, credential: None }).collect()
    } else {
        let read = std::fs::read_to_string(given).map_err(|error| error.to_string());
        let parsed =
            read.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()));
        parsed.unwrap_or_else(|error| {
            problems.push(format!(
                "--ice-servers: `{given}` is no URL like stun:host:3478, and as a file: {error}"
            ));
            Vec::new()
        })
    };
    for url in servers.iter().flat_map(IceServer::urls) {
        let rest = SCHEMES.iter().find_map(|scheme| url.strip_prefix(scheme));
        if !rest.is_some_and(names_a_server) {
            problems.push(format!(
                "--ice-servers: `{url}` is not a URL like stun:host:3478, turn:host:3478 or \
                 turn:[2001:db8::7]:3478"
            ));
        }
    }
    servers
}

/// `host`, `host:port`, `[ipv6]:port`, and a query. A browser that is given anything else makes no
/// connection at all.
fn names_a_server(rest: &str) -> bool {
    let authority = rest.split('?').next().unwrap_or_default();
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((ip, "")) => (ip.parse::<Ipv6Addr>().is_ok(), None),
        Some((ip, port)) => (ip.parse::<Ipv6Addr>().is_ok(), Some(port.strip_prefix(':'))),
        None => match authority.split_once(':') {
            Some((host, port)) => (is_plain(host), Some(Some(port))),
            None => (is_plain(authority), None),
        },
    };
    let port = port.is_none_or(|port| port.is_some_and(|port| port.parse::<u16>().is_ok()));
    host && port
}

fn is_plain(host: &str) -> bool {
    !host.is_empty() && !host.contains(['/', '[', ']', '@', ' '])
}

impl IceServer {
    fn urls(&self) -> Vec<&str> {
        match &self.urls {
            Urls::One(url) => vec![url],
            Urls::Several(urls) => urls.iter().map(String::as_str).collect(),
        }
    }

    fn is_turn(&self) -> bool {
        self.urls().iter().any(|url| url.starts_with("turn"))
    }
}

impl IceServers {
    /// Whether one of them relays media.
    pub(crate) fn have_turn(&self) -> bool {
        self.servers.iter().any(IceServer::is_turn)
    }

    /// The configuration of a browser's `RTCPeerConnection`, with credentials that are valid from
    /// `now`, in seconds since 1970. `name` distinguishes browsers in the TURN server's log and
    /// quotas.
    pub(crate) fn at(&self, now: u64, name: &str) -> Value {
        let username = format!("{}:{name}", now + self.ttl.as_secs());
        let servers = self.servers.iter().map(|server| {
            let (username, credential) = match (&self.secret, &server.credential) {
                (Some(secret), None) if server.is_turn() => {
                    (Some(&username), Some(sign(secret, &username)))
                }
                (_, credential) => (server.username.as_ref(), credential.clone()),
            };
            let mut object = json!({ "urls": server.urls() });
            if let (Some(username), Some(credential)) = (username, credential) {
                object["username"] = username.as_str().into();
                object["credential"] = credential.into();
            }
            object
        });
        servers.collect()
    }
}

fn sign(secret: &str, username: &str) -> String {
    let mut hmac =
        Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    hmac.update(username.as_bytes());
    STANDARD.encode(hmac.finalize().into_bytes())
}

impl std::fmt::Debug for IceServers {
    /// Without secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.servers.iter().map(IceServer::urls)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(servers: &str, secret: Option<&str>) -> IceServerOptions {
        let turn_secret = secret.map(str::to_owned);
        IceServerOptions {
            ice_servers: servers.to_owned(),
            turn_secret,
            ..IceServerOptions::default()
        }
    }

    fn check(options: &IceServerOptions) -> Result<Value, Vec<String>> {
        let mut problems = Vec::new();
        let servers = options.validate(&mut problems);
        servers.map(|servers| servers.at(1_000_000, "name")).ok_or(problems)
    }

    #[test]
    fn urls_get_credentials_where_they_need_some() {
        assert_eq!(check(&options("", None)), Ok(json!([])));
        let given = options("stun:a:3478, turn:b:3478?transport=tcp", Some("secret"));
        // `printf 1003600:name | openssl dgst -sha1 -hmac secret -binary | base64`
        let credential = "r78nrI7wqdra4PUjy2CAtzGxO5k=";
        assert_eq!(
            check(&given),
            Ok(json!([
                { "urls": ["stun:a:3478"] },
                { "urls": ["turn:b:3478?transport=tcp"], "username": "1003600:name", "credential": credential },
            ]))
        );
    }

    #[test]
    fn an_address_may_be_of_either_family() {
        for url in [
            "turn:[2001:db8::7]:3478?transport=tcp",
            "turns:[2001:db8::7]",
            "turn:192.0.2.7:3478",
            "stun:a.example.org",
        ] {
            assert_eq!(check(&options(url, Some("secret"))).unwrap()[0]["urls"], json!([url]));
        }
    }

    #[test]
    fn a_file_may_have_its_own() {
        let file = std::env::temp_dir().join(format!("ice-servers-{}.json", std::process::id()));
        let text = r#"[{"urls": "stun:a"}, {"urls": ["turn:b", "turns:b"], "username": "u", "credential": "c"}]"#;
        std::fs::write(&file, text).unwrap();
        let checked = check(&options(file.to_str().unwrap(), None));
        std::fs::write(&file, r#"[{"url": "stun:a"}]"#).unwrap();
        let refused = check(&options(file.to_str().unwrap(), None));
        std::fs::remove_file(&file).unwrap();
        let turn = json!({ "urls": ["turn:b", "turns:b"], "username": "u", "credential": "c" });
        assert_eq!(checked, Ok(json!([{ "urls": ["stun:a"] }, turn])));
        assert!(refused.unwrap_err()[0].contains("`url`"));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (servers, secret, named) in [
            ("turn:b:3478", None, "--turn-secret"),
            ("turn://b:3478", Some("secret"), "turn://b:3478"),
            ("stun:a,b", None, "`b`"),
            ("turn:2001:db8::7:3478", Some("secret"), "turn:2001:db8::7:3478"),
            ("turn:[2001:db8::7:3478", Some("secret"), "turn:[2001:db8::7:3478"),
            ("stun:[192.0.2.7]:3478", None, "stun:[192.0.2.7]:3478"),
            ("stun:a:many", None, "stun:a:many"),
            ("/absent/servers.json", None, "/absent/servers.json"),
        ] {
            let problems = check(&options(servers, secret)).unwrap_err();
            assert!(
                problems.len() == 1 && problems[0].starts_with("--ice-servers: "),
                "{problems:?}"
            );
            assert!(problems[0].contains(named), "{problems:?}");
        }
        let both = IceServerOptions {
            turn_secret_file: Some("/absent".into()),
            ..options("", Some("secret"))
        };
        assert!(check(&both).unwrap_err()[0].starts_with("--turn-secret: "));
        let absent =
            IceServerOptions { turn_secret_file: Some("/absent".into()), ..options("", None) };
        assert!(check(&absent).unwrap_err()[0].starts_with("--turn-secret-file: "));
    }
}
