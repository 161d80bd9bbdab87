//! A gateway's address as it stands in Redis: `http://IP:PORT`, its admin port.
//!
//! Whoever can write to Redis chooses what is there, and we ask it over HTTP. So it is an address
//! that a gateway can have, and nothing else: no name, no path, none that means this machine, a
//! group or a cloud's own services.

use std::net::{IpAddr, SocketAddr};

const SCHEME: &str = "http://";

/// As it is written.
pub(super) fn text(gateway: SocketAddr) -> String {
    format!("{SCHEME}{gateway}")
}

/// What is written there, if it can be another gateway of `us`.
pub(super) fn parse(text: &str, us: SocketAddr) -> Option<SocketAddr> {
    let address: SocketAddr = text.strip_prefix(SCHEME)?.parse().ok()?;
    let ip = address.ip();
    let unusual = match ip {
        // Link-local: what clouds tell their machines, credentials among it, is at 169.254.169.254.
        IpAddr::V4(v4) => {
            v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast() || v4.is_link_local()
        }
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local(),
    };
    // Gateways of one machine know each other by its loopback; for all others that is where they
    // are themselves.
    let elsewhere = !ip.is_loopback() || us.ip().is_loopback();
    // An IPv4 address within an IPv6 one is never written, and would pass the checks above.
    (!unusual && elsewhere && address.port() != 0 && ip.to_canonical() == ip).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(text: &str, us: &str) -> bool {
        parse(text, us.parse().unwrap()).is_some()
    }

    #[test]
    fn what_a_gateway_writes_is_read() {
        for address in ["10.0.0.7:9090", "[2001:db8::7]:9090", "192.168.1.1:1"] {
            let address = address.parse().unwrap();
            assert_eq!(parse(&text(address), "10.0.0.1:9090".parse().unwrap()), Some(address));
        }
        assert!(accepted("http://127.0.0.1:9090", "127.0.0.1:9091"));
        assert!(accepted("http://[::1]:9090", "[::1]:9091"));
    }

    #[test]
    fn nothing_else_is() {
        for text in [
            "",
            "10.0.0.7:9090",
            "http://",
            "http://10.0.0.7",
            "http://10.0.0.7:9090/",
            "http://10.0.0.7:9090/latest/meta-data?",
            "http://10.0.0.7:9090#",
            "http://user@10.0.0.7:9090",
            "https://10.0.0.7:9090",
            "HTTP://10.0.0.7:9090",
            "http://gateway:9090",
            "http://10.0.0.7:0",
            "http://0.0.0.0:9090",
            "http://[::]:9090",
            "http://127.0.0.1:9090",
            "http://127.9.9.9:6379",
            "http://[::1]:9090",
            "http://169.254.169.254:80",
            "http://[fe80::1]:80",
            "http://[fe80::1%2]:80",
            "http://224.0.0.1:80",
            "http://[ff02::1]:80",
            "http://255.255.255.255:80",
            "http://[::ffff:127.0.0.1]:80",
            "http://[::ffff:169.254.169.254]:80",
            "file:///etc/passwd",
            "http://10.0.0.7:9090\r\nX: y",
        ] {
            assert!(!accepted(text, "10.0.0.1:9090"), "{text:?}");
        }
    }
}
