//! The host names that this server answers to, and the sites whose pages may use it.
//!
//! A page of any site can point its own name at 127.0.0.1, or at an address of this network, and
//! then read what is there as its own (DNS rebinding). That requires a name, which the browser
//! sends in `Host`. So a request is answered only if `Host` is an address, `localhost`, or an
//! allowed name. Names below `localhost` never leave the machine (RFC 6761, 6.3).

use std::net::{Ipv4Addr, Ipv6Addr};

/// Names and sites that are allowed in addition to addresses, `localhost` and our own pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// Normalised by [`host_of`].
    hosts: Vec<String>,
    /// Normalised by [`plain`].
    origins: Vec<String>,
    any_origin: bool,
}

/// The site of the requesting page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// Our own page, or not a page.
    Here,
    /// An allowed site.
    Allowed,
    /// Any other site.
    Elsewhere,
}

impl Names {
    /// Checks both options; each problem adds a line.
    pub(crate) fn from_options(problems: &mut Vec<String>, hosts: &str, origins: &str) -> Self {
        let mut names = Self::default();
        for given in parts(hosts) {
            match host_of(given) {
                Some(host) if is_name(&host) => names.hosts.push(host),
                _ => problems.push(format!(
                    "--allowed-hosts: `{given}` is not a name like video.example.com"
                )),
            }
        }
        for given in parts(origins) {
            match plain(given.trim_end_matches('/')) {
                _ if given == "*" => names.any_origin = true,
                Some(origin) => names.origins.push(origin),
                None => problems.push(format!(
                    "--allowed-origins: `{given}` is not an origin like https://example.com, or `*`"
                )),
            }
        }
        names
    }

    /// Whether `authority`, a `Host`, names this server.
    pub(crate) fn is_ours(&self, authority: &str) -> bool {
        let Some(host) = host_of(authority) else { return false };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        (host.starts_with('[') && bare.parse::<Ipv6Addr>().is_ok())
            || host.parse::<Ipv4Addr>().is_ok()
            || host == "localhost"
            || host.ends_with(".localhost")
            || self.hosts.contains(&host)
    }

    /// The site of `origin`, in a request for `authority`, over TLS or not.
    ///
    /// On a connection without TLS an https page of the same name is ours too: a proxy in front of
    /// us terminates TLS.
    pub(crate) fn asker(&self, origin: &str, authority: &str, secure: bool) -> Asker {
        let scheme = origin.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        let ours = match scheme.as_deref() {
            Some(scheme @ "https") => plain(&format!("{scheme}://{authority}")),
            Some(scheme @ "http") if !secure => plain(&format!("{scheme}://{authority}")),
            _ => None,
        };
        let origin = plain(origin);
        if origin.is_some() && origin == ours {
            Asker::Here
        } else if self.any_origin || origin.is_some_and(|origin| self.origins.contains(&origin)) {
            Asker::Allowed
        } else {
            Asker::Elsewhere
        }
    }
}

