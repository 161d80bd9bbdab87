//! The threads that actors and codecs run on, and how the work of a codec thread is shared among
//! its streams. It may import `telemetry`. It does not know sessions, or what it runs.

pub(crate) mod arbiters;
pub(crate) mod clock;
mod governor;
pub(crate) mod load;
pub(crate) mod relief;
pub(crate) mod schedule;
pub(crate) mod slices;
