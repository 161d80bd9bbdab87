//! From packets to frames and back: hop 2 (`ingress`, with `assembler` and `intake`), hop 8
//! (`pacer`), hop 9 (`egress`), and how much video a connection carries (`bandwidth`). It may
//! import `workers`, `stream`, `threads`, `media`, `telemetry` and `codec`; it uses no type of the
//! WebRTC stack.

pub(crate) mod assembler;
pub(crate) mod backlog;
pub(crate) mod bandwidth;
pub(crate) mod egress;
pub(crate) mod fanout;
pub(crate) mod ingress;
pub(crate) mod intake;
pub(crate) mod pacer;
