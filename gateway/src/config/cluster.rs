//! Options for workers and other gateways. A program that has everything in one process needs only
//! those of [`crate::config`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use reframe_proto::exchange::pass;
use reframe_proto::location::parse_zone;
use reframe_tls::{ClusterTls, ClusterTlsOptions, Role};
use tokio::runtime::Handle;
use tonic::transport::Uri;

use super::parse::{list, parse, within};
use super::redis::{RedisOptions, RedisStore};
use super::worker_address::WorkerAddress;
use super::{Options, advertise, inside};

/// The default of `--reconnect-limit`.
const RECONNECT_LIMIT: Duration = Duration::from_secs(30);

/// The options, as given. Flatten them into a command line.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct ClusterOptions {
    /// The workers, comma-separated [http://host:port is one; unix:/path is one on this host, by
    /// shared memory; dns://name:port is one at each address that the name has, looked up again
    /// every 5 s]; sessions go to the nearest with room, among those to the one that has the
    /// fewest.
    #[arg(long, env = "REFRAME_WORKERS", default_value = "http://127.0.0.1:50051")]
    pub workers: String,

    /// The failure domain that this machine is in, as workers name theirs; sessions go to workers
    /// of the same, while these have room [like eu-central-1a; up to 63 letters, digits, -, _
    /// and .].
    #[arg(long, env = "REFRAME_ZONE", value_name = "NAME", default_value = "")]
    pub zone: String,

    /// The Redis that several gateways share.
    #[command(flatten)]
    pub redis: RedisOptions,

    /// With --redis: how long the sessions of a gateway that died keep their slots [seconds, 2 to
    /// 300].
    #[arg(long, env = "REFRAME_LEASE", value_name = "SECONDS", default_value = "10")]
    pub lease: String,

    /// With --redis: address for the other gateways, which forward requests for sessions of this
    /// one there [ip:port; port 0 picks a free one].
    #[arg(long, env = "REFRAME_PEER", value_name = "ADDRESS", default_value = "127.0.0.1:9092")]
    pub peer: String,

    /// With --redis: --peer as the other gateways reach it [ip:port; or IPs, comma-separated, at
    /// the port of --peer: the first that --peer takes is used; or http://name:port, of which it is
    /// the address that this machine has at the start; default: --peer, if that names an address].
    #[arg(long, env = "REFRAME_ADVERTISE", value_name = "ADDRESS")]
    pub advertise: Option<String>,

    /// Who gateways and workers take each other for.
    #[command(flatten)]
    pub tls: ClusterTlsOptions,

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
    /// The zone that this machine is in; empty: not named.
    pub(crate) zone: String,
    /// To workers and other gateways; `None`: plain.
    pub(crate) tls: Option<Arc<ClusterTls>>,
    pub(crate) reconnect_limit: Duration,
    pub(crate) grace: Duration,
    /// Runtimes of this process that the embedding program started, with their threads' names.
    pub(crate) watched: Vec<(&'static str, Handle)>,
}

/// What several gateways share, and where each is for the others.
#[derive(Clone, Debug)]
pub(crate) struct SharedPlacement {
    pub(crate) store: RedisStore,
    pub(crate) lease: Duration,
    /// Where to listen for other gateways.
    pub(crate) peer: SocketAddr,
    /// That address for others; `None`: the one that it is bound to.
    pub(crate) advertise: Option<SocketAddr>,
    /// What the log must say of the store.
    pub(crate) warnings: Vec<String>,
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
            zone: String::new(),
            tls: None,
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
        let zone = parse_zone(&self.zone).map_err(|problem| problems.push(problem)).ok();
        let store = self.redis.validate(&mut problems);
        let lease = within(&mut problems, "--lease", &self.lease, 2, 300);
        let peer = parse(&mut problems, "--peer", &self.peer, "an address like 127.0.0.1:9092");
        let advertise = self.advertise.as_deref().filter(|given| !given.is_empty());
        let advertise = advertise.and_then(|given| advertise::parse(&mut problems, given, peer));
        let limit = within(&mut problems, "--reconnect-limit", &self.reconnect_limit, 1, 600);
        let grace = within(&mut problems, "--grace", &self.grace, 0, 3600);
        // Without a store there is no such port.
        let listens = peer.filter(|_| store.is_some());
        let anywhere = listens.filter(|peer: &SocketAddr| peer.ip().is_unspecified());
        if let (None, Some(peer)) = (&advertise, anywhere) {
            problems.push(format!(
                "--advertise: needed with --redis, as --peer {peer} names no address of ours"
            ));
        }
        let admin = gateway.admin.trim().parse().ok().map(|admin: SocketAddr| admin.port());
        if let (Some(told), Some(peer)) = (&advertise, listens)
            && told.port() != peer.port()
            && Some(told.port()) == admin
        {
            // What it was for before there was --peer.
            problems.push(format!(
                "--advertise: `{told}` is the port of --admin; name the one of --peer, {}",
                peer.port()
            ));
        }
        let exposed = inside::exposed(&workers, listens);
        let tls = self.tls.validate(Role::Gateway, &exposed);
        let tls = tls.map_err(|found| problems.extend(found)).ok().flatten();
        let unprotected = self.tls.unprotected();
        let warnings = store.as_ref().map(|store| inside::redis(&mut problems, store, unprotected));
        let warnings = warnings.unwrap_or_default();
        match (peer, lease, limit, grace, zone) {
            (Some(peer), Some(lease), Some(limit), Some(grace), Some(zone))
                if problems.is_empty() =>
            {
                let seconds = |seconds: u32| Duration::from_secs(seconds.into());
                let lease = seconds(lease);
                let shared =
                    store.map(|store| SharedPlacement { store, lease, peer, advertise, warnings });
                let (reconnect_limit, grace) = (seconds(limit), seconds(grace));
                let watched = Vec::new();
                Ok(Cluster { workers, shared, zone, tls, reconnect_limit, grace, watched })
            }
            _ => Err(problems),
        }
    }
}

