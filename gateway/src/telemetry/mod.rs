//! Metrics and traces. Every metric name that this process exports is in this folder.
//!
//! Base units, `_total` on counters only, no ids in labels: a label's values are the few that these
//! files can produce. `docs/metrics.md` lists them and a test compares the two.

pub(crate) mod audit;
mod describe;
mod frames;
pub(crate) mod ledger;
mod process;
mod recorder;
mod sessions;
pub(crate) mod trace;
pub(crate) mod viewers;
pub(crate) mod worker_series;
mod workers;
mod zeros;

pub(crate) use self::frames::*;
pub(crate) use self::process::*;
pub(crate) use self::recorder::{install, render};
pub(crate) use self::sessions::*;
pub(crate) use self::workers::*;
