//! Types that pass between the stages of a frame's path. They may import `codec` and `telemetry`,
//! but no actor, thread or connection.

pub(crate) mod client_limit;
pub(crate) mod encoded;
pub(crate) mod event;
pub(crate) mod frame;
pub(crate) mod limits;
pub(crate) mod packet;
pub(crate) mod receive_stats;
pub(crate) mod refused;
pub(crate) mod session_id;