const WORKER: &str =
    "a URL like http://127.0.0.1:50051, unix:/run/worker.sock or dns://workers:50051";

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
            redis: RedisOptions::default(),
            zone: "a-1.b_2".into(),
            lease: "10".into(),
            peer: "127.0.0.1:9092".into(),
            advertise: None,
            tls: ClusterTlsOptions { cluster_tls: Some("off".into()), ..Default::default() },
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
        let cluster = options().validate(&gateway("127.0.0.1:9090")).unwrap();
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
        assert_eq!(cluster.zone, "a-1.b_2");
        assert_eq!((c.to_str(), e.to_str()), (Some("/c/d"), Some("/e")));
        assert!(cluster.shared.is_none());
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let bad = ClusterOptions {
            workers: "a:1,https://b:2,http://c,dns://d,dns://:1,dns://e:many,http://f:1/path,unix:g,unix:/h/".into(),
            redis: RedisOptions {
                redis: Some("http://redis:6379".into()),
                redis_password_file: Some("/absent/password".into()),
                ..RedisOptions::default()
            },
            zone: "a zone".into(),
            lease: "1".into(),
            peer: "here".into(),
            advertise: Some("http://10.0.0.7".into()),
            tls: ClusterTlsOptions { cluster_tls: Some("yes".into()), ..Default::default() },
            reconnect_limit: "0".into(),
            grace: "long".into(),
        };
        let problems = bad.validate(&gateway("127.0.0.1:9090")).unwrap_err();
        let count = |flag: &str| {
            problems.iter().filter(|problem| problem.starts_with(&format!("{flag}: "))).count()
        };
        let flags = [
            "--workers",
            "--zone",
            "--redis",
            "--redis-password-file",
            "--lease",
            "--peer",
            "--advertise",
            "--reconnect-limit",
            "--grace",
            "--cluster-tls",
        ];
        assert_eq!(flags.map(count), [9, 1, 1, 1, 1, 1, 1, 1, 1, 1], "{problems:?}");
        let none = ClusterOptions { workers: " ,".into(), ..options() };
        assert_eq!(none.validate(&gateway("127.0.0.1:9090")).unwrap_err().len(), 1);
    }

    #[test]
    fn others_must_know_where_a_gateway_is() {
        let redis = RedisOptions {
            redis: Some("redis://user:secret@redis:6379/1".into()),
            ..RedisOptions::default()
        };
        let shared = ClusterOptions { redis, peer: "[::]:9092".into(), ..options() };
        let problems = shared.validate(&gateway("127.0.0.1:9090")).unwrap_err();
        assert!(
            matches!(&problems[..], [one] if one.starts_with("--advertise: needed with --redis")),
            "{problems:?}"
        );
        let told =
            ClusterOptions { advertise: Some("http://10.0.0.7:9092".into()), ..shared.clone() };
        let placement = told.validate(&gateway("127.0.0.1:9090")).unwrap().shared.unwrap();
        let info = placement.store.client.get_connection_info();
        assert_eq!(info.addr().to_string(), "redis:6379");
        let old =
            ClusterOptions { advertise: Some("http://10.0.0.7:9090".into()), ..shared.clone() };
        let problems = old.validate(&gateway("0.0.0.0:9090")).unwrap_err();
        assert!(
            matches!(&problems[..], [one] if one.contains("name the one of --peer, 9092")),
            "{problems:?}"
        );
        let one = ClusterOptions { peer: "10.0.0.7:9092".into(), ..shared.clone() };
        assert!(one.validate(&gateway("127.0.0.1:9090")).is_ok());
        let alone = ClusterOptions { redis: RedisOptions::default(), ..shared };
        assert!(alone.validate(&gateway("127.0.0.1:9090")).unwrap().shared.is_none());
    }

    #[test]
    fn beyond_this_host_certificates_or_a_word_are_needed() {
        let undecided = ClusterOptions { tls: ClusterTlsOptions::default(), ..options() };
        let problems = undecided.validate(&gateway("127.0.0.1:9090")).unwrap_err();
        let [one] = &problems[..] else { panic!("{problems:?}") };
        for told in ["--cluster-tls: --workers http://a:1, --workers dns://b:2", "cluster-init"] {
            assert!(one.contains(told), "{one}");
        }
        let near = ClusterOptions { workers: "http://127.0.0.1:1,unix:/a".into(), ..undecided };
        assert!(near.validate(&gateway("127.0.0.1:9090")).unwrap().tls.is_none());
        let redis =
            RedisOptions { redis: Some("redis://redis:6379".into()), ..RedisOptions::default() };
        let many = ClusterOptions { redis, peer: "10.0.0.7:9092".into(), ..near };
        let problems = many.validate(&gateway("127.0.0.1:9090")).unwrap_err();
        let [peer, plain, open] = &problems[..] else { panic!("{problems:?}") };
        assert!(peer.starts_with("--cluster-tls: --peer 10.0.0.7:9092"), "{peer}");
        assert!(plain.starts_with("--redis: redis:6379") && plain.contains("rediss://"), "{plain}");
        assert!(open.contains("--redis-password-file"), "{open}");
        let word = ClusterTlsOptions { cluster_tls: Some("mesh".into()), ..Default::default() };
        let meshed = ClusterOptions { tls: word, ..many };
        assert!(meshed.validate(&gateway("127.0.0.1:9090")).unwrap().shared.is_some());
    }
}
