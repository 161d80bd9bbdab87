//! How near a worker is to this gateway, as far as both say where they are.

use reframe_proto::location::Location;

use super::Locality;

/// How near a worker is; the nearest is the least. Sessions go to a nearer one while it has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Proximity {
    /// On this machine.
    Host,
    /// In this zone.
    Zone,
    /// One of the two does not say which zone it is in.
    Unknown,
    /// In another zone, where frames cost money and time.
    OtherZone,
}

impl Proximity {
    /// Of a worker that is reached by `reach` and says that it is at `worker`.
    pub(super) fn of(reach: &Locality, here: &Location, worker: &Location) -> Self {
        let known = |a: &str, b: &str| !a.is_empty() && !b.is_empty();
        let same_zone = known(&here.zone, &worker.zone).then(|| here.zone == worker.zone);
        match (reach, same_zone) {
            (Locality::Process | Locality::Host(_), _) => Self::Host,
            // What the operator says of the zones counts for more than the machine's name: virtual
            // machines that were copied may share that.
            (Locality::Network, Some(false)) => Self::OtherZone,
            _ if known(&here.host, &worker.host) && here.host == worker.host => Self::Host,
            (Locality::Network, Some(true)) => Self::Zone,
            (Locality::Network, None) => Self::Unknown,
        }
    }

    /// The value of the metric's label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Zone => "zone",
            Self::Unknown => "unknown",
            Self::OtherZone => "other_zone",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn zones_come_before_hosts_and_sockets_before_both() {
        let at = |host: &str, zone: &str| Location { host: host.into(), zone: zone.into() };
        let here = at("h", "a");
        let of = |worker| Proximity::of(&Locality::Network, &here, &worker);
        assert_eq!(of(at("h", "a")), Proximity::Host);
        assert_eq!(of(at("h", "")), Proximity::Host);
        assert_eq!(of(at("h", "b")), Proximity::OtherZone);
        assert_eq!(of(at("other", "a")), Proximity::Zone);
        assert_eq!(of(at("", "a")), Proximity::Zone);
        assert_eq!(of(at("other", "")), Proximity::Unknown);
        assert_eq!(of(at("", "")), Proximity::Unknown);
        let socket = Locality::Host(Path::new("/run/worker.sock").into());
        assert_eq!(Proximity::of(&socket, &here, &at("other", "b")), Proximity::Host);
        let nowhere = Location::default();
        assert_eq!(Proximity::of(&Locality::Network, &nowhere, &nowhere), Proximity::Unknown);
        assert!(Proximity::Host < Proximity::Zone && Proximity::Unknown < Proximity::OtherZone);
    }
}
