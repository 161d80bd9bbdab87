//! One program for all targets of `reframe_gateway::fuzz`, so that there is one to link: `TARGET`
//! in the environment names the one that it gives its inputs to.
#![no_main]

use std::sync::LazyLock;

use reframe_gateway::fuzz::{TARGETS, Target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let asked = std::env::var("TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|(name, _)| *name == asked);
    found.unwrap_or_else(|| panic!("TARGET={asked:?} is none of {:?}", TARGETS.map(|(name, _)| name))).1
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| (*TARGET)(data));
