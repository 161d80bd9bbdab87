//! Where the gateway is: the lines on standard output that people click, phones scan and tests
//! read.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use crate::config::addresses::addresses;
use crate::config::tls::Tls;

/// Says where the ports for people are. Each port's first address is one that a browser on this
/// machine can open. `link`: the token that the page's address needs.
pub(crate) fn announce(
    page: &[SocketAddr],
    admin: &[SocketAddr],
    tls: Option<&Tls>,
    link: Option<&str>,
) {
    let mut text = String::new();
    // A String takes any text.
    write_lines(&mut text, page, admin, tls, link).ok();
    // Standard output may be closed or its disk full; the gateway serves anyway.
    io::stdout().write_all(text.as_bytes()).ok();
}

fn write_lines(
    out: &mut String,
    page: &[SocketAddr],
    admin: &[SocketAddr],
    tls: Option<&Tls>,
    link: Option<&str>,
) -> fmt::Result {
    let query = link.map(|token| format!("?t={token}")).unwrap_or_default();
    let scheme = if tls.is_some() { "https" } else { "http" };
    let mut elsewhere = Vec::new();
    for address in page {
        writeln!(out, "page {scheme}://{}/{query}", here(*address))?;
        elsewhere.extend(reachable(*address, addresses()));
    }
    for address in &elsewhere {
        writeln!(out, "page {scheme}://{address}/{query}")?;
    }
    for address in admin {
        writeln!(out, "admin http://{}/", here(*address))?;
    }
    if tls.is_some_and(|tls| tls.self_signed) {
        writeln!(
            out,
            "The certificate was made just now: a browser warns that it does not know it, and \
             then lets you go on."
        )?;
        let specific = page
            .iter()
            .find(|address| !address.ip().is_loopback() && !address.ip().is_unspecified());
        match elsewhere.first().or(specific) {
            // Only on a terminal: in a file or a log collector the code is twenty lines of noise.
            Some(address) if io::stdout().is_terminal() => {
                out.push_str(&qr(&format!("https://{address}/{query}")));
            }
            Some(_) => {}
            None => writeln!(
                out,
                "Only this machine reaches the page; for a phone add --http 0.0.0.0:8080."
            )?,
        }
    }
    Ok(())
}

/// An address that a browser on this machine can open.
fn here(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// The addresses beside [`here`]'s at which other machines reach a port. `::` takes IPv4 too.
fn reachable(bound: SocketAddr, interfaces: Vec<IpAddr>) -> Vec<SocketAddr> {
    let takes = |ip: &IpAddr| bound.ip().is_unspecified() && (bound.is_ipv6() || ip.is_ipv4());
    interfaces.into_iter().filter(takes).map(|ip| SocketAddr::new(ip, bound.port())).collect()
}

/// `text` as black on white, whatever the terminal's colours: a scanner need not read the inverse.
fn qr(text: &str) -> String {
    let code = QrCode::new(text).expect("an address is shorter than the 2.9 kB that a code holds");
    let picture = code.render::<Dense1x2>().build();
    picture.lines().map(|line| format!("\x1b[38;5;16;48;5;231m{line}\x1b[0m\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn interfaces() -> Vec<IpAddr> {
        ["192.168.1.5", "10.0.0.7", "2001:db8::5"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect()
    }

    #[test]
    fn the_first_address_opens_here() {
        let opened: Vec<_> =
            addresses(&["0.0.0.0:80", "[::]:80", "192.168.1.5:80"]).into_iter().map(here).collect();
        assert_eq!(opened, addresses(&["127.0.0.1:80", "[::1]:80", "192.168.1.5:80"]));
    }

    #[test]
    fn only_a_port_on_every_address_has_others() {
        let found = |bound: &str| reachable(bound.parse().unwrap(), interfaces());
        assert_eq!(found("0.0.0.0:80"), addresses(&["192.168.1.5:80", "10.0.0.7:80"]));
        assert_eq!(
            found("[::]:80"),
            addresses(&["192.168.1.5:80", "10.0.0.7:80", "[2001:db8::5]:80"])
        );
        assert!(found("127.0.0.1:80").is_empty());
        assert!(found("192.168.1.5:80").is_empty());
    }

    #[test]
    fn a_code_has_its_quiet_zone_and_two_rows_a_line() {
        let picture = qr("https://192.168.1.5:8080/");
        let lines: Vec<_> = picture.lines().collect();
        // 25 modules (version 2) and a quiet zone of 4 on each side.
        assert_eq!(lines.len(), (25 + 8_usize).div_ceil(2));
        let blank = format!("\x1b[38;5;16;48;5;231m{}\x1b[0m", " ".repeat(33));
        assert_eq!([lines[0], lines[1], lines[15]], [blank.as_str(); 3]);
        assert!(lines[2].contains("█▀▀▀▀▀█"), "no finder pattern in {picture}");
    }
}
