//! Options for the Redis that several gateways share.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, TlsCertificates};
use reframe_tls::is_local;

/// The options, as given. Flatten them into a command line.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub struct RedisOptions {
    /// Where the gateways of this deployment share what they know of sessions and slots
    /// [rediss://host:port is by TLS; redis://host:port and unix:///path for one on this host;
    /// without it this gateway is the only one].
    #[arg(long, env = "REFRAME_REDIS", value_name = "URL", hide_env_values = true)]
    pub redis: Option<String>,

    /// With --redis: its user [default: the one in the URL, or Redis' own `default`].
    #[arg(long, env = "REFRAME_REDIS_USER", value_name = "NAME")]
    pub redis_user: Option<String>,

    /// With --redis: its password, needed for one on another host [path of a file; its first line,
    /// read again for each connection].
    #[arg(long, env = "REFRAME_REDIS_PASSWORD_FILE", value_name = "FILE")]
    pub redis_password_file: Option<String>,

    /// With rediss://: the CAs whose certificates are taken of Redis [PEM file, read at the start;
    /// default: those of the system].
    #[arg(long, env = "REFRAME_REDIS_CA", value_name = "FILE")]
    pub redis_ca: Option<String>,
}

/// A Redis that is not connected yet.
#[derive(Clone, Debug)]
pub(crate) struct RedisStore {
    pub(crate) client: Client,
    /// The file of its password; it could be read at the start.
    pub(crate) password_file: Option<PathBuf>,
}

impl RedisStore {
    /// What others could do who are on the network that leads to it, with the cure: none of that to
    /// one on this host.
    pub(super) fn weaknesses(&self) -> Vec<String> {
        let info = self.client.get_connection_info();
        let (host, is_plain) = match info.addr() {
            ConnectionAddr::Tcp(host, _) => (host, true),
            ConnectionAddr::TcpTls { host, insecure, .. } => (host, *insecure),
            _ => return Vec::new(),
        };
        if is_local(host) {
            return Vec::new();
        }
        let address = info.addr();
        let plain = is_plain.then(|| {
            format!(
                "--redis: {address} is not an address of this host, and without TLS anybody on the \
                 way can read and change what is sent: make it rediss://, with --redis-ca for a CA \
                 of your own"
            )
        });
        let open = (self.password_file.is_none() && !self.has_password_in_url()).then(|| {
            format!(
                "--redis: {address} is not an address of this host, and without a password anybody \
                 who reaches it can take slots and have requests forwarded elsewhere: give \
                 --redis-password-file"
            )
        });
        plain.into_iter().chain(open).collect()
    }

    /// There it is seen by more than need it.
    pub(super) fn has_password_in_url(&self) -> bool {
        self.client.get_connection_info().redis_settings().password().is_some()
    }
}

impl RedisOptions {
    /// Checks every option; `None` without a Redis, or when `problems` has got a line.
    pub(crate) fn validate(&self, problems: &mut Vec<String>) -> Option<RedisStore> {
        // An empty environment variable counts as one that is not set.
        let given = |value: &'_ Option<String>| value.clone().filter(|value| !value.is_empty());
        let [url, user, password_file, ca] =
            [&self.redis, &self.redis_user, &self.redis_password_file, &self.redis_ca].map(given);
        let client = url.and_then(|url| store(problems, &url, ca.as_deref()));
        let client = client.and_then(|client| match user {
            Some(user) => with_user(problems, client, &user),
            None => Some(client),
        });
        let password_file = match password_file {
            Some(file) => Some(password(problems, &file, client.as_ref())?),
            None => None,
        };
        Some(RedisStore { client: client?, password_file })
    }
}

