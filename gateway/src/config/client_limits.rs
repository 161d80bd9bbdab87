//! Options that limit what clients take.

use std::time::Duration;

use clap::Args;

use super::parse::within;

/// The options, as given.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct ClientLimitOptions {
    /// New sessions that one client may offer, on average; more are answered 429. A client is an
    /// IPv4 address, an IPv6 /64, and the subject of an access token; a program on this machine has
    /// no address of its own here [a second, 1 to 1000].
    #[arg(long, env = "REFRAME_OFFER_RATE", value_name = "N", default_value = "2")]
    pub offer_rate: String,

    /// New sessions that one client may offer in a row, before --offer-rate holds [1 to 1000].
    #[arg(long, env = "REFRAME_OFFER_BURST", value_name = "N", default_value = "8")]
    pub offer_burst: String,

    /// Sessions of one client whose browsers have not shown yet that they are there [1 to 1000].
    #[arg(long, env = "REFRAME_MAX_PENDING_PER_CLIENT", value_name = "N", default_value = "4")]
    pub max_pending_per_client: String,

    /// Sessions of one client at once, at each gateway [1 to 100000].
    #[arg(long, env = "REFRAME_MAX_SESSIONS_PER_CLIENT", value_name = "N", default_value = "100")]
    pub max_sessions_per_client: String,

    /// Requests from one address for sessions that do not exist: with --legacy-ids, and by URLs of
    /// WHIP and WHEP [a minute, 1 to 10000].
    #[arg(long, env = "REFRAME_MAX_WRONG_IDS", value_name = "N", default_value = "20")]
    pub max_wrong_ids: String,

    /// Viewers of all sessions of this gateway together; more are answered 503 [0 to 100000].
    #[arg(long, env = "REFRAME_MAX_VIEWERS", value_name = "N", default_value = "200")]
    pub max_viewers: String,
}

/// Checked options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientLimits {
    /// Offers a second.
    pub(crate) offer_rate: u32,
    pub(crate) offer_burst: u32,
    pub(crate) pending: u32,
    pub(crate) sessions: u32,
    /// In a row, and a minute.
    pub(crate) wrong_ids: u32,
    /// Of all clients.
    pub(crate) viewers: u32,
}

impl ClientLimitOptions {
    /// Checks every option; `None` when `problems` has got a line.
    pub(crate) fn validate(&self, problems: &mut Vec<String>) -> Option<ClientLimits> {
        let mut number = |flag, value: &str, high| within(problems, flag, value, 1, high);
        let offer_rate = number("--offer-rate", &self.offer_rate, 1_000);
        let offer_burst = number("--offer-burst", &self.offer_burst, 1_000);
        let pending = number("--max-pending-per-client", &self.max_pending_per_client, 1_000);
        let sessions = number("--max-sessions-per-client", &self.max_sessions_per_client, 100_000);
        let wrong_ids = number("--max-wrong-ids", &self.max_wrong_ids, 10_000);
        let viewers = within(problems, "--max-viewers", &self.max_viewers, 0, 100_000);
        Some(ClientLimits {
            offer_rate: offer_rate?,
            offer_burst: offer_burst?,
            pending: pending?,
            sessions: sessions?,
            wrong_ids: wrong_ids?,
            viewers: viewers?,
        })
    }
}

impl ClientLimits {
    /// From one offer to the next, on average.
    pub(crate) fn offer_every(self) -> Duration {
        Duration::from_secs(1) / self.offer_rate
    }
}

impl Default for ClientLimitOptions {
    /// As without any flag and variable.
    fn default() -> Self {
        Self {
            offer_rate: "2".to_owned(),
            offer_burst: "8".to_owned(),
            max_pending_per_client: "4".to_owned(),
            max_sessions_per_client: "100".to_owned(),
            max_wrong_ids: "20".to_owned(),
            max_viewers: "200".to_owned(),
        }
    }
}
