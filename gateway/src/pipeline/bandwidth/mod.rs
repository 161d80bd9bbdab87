//! How much video a connection carries, and what a stream makes of it.
//!
//! Pure: `peer::congestion` and `peer::remb` estimate, and `egress` obeys. Every number is kbit/s
//! of encoded video, without the headers of RTP and below.

pub(crate) mod budget;
pub(crate) mod burst;
pub(crate) mod delay;
mod ladder;
pub(crate) mod loss;
mod pace;
pub(crate) mod padding;
pub(crate) mod probe;
pub(crate) mod queue;
pub(crate) mod rates;
mod throttle;

pub(crate) use ladder::asked_fps;
pub(crate) use throttle::{Due, Target, Throttle};
