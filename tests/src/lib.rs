//! Harness of the end-to-end tests and the load generator.
//!
//! Everything here looks at Reframe from outside: real processes, real sockets, and a WebRTC client
//! built on `str0m`, which shares no code with the gateway's WebRTC stack. Only the libvpx wrapper
//! is the gateway's own.
//!
//! | module | what it is |
//! |---|---|
//! | [`pattern`] | a synthetic camera whose pictures carry their number |
//! | [`source`] | its pictures encoded: live, or a clip shared by many streams |
//! | [`peer`] | the WebRTC client |
//! | [`attacker`] | a client that keeps to no rule, and the judge beside it |
//! | [`netem`] | the bad network that it may be behind |
//! | [`cluster`] | gateways and workers as real processes ([`process`]), or a worker in the test's own ([`local`]) |
//! | [`certificates`] | certificates of gateways and workers, right and wrong ones |
//! | [`caller`] | whoever calls a port inside the cluster, with one of them or none |
//! | [`held`] | one thread of such a process, held still |
//! | [`herd`] | what many pages do that lose their gateway at once |
//! | [`grpc`] | a message as tonic sends it, without a network |
//! | [`redis`] | a real `redis-server` |
//! | [`nat`] | what may stand between a peer and a gateway |
//! | [`turn`] | a real `turnserver` |
//! | [`balancer`] | a load balancer in front of several gateways, or a network that can be cut |
//! | [`http`], [`updates`], [`metrics`], [`collector`] | what the processes say |
//! | [`figures`] | percentiles and units of what is measured |
//! | [`plot`] | lines as SVG |
//! | [`clients`] | clients of other projects |
//! | [`browser`] | a real Chromium in front of the page, its camera a clip ([`y4m`]) |
//! | [`wait`] | bounded, level-triggered waits |

pub mod attacker;
pub mod balancer;
pub mod browser;
pub mod caller;
pub mod certificates;
pub mod clients;
pub mod cluster;
pub mod collector;
#[cfg(test)]
mod columns;
pub mod figures;
pub mod grpc;
pub mod health;
pub mod held;
pub mod herd;
pub mod http;
#[cfg(test)]
mod layers;
pub mod local;
pub mod metrics;
pub mod nat;
pub mod netem;
pub mod offers;
pub mod pattern;
pub mod peer;
pub mod plot;
pub mod process;
pub mod python;
pub mod redis;
pub mod source;
pub mod turn;
pub mod updates;
pub mod wait;
pub mod y4m;
