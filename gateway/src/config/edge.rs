//! Options of the two HTTP ports that limit strangers.

use clap::Args;

use super::names::Names;
use super::parse::within;

/// The options, as given.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct EdgeOptions {
    /// Names by which this gateway is asked for, comma-separated; both ports answer to addresses,
    /// `localhost` and these [video.example.com; no port counts].
    #[arg(long, env = "REFRAME_ALLOWED_HOSTS", value_name = "NAMES", default_value = "")]
    pub allowed_hosts: String,

    /// Sites whose pages may use the public port, comma-separated; its own page always may
    /// [`https://example.com`; `*` is every site].
    #[arg(long, env = "REFRAME_ALLOWED_ORIGINS", value_name = "ORIGINS", default_value = "")]
    pub allowed_origins: String,

    /// Connections to the public port; more are closed at once [16 to 1000000; at most half of this
    /// process' file descriptors].
    #[arg(long, env = "REFRAME_MAX_CONNECTIONS", value_name = "N", default_value = "4096")]
    pub max_connections: String,

    /// Connections to the public port from one IPv4 address or one IPv6 /64, trusted proxies
    /// excepted; more are closed at once [4 to 1000000].
    #[arg(
        long,
        env = "REFRAME_MAX_CONNECTIONS_PER_ADDRESS",
        value_name = "N",
        default_value = "200"
    )]
    pub max_connections_per_address: String,
}

/// Checked options.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    pub(crate) names: Names,
    pub(crate) connections: usize,
    pub(crate) connections_each: usize,
}

impl EdgeOptions {
    /// Checks every option; `None` when `problems` has got a line.
    pub(crate) fn validate(&self, problems: &mut Vec<String>) -> Option<Edge> {
        let before = problems.len();
        let names = Names::from_options(problems, &self.allowed_hosts, &self.allowed_origins);
        let connections =
            within(problems, "--max-connections", &self.max_connections, 16, 1_000_000);
        let flag = "--max-connections-per-address";
        let connections_each =
            within(problems, flag, &self.max_connections_per_address, 4, 1_000_000);
        let (connections, connections_each) = (connections? as usize, connections_each? as usize);
        (problems.len() == before).then_some(Edge { names, connections, connections_each })
    }
}

impl Default for EdgeOptions {
    /// As without any flag and variable.
    fn default() -> Self {
        Self {
            allowed_hosts: String::new(),
            allowed_origins: String::new(),
            max_connections: "4096".to_owned(),
            max_connections_per_address: "200".to_owned(),
        }
    }
}
