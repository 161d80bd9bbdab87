//! Options for workers and other gateways. A program that has everything in one process needs only
//! those of [`crate::config`].

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use reframe_proto::exchange::pass;
use tokio::runtime::Handle;
use tonic::transport::Uri;

use super::parse::{list, parse, within};
use super::worker_address::WorkerAddress;
use super::{Options, addresses};

/// The default of `--reconnect-limit`.
const RECONNECT_LIMIT: Duration = Duration::from_secs(30);

/// The options, as given. Flatten them into a command line.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct ClusterOptions {
    /// The workers, comma-separated [http://host:port is one; unix:/path is one on this host, by
    /// shared memory; dns://name:port is one at each address that the name has, looked up again
    /// every 5 s]; sessions go to the one that has the fewest.
    #[arg(long, env = "REFRAME_WORKERS", default_value = "http://127.0.0.1:50051")]
    pub workers: String,

    /// Where the gateways of this deployment share what they know of sessions and slots
    /// [redis://host:port; without it this gateway is the only one].
    #[arg(long, env = "REFRAME_REDIS", value_name = "URL", hide_env_values = true)]
    pub redis: Option<String>,

    /// With --redis: its password [path of a file; its first line, read again for each connection].
    #[arg(long, env = "REFRAME_REDIS_PASSWORD_FILE", value_name = "FILE")]
    pub redis_password_file: Option<String>,

    /// With --redis: how long the sessions of a gateway that died keep their slots [seconds, 2 to
    /// 300].
    #[arg(long, env = "REFRAME_LEASE", value_name = "SECONDS", default_value = "10")]
    pub lease: String,

    /// With --redis: this gateway's admin port, as the other gateways reach it [http://ip:port; of
    /// a name, the address that this machine has of it at the start; default: --admin, if that
    /// names an address].
    #[arg(long, env = "REFRAME_ADVERTISE", value_name = "URL")]
    pub advertise: Option<String>,

    /// How long a session waits for another worker when its own is gone, before it ends [seconds, 1
    /// to 600].
    #[arg(long, env = "REFRAME_RECONNECT_LIMIT", value_name = "SECONDS", default_value = "30")]
    pub reconnect_limit: String,

    /// From SIGTERM until the sessions that have not moved to another gateway are ended [seconds, 0
    /// to 3600].
    #[arg(long, env = "REFRAME_GRACE", value_name = "SECONDS", default_value = "10")]
    pub grace: String,
}

/// Checked options.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub(crate) workers: Vec<WorkerAddress>,
    pub(crate) shared: Option<SharedPlacement>,
    pub(crate) reconnect_limit: Duration,
    pub(crate) grace: Duration,
    /// Runtimes of this process that the embedding program started, with their threads' names.
    pub(crate) watched: Vec<(&'static str, Handle)>,
}

/// The store that several gateways share.
#[derive(Clone, Debug)]
pub(crate) struct SharedPlacement {
    /// Not connected yet.
    pub(crate) redis: redis::Client,
    pub(crate) lease: Duration,
    /// The file of its password; it could be read at the start.
    pub(crate) password_file: Option<PathBuf>,
    /// The address of our admin port; `None`: the address that it is bound to.
    pub(crate) advertise: Option<SocketAddr>,
}

impl Cluster {
    /// For a gateway in one process with its workers: there is no other gateway, and no other
    /// worker to move to.
    #[must_use]
    pub fn alone(workers: Vec<WorkerAddress>) -> Self {
        let watched = Vec::new();
        Self {
            workers,
            shared: None,
            reconnect_limit: RECONNECT_LIMIT,
            grace: Duration::ZERO,
            watched,
        }
    }

    /// Adds a runtime of this process to the gateway's watchdog, a worker's for example: while it
    /// is stuck, the process is unhealthy.
    #[must_use]
    pub fn watching(mut self, thread: &'static str, runtime: Handle) -> Self {
        self.watched.push((thread, runtime));
        self
    }
}

impl ClusterOptions {
    /// Checks every option, also against those of `gateway`.
    ///
    /// # Errors
    /// One line for each problem, naming its flag.
    pub fn validate(&self, gateway: &Options) -> Result<Cluster, Vec<String>> {
        let mut problems = Vec::new();
        let workers = workers(&mut problems, &self.workers);
        let lease = within(&mut problems, "--lease", &self.lease, 2, 300);
        let advertise = self.advertise.as_deref().filter(|url| !url.is_empty());
        let advertise = advertise.and_then(|url| advertised(&mut problems, url));
        let limit = within(&mut problems, "--reconnect-limit", &self.reconnect_limit, 1, 600);
        let grace = within(&mut problems, "--grace", &self.grace, 0, 3600);
        // An empty environment variable counts as one that is not set.
        let redis = self
            .redis
            .as_deref()
            .filter(|url| !url.is_empty())
            .and_then(|url| store(&mut problems, url));
        let password_file = self.redis_password_file.as_deref().filter(|file| !file.is_empty());
        let password_file =
            password_file.and_then(|file| password(&mut problems, file, redis.as_ref()));
        let admin = gateway
            .admin
            .trim()
            .parse()
            .ok()
            .filter(|admin: &SocketAddr| admin.ip().is_unspecified());
        if let (Some(_), None, Some(admin)) = (&redis, &advertise, admin) {
            problems.push(format!(
                "--advertise: needed with --redis, as --admin {admin} names no address of ours"
            ));
        }
        match (lease, limit, grace) {
            (Some(lease), Some(limit), Some(grace)) if problems.is_empty() => {
                let seconds = |seconds: u32| Duration::from_secs(seconds.into());
                let shared = redis.map(|redis| SharedPlacement {
                    redis,
                    password_file,
                    lease: seconds(lease),
                    advertise,
                });
                let (reconnect_limit, grace) = (seconds(limit), seconds(grace));
                Ok(Cluster { workers, shared, reconnect_limit, grace, watched: Vec::new() })
            }
            _ => Err(problems),
        }
    }
}

