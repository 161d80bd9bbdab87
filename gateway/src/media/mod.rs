//! What passes from hop to hop: the types that more than one stage of the frame's path knows. It
//! may import `codec` and `telemetry`; it knows no actor, no thread and no connection.

pub(crate) mod encoded;
pub(crate) mod event;
pub(crate) mod frame;
pub(crate) mod limits;
pub(crate) mod packet;
pub(crate) mod refused;
pub(crate) mod session_id;
pub(crate) mod signs;
