//! Whose request it is: the address that connects, or the one that a proxy in front of us says it
//! passes on for.
//!
//! > An address that a client can invent decides nothing.
//!
//! Proxies append to `X-Forwarded-For` (or to RFC 7239's `Forwarded`) the address that connected to
//! them; everything to the left of it was sent by that client. So the list is read from the right,
//! and the first address that is not a trusted proxy is the client. A proxy handles one of the two
//! headers and forwards the other unchanged: if both are present and differ, neither is used.

use std::net::{IpAddr, SocketAddr};

use actix_web::HttpRequest;
use actix_web::http::header::{FORWARDED, HeaderMap, HeaderName, VIA, X_FORWARDED_FOR};

use crate::config::proxies::TrustedProxies;

/// The most proxies that are followed for one request.
const MAX_HOPS: usize = 16;

/// The header in which a gateway names the client of a request that it forwards. Not a proxy's
/// header: a mesh between the gateways may write those.
pub(super) const CLIENT: &str = "x-reframe-client";

/// The client of a request that another gateway has forwarded; where that one names none, its own
/// address. Call it only on the port for other gateways: anybody can write this header. Where that
/// port takes connections without a certificate, everybody who reaches it can too: so it is for the
/// log and for the service that decides, and no limit counts by it.
pub(super) fn forwarded_client(request: &HttpRequest) -> Option<IpAddr> {
    let named = request.headers().get(CLIENT).and_then(|client| plain(client.to_str().ok()?));
    named.or_else(|| Some(request.peer_addr()?.ip().to_canonical()))
}

impl TrustedProxies {
    /// The client's address; `None` for a request without a connection, as in tests.
    pub(crate) fn client(&self, request: &HttpRequest) -> Option<IpAddr> {
        Some(self.behind(request.peer_addr()?.ip().to_canonical(), request.headers()))
    }

    /// The client that a request counts for. `None`: a program on this machine made it, and passes
    /// it on for nobody. A request that says that it is passed on always counts, if only for the
    /// proxy's own address: else a client could forge headers that contradict each other.
    pub(crate) fn limited(&self, request: &HttpRequest) -> Option<IpAddr> {
        let peer = request.peer_addr()?.ip().to_canonical();
        let headers = request.headers();
        let direct = passed_on(headers).is_none();
        (!(direct && peer.is_loopback())).then(|| self.behind(peer, headers))
    }

    fn behind(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.trusts(peer) {
            return peer;
        }
        let listed = |name: &HeaderName, read: fn(&str) -> Option<IpAddr>| {
            let lines: Vec<&str> =
                headers.get_all(name).map(|line| line.to_str().unwrap_or_default()).collect();
            (!lines.is_empty()).then(|| {
                self.furthest(peer, lines.iter().rev().flat_map(|line| line.rsplit(',')), read)
            })
        };
        match (listed(&X_FORWARDED_FOR, plain), listed(&FORWARDED, tagged)) {
            (Some(one), Some(other)) if one != other => peer,
            (one, other) => one.or(other).unwrap_or(peer),
        }
    }

    /// Follows the hops from `peer` as long as the one that names the next is trusted.
    fn furthest<'a>(
        &self,
        peer: IpAddr,
        hops: impl Iterator<Item = &'a str>,
        read: fn(&str) -> Option<IpAddr>,
    ) -> IpAddr {
        let mut client = peer;
        for hop in hops.take(MAX_HOPS) {
            // Hidden or malformed: only its proxy is known.
            let Some(next) = read(hop.trim()) else { break };
            client = next;
            if !self.trusts(client) {
                break;
            }
        }
        client
    }
}

/// The header by which a proxy says that it passes the request on for somebody else.
pub(super) fn passed_on(headers: &HeaderMap) -> Option<&HeaderName> {
    headers.keys().find(|name| {
        [FORWARDED, VIA].contains(name)
            || name.as_str().starts_with("x-forwarded-")
            || name.as_str() == "x-real-ip"
    })
}

/// `192.0.2.1`, `2001:db8::1`; some write a port too, and brackets.
fn plain(text: &str) -> Option<IpAddr> {
    let address =
        text.parse().ok().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()));
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    address.or_else(bracketed).map(|address: IpAddr| address.to_canonical())
}