fn parts(given: &str) -> impl Iterator<Item = &str> {
    given.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// The host of `host[:port]` in lower case, without the trailing dot of a fully qualified name.
fn host_of(authority: &str) -> Option<String> {
    // Colons within brackets belong to an IPv6 address.
    let end = authority.rfind(']').map_or(0, |end| end + 1);
    let (host, port) = match authority[end..].find(':') {
        Some(colon) => (&authority[..end + colon], &authority[end + colon + 1..]),
        None => (authority, ""),
    };
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    (!host.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(host)
}

pub(super) fn is_name(host: &str) -> bool {
    host.len() <= 253
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// `scheme://host[:port]` in lower case, without the scheme's default port. `None` for anything
/// else, such as `null`.
fn plain(origin: &str) -> Option<String> {
    let (scheme, authority) = origin.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let fit =
        |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'?' | b'#' | b'@' | b',');
    if scheme.is_empty() || authority.is_empty() || !authority.bytes().all(fit) {
        return None;
    }
    let authority = authority.to_ascii_lowercase();
    let usual = match scheme.as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    Some(format!("{scheme}://{}", authority.strip_suffix(usual).unwrap_or(&authority)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(hosts: &str, origins: &str) -> Names {
        let mut problems = Vec::new();
        let names = Names::from_options(&mut problems, hosts, origins);
        assert_eq!(problems, Vec::<String>::new());
        names
    }

    #[test]
    fn addresses_localhost_and_allowed_names_are_ours() {
        let names = names("Video.Example.com, gateway.", "");
        for ours in [
            "127.0.0.1",
            "127.0.0.1:8080",
            "192.168.1.7:80",
            "[::1]",
            "[::1]:8080",
            "[2001:db8::7]:443",
            "localhost",
            "LOCALHOST:8080",
            "localhost.:8080",
            "app.localhost:1",
            "video.example.com",
            "VIDEO.example.com.:443",
            "gateway:9090",
        ] {
            assert!(names.is_ours(ours), "{ours}");
        }
        for not_ours in [
            "",
            ":8080",
            "evil.test",
            "evil.test:8080",
            "127.0.0.1.evil.test",
            "localhost.evil.test",
            "notlocalhost",
            "example.com",
            "sub.video.example.com",
            "video.example.com.evil.test",
            "video.example.com:80:80",
            "127.0.0.1:80x",
            "::1",
            "[::1",
            "[evil.test]",
            "user@127.0.0.1",
            "0x7f.1",
            "127.1",
            "video.example.com..",
            "127.0.0.1, evil.test",
        ] {
            assert!(!names.is_ours(not_ours), "{not_ours}");
        }
    }

    #[test]
    fn our_own_page_is_of_the_host_that_it_asks() {
        let names = names("", "");
        for (origin, host, secure, from) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", false, Asker::Here),
            ("http://LOCALHOST:8080", "localhost:8080", false, Asker::Here),
            ("http://video.test", "video.test:80", false, Asker::Here),
            ("https://video.test", "video.test:443", true, Asker::Here),
            ("https://video.test", "video.test", false, Asker::Here),
            ("https://[::1]:8080", "[::1]:8080", true, Asker::Here),
            ("http://video.test", "video.test", true, Asker::Elsewhere),
            ("http://127.0.0.1:9090", "127.0.0.1:8080", false, Asker::Elsewhere),
            ("http://localhost:8080", "127.0.0.1:8080", false, Asker::Elsewhere),
            ("https://evil.test", "127.0.0.1:8080", false, Asker::Elsewhere),
            ("null", "127.0.0.1:8080", false, Asker::Elsewhere),
            ("", "127.0.0.1:8080", false, Asker::Elsewhere),
            ("file://", "127.0.0.1:8080", false, Asker::Elsewhere),
            ("http://127.0.0.1:8080/", "127.0.0.1:8080", false, Asker::Elsewhere),
        ] {
            assert_eq!(names.asker(origin, host, secure), from, "{origin} to {host}");
        }
    }

    #[test]
    fn allowed_origins_are_whole_ones() {
        let some = names("", "https://Friend.test/, http://friend.test:3000,capacitor://localhost");
        for origin in [
            "https://friend.test",
            "https://friend.test:443",
            "http://friend.test:3000",
            "capacitor://localhost",
        ] {
            assert_eq!(some.asker(origin, "127.0.0.1:8080", false), Asker::Allowed, "{origin}");
        }
        for origin in
            ["http://friend.test", "https://friend.test:444", "https://friend.test.evil", "null"]
        {
            assert_eq!(some.asker(origin, "127.0.0.1:8080", false), Asker::Elsewhere, "{origin}");
        }
        assert_eq!(names("", "*").asker("null", "127.0.0.1:8080", false), Asker::Allowed);
    }

    #[test]
    fn wrong_options_are_told() {
        let mut problems = Vec::new();
        Names::from_options(
            &mut problems,
            "*.example.com, http://a, ok.test, a b",
            "example.com, https://a/b, null",
        );
        let flags: Vec<_> =
            problems.iter().filter_map(|problem| problem.split('`').nth(1)).collect();
        assert_eq!(
            flags,
            ["*.example.com", "http://a", "a b", "example.com", "https://a/b", "null"]
        );
    }
}
