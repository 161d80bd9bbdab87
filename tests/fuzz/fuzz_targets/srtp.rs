//! See `reframe_gateway::fuzz::srtp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| reframe_gateway::fuzz::srtp(data));
