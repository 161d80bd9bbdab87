//! Other work on the machine: each core is busy for a part of every 10 ms.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, available_parallelism, park_timeout};
use std::time::Duration;

use tokio::time::Instant;

const PERIOD: Duration = Duration::from_millis(10);
/// Of each period, where nothing else is said.
const BUSY: f64 = 0.8;

/// A thread for each core, of the same priority as everything else, until `over`.
pub(crate) fn start<'scope>(scope: &'scope Scope<'scope, '_>, over: &'scope AtomicBool) {
    share(scope, over, BUSY);
}

/// The same for another share of each core.
pub(crate) fn share<'scope>(
    scope: &'scope Scope<'scope, '_>,
    over: &'scope AtomicBool,
    share: f64,
) {
    let busy = PERIOD.mul_f64(share.min(1.0));
    let cores = available_parallelism().map_or(1, usize::from);
    for core in 0..cores {
        scope.spawn(move || {
            pin(core);
            while !over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                while begun.elapsed() < busy {
                    std::hint::spin_loop();
                }
                // Nobody unparks it; waking early for no reason makes one period shorter.
                park_timeout(PERIOD.saturating_sub(begun.elapsed()));
            }
        });
    }
}

/// Two on one core would leave another idle. Refused (a container's limit): the scheduler spreads
/// them.
fn pin(core: usize) {
    let mut only = rustix::thread::CpuSet::new();
    only.set(core);
    rustix::thread::sched_setaffinity(None, &only).ok();
}