/// `for=192.0.2.1;proto=https`, `For="[2001:db8::1]:4711"`.
fn tagged(text: &str) -> Option<IpAddr> {
    let pairs = text.split(';').filter_map(|pair| pair.split_once('='));
    let mut of = pairs
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"))
        .map(|(_, value)| value.trim());
    plain(of.next_back()?.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const PROXIES: &str = "127.0.0.1, 10.0.0.0/8, 2001:db8::/32";

    fn client(trusted: &str, peer: &str, headers: &[(&str, &str)]) -> String {
        let (mut problems, peer) = (Vec::new(), SocketAddr::new(peer.parse().unwrap(), 4711));
        let proxies = TrustedProxies::from_option(&mut problems, Some(trusted));
        assert_eq!(problems, Vec::<String>::new());
        let mut request = TestRequest::default().peer_addr(peer);
        for header in headers {
            request = request.append_header(*header);
        }
        proxies.client(&request.to_http_request()).unwrap().to_string()
    }

    #[test]
    fn without_proxies_a_client_is_who_connects() {
        let forged = [("x-forwarded-for", "192.0.2.66"), ("forwarded", "for=192.0.2.66")];
        assert_eq!(client("", "127.0.0.1", &forged), "127.0.0.1");
        assert_eq!(client(PROXIES, "192.0.2.1", &forged), "192.0.2.1");
        assert_eq!(client("", "::ffff:192.0.2.1", &[]), "192.0.2.1");
    }

    #[test]
    fn the_first_from_the_right_that_is_no_proxy_is_the_client() {
        let through = |list| client(PROXIES, "10.0.0.1", &[("x-forwarded-for", list)]);
        assert_eq!(through("192.0.2.1"), "192.0.2.1");
        assert_eq!(
            through("192.0.2.66, 192.0.2.1"),
            "192.0.2.1",
            "the left one is the client's own"
        );
        assert_eq!(through("192.0.2.66,192.0.2.1 , 10.9.9.9, 127.0.0.1"), "192.0.2.1");
        assert_eq!(through("10.0.0.2, 10.0.0.3"), "10.0.0.2", "a client that is within");
        assert_eq!(through("[2001:db9::1]:443"), "2001:db9::1");
        assert_eq!(through("[2001:db9::1]"), "2001:db9::1");
        assert_eq!(through("2001:db9::1, 2001:db8::7, ::ffff:10.0.0.2"), "2001:db9::1");
        assert_eq!(through("192.0.2.1:65000, 2001:db8::7"), "192.0.2.1");
        // Each proxy may add a line of its own.
        let lines = [("x-forwarded-for", "192.0.2.66"), ("x-forwarded-for", "192.0.2.1, 10.0.0.3")];
        assert_eq!(client(PROXIES, "10.0.0.1", &lines), "192.0.2.1");
    }

    #[test]
    fn what_is_no_address_ends_the_way() {
        let through = |list| client(PROXIES, "10.0.0.1", &[("x-forwarded-for", list)]);
        for nonsense in ["", "unknown", "192.0.2.1.5", "a\tb", ",,,", "192.0.2.66, _hidden"] {
            assert_eq!(through(nonsense), "10.0.0.1", "{nonsense:?}");
        }
        let endless = "10.0.0.9,".repeat(500) + "10.0.0.9";
        assert_eq!(through(&endless), "10.0.0.9");
        assert_eq!(
            through(&format!("192.0.2.1,{}10.0.0.9", "10.0.0.9,".repeat(MAX_HOPS))),
            "10.0.0.9"
        );
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_has_it() {
        let through = |list| client(PROXIES, "10.0.0.1", &[("forwarded", list)]);
        assert_eq!(through("for=192.0.2.1"), "192.0.2.1");
        assert_eq!(
            through("for=192.0.2.66, For=\"[2001:db9::1]:4711\";proto=https"),
            "2001:db9::1"
        );
        assert_eq!(through("for=\"[2001:db9::1]\""), "2001:db9::1");
        assert_eq!(through("proto=https;for=192.0.2.1;by=10.0.0.7, for=10.0.0.2"), "192.0.2.1");
        assert_eq!(through("for=_secret"), "10.0.0.1");
        assert_eq!(through("proto=https"), "10.0.0.1");
    }

    #[test]
    fn of_two_headers_that_differ_one_is_forged() {
        let both = |one, other| {
            client(PROXIES, "10.0.0.1", &[("x-forwarded-for", one), ("forwarded", other)])
        };
        assert_eq!(both("192.0.2.1", "for=192.0.2.1"), "192.0.2.1");
        assert_eq!(both("192.0.2.1", "for=192.0.2.66"), "10.0.0.1");
    }

    #[test]
    fn a_program_on_this_machine_is_not_limited_and_those_behind_a_proxy_there_are() {
        let limited = |trusted: &str, peer: &str, headers: &[(&str, &str)]| {
            let (mut problems, peer) = (Vec::new(), SocketAddr::new(peer.parse().unwrap(), 4711));
            let proxies = TrustedProxies::from_option(&mut problems, Some(trusted));
            let mut request = TestRequest::default().peer_addr(peer);
            for header in headers {
                request = request.append_header(*header);
            }
            proxies.limited(&request.to_http_request()).map(|client| client.to_string())
        };
        for local in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(limited("", local, &[]), None, "{local}");
            assert_eq!(limited("127.0.0.0/8, ::1", local, &[]), None, "{local}");
        }
        let (forwarded, forged) = (("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=10.9.9.9"));
        let of = |client: &str| Some(client.to_owned());
        assert_eq!(limited("127.0.0.1", "127.0.0.1", &[forwarded]), of("192.0.2.1"));
        assert_eq!(limited("127.0.0.1", "127.0.0.1", &[forwarded, forged]), of("127.0.0.1"));
        assert_eq!(limited("127.0.0.1", "127.0.0.1", &[("forwarded", "")]), of("127.0.0.1"));
        assert_eq!(limited("", "127.0.0.1", &[forwarded]), of("127.0.0.1"), "not a proxy of ours");
        let local = ("x-forwarded-for", "127.0.0.1");
        assert_eq!(limited("10.0.0.1", "10.0.0.1", &[local]), of("127.0.0.1"), "its own machine");
        assert_eq!(limited("10.0.0.1", "10.0.0.1", &[]), of("10.0.0.1"));
        assert_eq!(limited("", "192.0.2.1", &[]), of("192.0.2.1"));
    }

    #[test]
    fn only_the_port_between_gateways_believes_a_gateways_header() {
        let of = |headers: &[(&str, &str)]| {
            let mut request = TestRequest::default().peer_addr("10.0.0.1:4711".parse().unwrap());
            for header in headers {
                request = request.append_header(*header);
            }
            forwarded_client(&request.to_http_request()).unwrap().to_string()
        };
        assert_eq!(of(&[(CLIENT, "192.0.2.1")]), "192.0.2.1");
        assert_eq!(of(&[(CLIENT, "2001:db8::1")]), "2001:db8::1");
        assert_eq!(of(&[(CLIENT, "nobody")]), "10.0.0.1");
        assert_eq!(of(&[("x-forwarded-for", "192.0.2.1")]), "10.0.0.1", "a mesh wrote it");
        assert_eq!(client(PROXIES, "10.0.0.1", &[(CLIENT, "192.0.2.1")]), "10.0.0.1");
    }

    #[test]
    fn what_is_no_network_is_named() {
        for wrong in
            ["proxy", "10.0.0.0/33", "::1/129", "10.0.0/8", "10.0.0.1/", "10.0.0.1/-1", ","]
        {
            let mut problems = Vec::new();
            TrustedProxies::from_option(&mut problems, Some(wrong));
            assert!(
                matches!(&problems[..], [one] if one.starts_with("--trusted-proxies: ")),
                "{wrong}: {problems:?}"
            );
        }
        assert_eq!(
            client("0.0.0.0/0, ::/0", "192.0.2.1", &[("x-forwarded-for", "192.0.2.2")]),
            "192.0.2.2"
        );
    }
}
