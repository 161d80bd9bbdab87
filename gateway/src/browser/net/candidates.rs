//! Where we are, for an answer. The stack knows only the sockets that it believes to have, so its
//! own lines are replaced.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

/// The priority of a host candidate for RTP (RFC 8445, section 5.1.2.1): type preference, local
/// preference, component. Those of TCP are lower (RFC 6544, section 4.2), so that it is used where
/// UDP does not get through.
const HOST_UDP: u32 = 126 << 24;
const HOST_TCP: u32 = 90 << 24;
/// Our side of TCP is passive (RFC 6544, section 4.2: its preference is the upper three bits of the
/// local one).
const PASSIVE: u32 = 4 << 21;
const COMPONENT: u32 = 256 - 1;

/// The lines of an answer's section, the first address preferred.
pub(super) fn lines(udp: &[SocketAddr], tcp: &[SocketAddr]) -> String {
    let mut lines = String::new();
    let mut add = |address: &SocketAddr, protocol: &str, priority: u32, extension: &str| {
        // Alike only for the same base and protocol (RFC 8445, section 5.1.1.3): no two of these
        // lines.
        let foundation = lines.lines().count() + 1;
        let (ip, port): (IpAddr, u16) = (address.ip(), address.port());
        // Writing to a string never fails.
        writeln!(
            lines,
            "a=candidate:{foundation} 1 {protocol} {priority} {ip} {port} typ host{extension}\r"
        )
        .ok();
    };
    for (address, rank) in udp.iter().zip((0..=0xffff_u32).rev()) {
        add(address, "udp", HOST_UDP + (rank << 8) + COMPONENT, "");
    }
    for (address, rank) in tcp.iter().zip((0..=0x1fff_u32).rev()) {
        add(address, "tcp", HOST_TCP + PASSIVE + (rank << 8) + COMPONENT, " tcptype passive");
    }
    lines.push_str("a=end-of-candidates\r\n");
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_a_line_and_udp_goes_first() {
        let udp = ["127.0.0.1:7000".parse().unwrap(), "[2001:db8::1]:7000".parse().unwrap()];
        let text = lines(&udp, &udp[..1]);
        assert_eq!(
            text,
            "a=candidate:1 1 udp 2130706431 127.0.0.1 7000 typ host\r\n\
             a=candidate:2 1 udp 2130706175 2001:db8::1 7000 typ host\r\n\
             a=candidate:3 1 tcp 1520435199 127.0.0.1 7000 typ host tcptype passive\r\n\
             a=end-of-candidates\r\n"
        );
    }
}
