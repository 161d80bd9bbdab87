//! Where a process runs: on which machine, and in which zone.
//!
//! Traffic between zones costs money and time, that between machines some of both, so a gateway
//! prefers the workers that are near it.

use std::fs;

/// What Linux makes anew each time a machine starts. All containers of a machine read the same, so
/// it names the machine for as long as a process can live on it.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The longest name of a host, in bytes: a UUID has 36.
const MAX_HOST_BYTES: usize = 64;

/// The longest name of a zone, in bytes: that of a value of a Kubernetes label.
const MAX_ZONE_BYTES: usize = 63;

/// Where a process runs. Each part is empty where it is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// The machine, a text that no other machine has.
    pub host: String,
    /// The failure domain that the machine is in, as its operator named it.
    pub zone: String,
}

impl Location {
    /// Of this process, in the zone that its operator named.
    #[must_use]
    pub fn here(zone: impl Into<String>) -> Self {
        let id = fs::read_to_string(BOOT_ID).unwrap_or_default();
        let host = Some(id.trim()).filter(|id| is_host_name(id)).unwrap_or_default().to_owned();
        Self { host, zone: zone.into() }
    }
}

/// Whether a process may name its machine so: 1 to 64 letters, digits and `-`.
///
/// ```
/// use reframe_proto::location::is_host_name;
/// assert!(is_host_name("8c2c4a4e-6b43-4f43-9d0f-0a4b3a5a9a11"));
/// assert!(!is_host_name("") && !is_host_name("a host"));
/// ```
#[must_use]
pub fn is_host_name(host: &str) -> bool {
    (1..=MAX_HOST_BYTES).contains(&host.len())
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether a zone may have this name: the value of a Kubernetes label, which is 1 to 63 letters,
/// digits, `-`, `_` and `.`, and begins and ends with a letter or digit.
///
/// ```
/// use reframe_proto::location::is_zone_name;
/// assert!(is_zone_name("eu-central-1a"));
/// assert!(!is_zone_name("") && !is_zone_name("-a") && !is_zone_name("a b"));
/// ```
#[must_use]
pub fn is_zone_name(zone: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    zone.len() <= MAX_ZONE_BYTES
        && zone.bytes().all(inner)
        && edge(zone.bytes().next())
        && edge(zone.bytes().last())
}

/// The zone that `--zone` names, of a gateway or of a worker; nothing is given: an empty text.
///
/// # Errors
/// It is not the name of a zone; the text names the option.
///
/// ```
/// use reframe_proto::location::parse_zone;
/// assert_eq!(parse_zone(" eu-central-1a "), Ok("eu-central-1a".to_owned()));
/// assert_eq!(parse_zone(" "), Ok(String::new()));
/// assert_eq!(parse_zone("a b").unwrap_err(), "--zone: `a b` is not a name like eu-central-1a");
/// ```
pub fn parse_zone(given: &str) -> Result<String, String> {
    let zone = given.trim();
    if zone.is_empty() || is_zone_name(zone) {
        return Ok(zone.to_owned());
    }
    Err(format!("--zone: `{zone}` is not a name like eu-central-1a"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_a_name_that_stays() {
        let here = Location::here("a");
        assert!(is_host_name(&here.host) && here.zone == "a");
        assert_eq!(Location::here("a"), here);
    }
}
