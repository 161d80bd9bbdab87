//! See `reframe_gateway::fuzz::dcep`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| reframe_gateway::fuzz::dcep(data));