/// The URL may contain a password: no message shows it.
fn store(problems: &mut Vec<String>, url: &str) -> Option<redis::Client> {
    let client = redis::Client::open(url);
    let wanted = "it must be a URL like redis://127.0.0.1:6379 or redis://:password@redis:6379/0";
    client.map_err(|error| problems.push(format!("--redis: {error}; {wanted}"))).ok()
}

/// The file of the password of `redis`.
fn password(
    problems: &mut Vec<String>,
    file: &str,
    redis: Option<&redis::Client>,
) -> Option<PathBuf> {
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
/// It cannot be read, or its first line is empty.
pub(crate) fn read_password(file: &Path) -> io::Result<String> {
    let text = std::fs::read_to_string(file)?;
    let line = text.lines().next().map(str::trim).filter(|line| !line.is_empty());
    line.map(str::to_owned)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "its first line is empty"))
}

/// The name is resolved here: another gateway that resolved it again could find another machine. If
/// several gateways share a name, this machine's own address is used.
fn advertised(problems: &mut Vec<String>, given: &str) -> Option<SocketAddr> {
    let uri = address(problems, "--advertise", given, ADVERTISED)?;
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    let addresses: Vec<SocketAddr> = match authority.to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            problems.push(format!("--advertise: `{given}`: {error}"));
            return None;
        }
    };
    let ours = addresses::addresses();
    let address = addresses
        .iter()
        .find(|address| ours.contains(&address.ip()))
        .or_else(|| addresses.first())
        .copied();
    let address = address.filter(|address| !address.ip().is_unspecified() && address.port() != 0);
    if address.is_none() {
        problems.push(format!(
            "--advertise: `{given}` names no address that others reach; it must be {ADVERTISED}"
        ));
    }
    address
}

const WORKER: &str =
    "a URL like http://127.0.0.1:50051, unix:/run/worker.sock or dns://workers:50051";
const ADVERTISED: &str = "a URL like http://10.0.0.7:9090";

fn workers(problems: &mut Vec<String>, given: &str) -> Vec<WorkerAddress> {
    let parts: Vec<String> = list(problems, "--workers", given, WORKER);
    let worker = |part: String| match (part.strip_prefix("dns://"), pass::path(&part)) {
        (Some(name), _) => name_and_port(problems, name, &part),
        (_, Some(path)) => Some(WorkerAddress::Unix(path.into())),
        _ => address(problems, "--workers", &part, WORKER).map(WorkerAddress::Uri),
    };
    parts.into_iter().filter_map(worker).collect()
}

fn name_and_port(problems: &mut Vec<String>, given: &str, whole: &str) -> Option<WorkerAddress> {
    let parsed = given
        .trim_end_matches('/')
        .rsplit_once(':')
        .and_then(|(name, port)| Some((name, port.parse().ok()?)));
    match parsed.filter(|(name, _)| !name.is_empty() && !name.contains(['/', ':', '@', ' '])) {
        Some((name, port)) => Some(WorkerAddress::Dns { name: name.to_owned(), port }),
        None => {
            problems.push(format!("--workers: `{whole}` is not {WORKER}"));
            None
        }
    }
}

