//! This machine's addresses, and the selection by `--media`.

use std::net::IpAddr;

/// An interface's name and one address of it.
pub(super) type Interface = (String, IpAddr);

/// An item of `--media`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    /// `0.0.0.0` or `::`: every address of its family that other machines can reach.
    Every {
        v6: bool,
    },
    Address(IpAddr),
    Interface(String),
}

impl Item {
    fn parse(text: &str) -> Self {
        match text.parse::<IpAddr>() {
            Ok(ip) if ip.is_unspecified() => Self::Every { v6: ip.is_ipv6() },
            Ok(ip) => Self::Address(ip),
            Err(_) => Self::Interface(text.to_owned()),
        }
    }

    fn covers(&self, (name, ip): &Interface) -> bool {
        match self {
            Self::Every { v6 } => ip.is_ipv6() == *v6 && !ip.is_loopback(),
            Self::Address(address) => ip == address,
            Self::Interface(interface) => name == interface,
        }
    }
}

/// The addresses that `given`, a value of `--media`, stands for, in its order.
///
/// # Errors
/// One line for each item that this machine does not have.
pub(super) fn select(
    given: &str,
    default: &str,
    interfaces: &[Interface],
) -> Result<Vec<IpAddr>, Vec<String>> {
    let items = || given.split(',').map(str::trim).filter(|item| !item.is_empty());
    let excluded: Vec<Item> =
        items().filter_map(|item| item.strip_prefix('!')).map(Item::parse).collect();
    let mut wanted: Vec<&str> = items().filter(|item| !item.starts_with('!')).collect();
    if wanted.is_empty() && !excluded.is_empty() {
        wanted = default.split(',').collect();
    }
    let (mut selected, mut problems) = (Vec::new(), Vec::new());
    for text in wanted {
        let item = Item::parse(text);
        let mut found: Vec<Interface> =
            interfaces.iter().filter(|interface| item.covers(interface)).cloned().collect();
        match item {
            // All of 127.0.0.0/8 is local and belongs to no interface: binding shows whether the
            // address can be used.
            Item::Address(ip) if found.is_empty() => found.push((String::new(), ip)),
            Item::Interface(name) if found.is_empty() => {
                problems.push(format!(
                    "--media: `{name}` is neither an IP address nor an interface with one"
                ));
            }
            _ => {}
        }
        for interface in found {
            if !excluded.iter().any(|item| item.covers(&interface))
                && !selected.contains(&interface.1)
            {
                selected.push(interface.1);
            }
        }
    }
    if selected.is_empty() && problems.is_empty() {
        problems.push(format!("--media: `{given}` leaves no address of this machine"));
    }
    if problems.is_empty() { Ok(selected) } else { Err(problems) }
}

/// Every address of every interface, except link-local ones: they are meaningless without their
/// interface, which a candidate does not name. Empty if the system does not report them.
pub(super) fn interfaces() -> Vec<Interface> {
    let link_local = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let found = rtc::shared::ifaces::ifaces().unwrap_or_default().into_iter();
    let found = found.filter_map(|interface| Some((interface.name, interface.addr?.ip())));
    found.filter(|(_, ip)| !ip.is_unspecified() && !link_local(ip)).collect()
}

/// This machine's addresses that other machines can reach, of both families, in the order of its
/// interfaces.
pub(crate) fn addresses() -> Vec<IpAddr> {
    let mut found = Vec::new();
    for (_, ip) in interfaces() {
        if !ip.is_loopback() && !found.contains(&ip) {
            found.push(ip);
        }
    }
    found
}

#[cfg(test)]
mod tests {

    const DEFAULT: &str = "127.0.0.1,0.0.0.0,::";

    fn select(given: &str) -> Result<String, Vec<String>> {
        let interfaces = [
            ("lo", "127.0.0.1"),
            ("lo", "::1"),
            ("eth0", "10.0.0.7"),
            ("eth0", "2001:db8::7"),
            ("docker0", "172.17.0.1"),
        ]
        .map(|(name, ip)| (name.to_owned(), ip.parse().unwrap()));
        let selected = super::select(given, DEFAULT, &interfaces)?;
        Ok(selected.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn addresses_interfaces_families_and_exclusions() {
        for (given, wanted) in [
            (DEFAULT, "127.0.0.1 10.0.0.7 172.17.0.1 2001:db8::7"),
            ("0.0.0.0", "10.0.0.7 172.17.0.1"),
            ("::", "2001:db8::7"),
            ("::1, 127.0.0.1", "::1 127.0.0.1"),
            ("eth0,10.0.0.7", "10.0.0.7 2001:db8::7"),
            ("!docker0", "127.0.0.1 10.0.0.7 2001:db8::7"),
            ("0.0.0.0,::,!172.17.0.1", "10.0.0.7 2001:db8::7"),
            ("eth0,!::", "10.0.0.7"),
            ("127.0.0.3", "127.0.0.3"),
        ] {
            assert_eq!(select(given).as_deref(), Ok(wanted), "{given}");
        }
    }

    #[test]
    fn what_this_machine_has_not_is_told() {
        for (given, named) in [
            ("media.example.org", "media.example.org"),
            ("eth7", "eth7"),
            ("eth0,!eth0", "eth0,!eth0"),
            ("", "``"),
        ] {
            let problems = select(given).unwrap_err();
            assert!(problems.len() == 1 && problems[0].starts_with("--media: "), "{problems:?}");
            assert!(problems[0].contains(named), "{problems:?}");
        }
        assert_eq!(select("eth7,eth8").unwrap_err().len(), 2);
    }
}
