//! File descriptors: the limit, and each port's share.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Connections to the admin port: some probes and Prometheus.
const ADMIN: usize = 512;

/// Connections of other gateways: what they forward, which is at most one event stream for each
/// reader of a session here.
const PEER: usize = 512;

/// Connections to the media port, from browsers whose UDP is blocked.
const MEDIA: usize = 4_096;

/// Connections that each port may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shares {
    pub(crate) public: usize,
    pub(crate) admin: usize,
    pub(crate) peer: usize,
    pub(crate) media: usize,
}

/// Raises this process' soft limit to its hard limit, and returns it.
pub(crate) fn raise() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // An error leaves the limit as it was.
    let raised = current != maximum
        && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let limit = if raised { maximum } else { current };
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

/// Shares `limit` descriptors among the ports. The public port gets `wanted`, but at most half. The
/// media port gets half of that, and the admin port and the one for other gateways a sixteenth of
/// all each, so that probes are answered under any load on the others. The remaining eighth is for
/// workers, Redis, forwarded requests and files.
pub(crate) fn shares(limit: usize, wanted: usize) -> Shares {
    Shares {
        public: wanted.min(limit / 2),
        admin: ADMIN.min(limit / 16),
        peer: PEER.min(limit / 16),
        media: MEDIA.min(limit / 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admin_port_always_has_some() {
        assert_eq!(shares(1_024, 4_096), Shares { public: 512, admin: 64, peer: 64, media: 256 });
        assert_eq!(
            shares(1_048_576, 4_096),
            Shares { public: 4_096, admin: 512, peer: 512, media: 4_096 }
        );
        assert_eq!(
            shares(usize::MAX, 16),
            Shares { public: 16, admin: 512, peer: 512, media: 4_096 }
        );
    }

    #[test]
    fn the_limit_is_as_high_as_it_may_be() {
        let limit = raise();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
        assert_eq!(
            limit,
            maximum.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
        );
    }
}