/// A plain http URL with a port and no path.
fn address(problems: &mut Vec<String>, flag: &str, given: &str, wanted: &str) -> Option<Uri> {
    let uri: Uri = parse(problems, flag, given, wanted)?;
    if uri.scheme_str() == Some("http")
        && uri.port().is_some()
        && uri.path() == "/"
        && uri.query().is_none()
    {
        return Some(uri);
    }
    problems.push(format!("{flag}: `{given}` is not {wanted}"));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> ClusterOptions {
        ClusterOptions {
            workers: "http://a:1, dns://b:2, unix:/c/d, unix:///e".into(),
            redis: None,
            redis_password_file: None,
            lease: "10".into(),
            advertise: None,
            reconnect_limit: "30".into(),
            grace: "10".into(),
        }
    }

    fn gateway(admin: &str) -> Options {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            options: Options,
        }
        let cli: Cli = clap::Parser::parse_from(["gateway", "--admin", admin]);
        cli.options
    }

    #[test]
    fn good_options_pass() {
        let cluster = options().validate(&gateway("0.0.0.0:9090")).unwrap();
        let [
            WorkerAddress::Uri(_),
            WorkerAddress::Dns { name, port: 2 },
            WorkerAddress::Unix(c),
            WorkerAddress::Unix(e),
        ] = &cluster.workers[..]
        else {
            panic!("{:?}", cluster.workers)
        };
        assert_eq!((name.as_str(), cluster.grace), ("b", Duration::from_secs(10)));
        assert_eq!((c.to_str(), e.to_str()), (Some("/c/d"), Some("/e")));
        assert!(cluster.shared.is_none());
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let bad = ClusterOptions {
            workers: "a:1,https://b:2,http://c,dns://d,dns://:1,dns://e:many,http://f:1/path,unix:g,unix:/h/".into(),
            redis: Some("http://redis:6379".into()),
            redis_password_file: Some("/absent/password".into()),
            lease: "1".into(),
            advertise: Some("10.0.0.7".into()),
            reconnect_limit: "0".into(),
            grace: "long".into(),
        };
        let problems = bad.validate(&gateway("127.0.0.1:0")).unwrap_err();
        let count = |flag: &str| {
            problems.iter().filter(|problem| problem.starts_with(&format!("{flag}: "))).count()
        };
        let flags = [
            "--workers",
            "--redis",
            "--redis-password-file",
            "--lease",
            "--advertise",
            "--reconnect-limit",
            "--grace",
        ];
        assert_eq!(flags.map(count), [9, 1, 1, 1, 1, 1, 1], "{problems:?}");
        let none = ClusterOptions { workers: " ,".into(), ..options() };
        assert_eq!(none.validate(&gateway("127.0.0.1:0")).unwrap_err().len(), 1);
    }

    #[test]
    fn others_must_know_where_a_gateway_is() {
        let url = "redis://user:secret@redis:6379/1";
        let shared = ClusterOptions { redis: Some(url.into()), ..options() };
        let problems = shared.validate(&gateway("[::]:9090")).unwrap_err();
        assert!(
            matches!(&problems[..], [one] if one.starts_with("--advertise: needed with --redis")),
            "{problems:?}"
        );
        let options =
            ClusterOptions { advertise: Some("http://10.0.0.7:9090".into()), ..shared.clone() };
        let placement = options.validate(&gateway("[::]:9090")).unwrap().shared.unwrap();
        assert_eq!(placement.redis.get_connection_info().addr().to_string(), "redis:6379");
        assert!(shared.validate(&gateway("10.0.0.7:9090")).is_ok());
    }

    #[test]
    fn what_others_are_told_is_an_address() {
        for (given, problem) in [
            ("http://10.0.0.7:9090", Some("10.0.0.7:9090")),
            ("http://[2001:db8::7]:9090/", Some("[2001:db8::7]:9090")),
            ("http://localhost:9090", Some("127.0.0.1:9090")),
            ("http://0.0.0.0:9090", None),
            ("http://10.0.0.7:0", None),
            ("http://10.0.0.7:9090/path", None),
        ] {
            let mut problems = Vec::new();
            let address = advertised(&mut problems, given).map(|mut address| {
                // `localhost` may be either.
                if address.ip().is_loopback() {
                    address.set_ip([127, 0, 0, 1].into());
                }
                address.to_string()
            });
            assert_eq!(
                (address.as_deref(), problems.len()),
                (problem, usize::from(problem.is_none())),
                "{given}"
            );
        }
    }

    #[test]
    fn a_password_stands_in_one_place() {
        let file =
            std::env::temp_dir().join(format!("reframe-cluster-password-{}", std::process::id()));
        std::fs::write(&file, "secret\n").unwrap();
        let with = |redis: &str| ClusterOptions {
            redis: Some(redis.into()),
            redis_password_file: file.to_str().map(str::to_owned),
            ..options()
        };
        let placement =
            with("redis://redis:6379").validate(&gateway("10.0.0.7:9090")).unwrap().shared.unwrap();
        assert_eq!(placement.password_file.as_ref(), Some(&file));
        let problems =
            with("redis://:other@redis:6379").validate(&gateway("10.0.0.7:9090")).unwrap_err();
        assert!(
            matches!(&problems[..], [one] if one.starts_with("--redis-password-file: not together")),
            "{problems:?}"
        );
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn a_wrong_redis_is_named_without_its_password() {
        for url in [
            "redis://:secret@",
            "redis://:secret@host:99999999",
            "redis://:secret@host/x",
            "rediss://:secret@host",
        ] {
            let wrong = ClusterOptions { redis: Some(url.into()), ..options() };
            let problems = wrong.validate(&gateway("127.0.0.1:0")).unwrap_err();
            let [one] = &problems[..] else { panic!("{url}: {problems:?}") };
            assert!(one.starts_with("--redis: ") && !one.contains("secret"), "{url}: {one}");
        }
    }
}
