//! Workers: which exist (`pool`), which one takes a session (`placement`), and the stream to it
//! (`link`, hops 4 and 7), over connections that `inside` makes. It may import `stream`, `config`,
//! `media`, `telemetry` and `codec`. It knows no browser, and reaches sessions only by messages of
//! `media`.

pub(crate) mod inside;
pub(crate) mod link;
pub(crate) mod placement;
pub(crate) mod pool;
pub(crate) mod redis;
