//! What is promised whatever a stranger does, and the attack that tries it.

use rand::rngs::SmallRng;

use crate::arena::Arena;
use crate::{inside, machine, outside};

/// One row of the table. That honest streams show 28 of 30 pictures a second, that slots and memory are given back
/// within 20 s, that `/healthz` says 200 and the log stays short is promised with each.
pub(crate) struct Promise {
    pub(crate) name: &'static str,
    pub(crate) promise: &'static str,
    pub(crate) bound: &'static str,
    /// Whether the honest streams are looked at: not where the machine is to have too little for all.
    pub(crate) judged: bool,
    /// Gives what it saw, or what was broken beside the honest streams.
    pub(crate) attack: fn(&mut Arena, &mut SmallRng) -> Result<String, String>,
}

pub(crate) const PROMISES: [Promise; 19] = [
    Promise {
        name: "forward-tsn",
        promise: "a packet inside DTLS costs what it has bytes",
        bound: "no FORWARD-TSN beyond the receive window",
        judged: true,
        attack: inside::forward_tsn,
    },
    Promise {
        name: "long-cause",
        promise: "no packet ends what runs a connection",
        bound: "no slot lost",
        judged: true,
        attack: inside::long_cause,
    },
    Promise {
        name: "sctp-zoo",
        promise: "malformed SCTP is dropped",
        bound: "no slot lost",
        judged: true,
        attack: inside::zoo,
    },
    Promise {
        name: "sctp-inits",
        promise: "a session has one association",
        bound: "1",
        judged: true,
        attack: inside::inits,
    },
    Promise {
        name: "sctp-gaps",
        promise: "what one session keeps is bounded",
        bound: "memory",
        judged: true,
        attack: inside::gaps,
    },
    Promise {
        name: "dtls-cbc",
        promise: "only authenticated encryption is spoken",
        bound: "AEAD suites",
        judged: true,
        attack: inside::cbc,
    },
    Promise {
        name: "unsigned-stun",
        promise: "whoever does not know the password is not answered",
        bound: "0 answers",
        judged: true,
        attack: inside::unsigned,
    },
    Promise {
        name: "silent-sessions",
        promise: "a session that never sends a frame ends",
        bound: "20 s",
        judged: true,
        attack: inside::silent,
    },
    Promise {
        name: "reflector",
        promise: "an address that never spoke hears nothing",
        bound: "0 datagrams",
        judged: true,
        attack: outside::reflector,
    },
    Promise {
        name: "checks-alone",
        promise: "sessions without DTLS hold few slots, for seconds",
        bound: "a quarter, 5 s",
        judged: true,
        attack: outside::checks_alone,
    },
    Promise {
        name: "half-open",
        promise: "offers take nothing: a newcomer is served at once",
        bound: "4 a second",
        judged: true,
        attack: outside::half_open,
    },
    Promise {
        name: "huge-offers",
        promise: "what no browser offers is refused",
        bound: "8 sections, 128 payload types, 64 KiB",
        judged: true,
        attack: outside::huge_offers,
    },
    Promise {
        name: "renegotiation",
        promise: "further offers of a session are bounded",
        bound: "burst of 4, then one a second",
        judged: true,
        attack: outside::renegotiation,
    },
    Promise {
        name: "ice-restarts",
        promise: "ICE restarts of a session are bounded",
        bound: "8, then one a minute",
        judged: true,
        attack: outside::restarts,
    },
    Promise {
        name: "stalled-bodies",
        promise: "bodies that never end cost no memory, and not the admin port",
        bound: "5 s, 96 MiB",
        judged: true,
        attack: outside::stalled_bodies,
    },
    Promise {
        name: "rebinding",
        promise: "a name that was rebound to this address is refused",
        bound: "--allowed-hosts, --allowed-origins",
        judged: true,
        attack: outside::rebinding,
    },
    Promise {
        name: "worker-port",
        promise: "unfinished calls to a worker cost it little",
        bound: "64 KiB each, 64 MB",
        judged: true,
        attack: outside::worker_port,
    },
    Promise {
        name: "junk",
        promise: "datagrams of no protocol are counted",
        bound: "no log",
        judged: true,
        attack: outside::junk,
    },
    Promise {
        name: "stopped-or-busy",
        promise: "a process that was stopped, or has too much to do, is not restarted",
        bound: "/healthz 200",
        judged: false,
        attack: machine::stopped_and_overloaded,
    },
];
