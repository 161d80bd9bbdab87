//! What a stream is, and what the outside may do with a session of it: its declaration, inputs and
//! outputs. It may import `media`, `telemetry` and `codec`; it knows no connection, no worker and
//! no HTTP.

pub(crate) mod inputs;
pub(crate) mod latency;
pub(crate) mod live_session;
pub(crate) mod outputs;
pub(crate) mod session_inputs;
pub(crate) mod spec;
pub(crate) mod status;