/// The URL may contain a password: no message shows it.
fn store(problems: &mut Vec<String>, url: &str, ca: Option<&str>) -> Option<Client> {
    let wanted = "it must be a URL like rediss://redis:6379, redis://127.0.0.1:6379/0 or \
        unix:///run/redis.sock";
    let client = url.into_connection_info().and_then(|info| match ca {
        Some(ca) if is_tls(&info) => {
            let root_cert = Some(std::fs::read(ca)?);
            Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert })
        }
        _ => Client::open(info),
    });
    let client = match client {
        Ok(client) => client,
        Err(error) => {
            let is_ca = ca.is_some() && url.into_connection_info().is_ok();
            problems.push(match ca.filter(|_| is_ca) {
                Some(ca) => format!("--redis-ca: `{ca}`: {error}"),
                None => format!("--redis: {error}; {wanted}"),
            });
            return None;
        }
    };
    if ca.is_some() && !is_tls(client.get_connection_info()) {
        problems.push("--redis-ca: needs --redis rediss://host:port, which is by TLS".to_owned());
        return None;
    }
    Some(client)
}

fn is_tls(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), ConnectionAddr::TcpTls { .. })
}

fn with_user(problems: &mut Vec<String>, client: Client, user: &str) -> Option<Client> {
    let info = client.get_connection_info().clone();
    if info.redis_settings().username().is_some() {
        problems.push("--redis-user: not together with a user in --redis".to_owned());
        return None;
    }
    let login = info.redis_settings().clone().set_username(user);
    let client = Client::open(info.set_redis_settings(login));
    client.map_err(|error| problems.push(format!("--redis-user: {error}"))).ok()
}

/// The file of the password of `redis`.
fn password(problems: &mut Vec<String>, file: &str, redis: Option<&Client>) -> Option<PathBuf> {
    let given = redis.and_then(|redis| redis.get_connection_info().redis_settings().password());
    if given.is_some() {
        problems.push("--redis-password-file: not together with a password in --redis".to_owned());
        return None;
    }
    match read_password(Path::new(file)) {
        Ok(_) => Some(file.into()),
        Err(error) => {
            problems.push(format!("--redis-password-file: `{file}`: {error}"));
            None
        }
    }
}

