//! Value of `--trusted-proxies`.

use std::net::IpAddr;
use std::str::FromStr;

use super::parse::list;

/// The proxies whose statements about their clients' addresses are trusted; none by default.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrustedProxies(Vec<Network>);

/// An address, or a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    /// The length of the prefix, in bits.
    prefix: u32,
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(drop)?;
        let max_prefix = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(max_prefix), |prefix| prefix.parse().map_err(drop))?;
        if prefix > max_prefix { Err(()) } else { Ok(Self { address, prefix }) }
    }
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                (ours.to_bits() ^ theirs.to_bits()).checked_shr(32 - self.prefix).unwrap_or(0) == 0
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                (ours.to_bits() ^ theirs.to_bits()).checked_shr(128 - self.prefix).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl TrustedProxies {
    pub(crate) fn from_option(problems: &mut Vec<String>, given: Option<&str>) -> Self {
        // An empty environment variable counts as one that is not set.
        let given = given.filter(|given| !given.trim().is_empty());
        let wanted = "an address or a network like 10.0.0.7 or 10.0.0.0/8";
        Self(
            given
                .map(|given| list(problems, "--trusted-proxies", given, wanted))
                .unwrap_or_default(),
        )
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}
