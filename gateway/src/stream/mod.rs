//! A stream's declaration, and the inputs and outputs of its sessions. It may import `media`,
//! `telemetry` and `codec`, but no connection, worker or HTTP.

pub(crate) mod handler_times;
pub(crate) mod inputs;
pub(crate) mod latency;
pub(crate) mod live_session;
pub(crate) mod outputs;
pub(crate) mod session_inputs;
pub(crate) mod spec;
pub(crate) mod status;