/// The first line of a file that holds a password.
///
/// # Errors
/// It cannot be read, or has none.
pub(crate) fn read_password(file: &Path) -> io::Result<String> {
    let text = std::fs::read_to_string(file)?;
    let line = text.lines().next().map(str::trim).filter(|line| !line.is_empty());
    line.map(str::to_owned)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "its first line is empty"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validated(options: &RedisOptions) -> Result<RedisStore, Vec<String>> {
        let mut problems = Vec::new();
        options.validate(&mut problems).filter(|_| problems.is_empty()).ok_or(problems)
    }

    fn of(url: &str) -> RedisOptions {
        RedisOptions { redis: Some(url.into()), ..RedisOptions::default() }
    }

    #[test]
    fn a_password_stands_in_one_place() {
        let file =
            std::env::temp_dir().join(format!("reframe-cluster-password-{}", std::process::id()));
        std::fs::write(&file, "secret\n").unwrap();
        let with = |redis: &str| RedisOptions {
            redis_password_file: file.to_str().map(str::to_owned),
            ..of(redis)
        };
        assert_eq!(
            validated(&with("redis://redis:6379")).unwrap().password_file,
            Some(file.clone())
        );
        let problems = validated(&with("redis://:other@redis:6379")).unwrap_err();
        assert!(
            matches!(&problems[..], [one] if one.starts_with("--redis-password-file: not together")),
            "{problems:?}"
        );
        std::fs::remove_file(&file).unwrap();
    }

    /// Not told as none, too.
    #[test]
    fn a_wrong_password_file_is_one_problem() {
        let mut problems = Vec::new();
        let wrong = RedisOptions {
            redis_password_file: Some("/absent/password".into()),
            ..of("rediss://redis:6379")
        };
        assert!(wrong.validate(&mut problems).is_none(), "nobody looks at its weaknesses");
        assert!(
            matches!(&problems[..], [one] if one.starts_with("--redis-password-file: `/absent/")),
            "{problems:?}"
        );
    }

    #[test]
    fn a_user_stands_in_one_place() {
        let with = |redis: &str| RedisOptions { redis_user: Some("gateway".into()), ..of(redis) };
        let store = validated(&with("rediss://redis:6379")).unwrap();
        assert_eq!(store.client.get_connection_info().redis_settings().username(), Some("gateway"));
        assert!(is_tls(store.client.get_connection_info()));
        let problems = validated(&with("redis://other@redis:6379")).unwrap_err();
        assert!(
            matches!(&problems[..], [one] if one.starts_with("--redis-user: not together")),
            "{problems:?}"
        );
    }

    #[test]
    fn a_ca_is_for_tls_and_must_be_one() {
        let ca = std::env::temp_dir().join(format!("reframe-redis-ca-{}", std::process::id()));
        let key = rcgen::KeyPair::generate().unwrap();
        let made = rcgen::CertificateParams::new(["redis".to_owned()]).unwrap();
        std::fs::write(&ca, made.self_signed(&key).unwrap().pem()).unwrap();
        let with = |redis: &str, ca: &Path| {
            validated(&RedisOptions { redis_ca: ca.to_str().map(str::to_owned), ..of(redis) })
        };
        assert!(with("rediss://redis:6379", &ca).is_ok());
        for (redis, ca) in
            [("redis://redis:6379", ca.as_path()), ("rediss://redis:6379", Path::new("/absent/ca"))]
        {
            let problems = with(redis, ca).unwrap_err();
            assert!(
                matches!(&problems[..], [one] if one.starts_with("--redis-ca: ")),
                "{problems:?}"
            );
        }
        std::fs::remove_file(&ca).unwrap();
    }

    #[test]
    fn on_another_host_tls_and_a_password_are_needed() {
        let (plain, open) = ("make it rediss://", "give --redis-password-file");
        for (url, told) in [
            ("redis://127.0.0.1:6379", &[][..]),
            ("redis://[::1]:6379", &[]),
            ("redis://localhost", &[]),
            ("unix:///run/redis.sock", &[]),
            ("redis+unix:///run/redis.sock", &[]),
            ("rediss://:secret@redis:6379", &[]),
            ("rediss://gateway@redis:6379", &[open]),
            ("redis://:secret@redis:6379", &[plain]),
            ("redis://10.0.0.7:6379", &[plain, open]),
            ("rediss://:secret@redis:6379/#insecure", &[plain]),
        ] {
            let weaknesses = validated(&of(url)).unwrap().weaknesses();
            assert_eq!(weaknesses.len(), told.len(), "{url}: {weaknesses:?}");
            for (weakness, told) in weaknesses.iter().zip(told) {
                assert!(weakness.starts_with("--redis: ") && weakness.contains(told), "{weakness}");
                assert!(!weakness.contains("secret"), "{weakness}");
            }
        }
    }

    #[test]
    fn an_address_may_be_of_either_family() {
        for (url, host) in [
            ("redis://[::1]:6380/1", "::1:6380"),
            ("rediss://:secret@[2001:db8::7]:6379", "2001:db8::7:6379"),
            ("rediss://:secret@192.0.2.7", "192.0.2.7:6379"),
        ] {
            let store = validated(&of(url)).unwrap();
            assert_eq!(store.client.get_connection_info().addr().to_string(), host, "{url}");
        }
        let problems = validated(&of("redis://2001:db8::7:6379")).unwrap_err();
        assert!(problems[0].starts_with("--redis: "), "{problems:?}");
    }

    #[test]
    fn a_wrong_redis_is_named_without_its_password() {
        for url in [
            "redis://:secret@",
            "redis://:secret@host:99999999",
            "redis://:secret@host/x",
            "http://:secret@host",
        ] {
            let problems = validated(&of(url)).unwrap_err();
            let [one] = &problems[..] else { panic!("{url}: {problems:?}") };
            assert!(one.starts_with("--redis: ") && !one.contains("secret"), "{url}: {one}");
        }
    }
}
