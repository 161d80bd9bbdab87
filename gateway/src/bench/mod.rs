//! What benchmarks measure from inside: the parts of a frame's way, and many gateways' placements.
//! No part of the interface.

mod path;
mod placement;
mod srtp;
mod stun;
mod waiting;

pub use self::path::{Frame, PacedPicture, Path, Unit};
pub use self::placement::{Held, SharedSlots, Workers};
pub use self::srtp::{RtpPacket, RtpStream, Srtp};
pub use self::stun::SignedCheck;
pub use self::waiting::{Pacer, Queue};

/// Installs this process' metrics and returns what renders them as text.
///
/// # Panics
/// When it is called twice.
pub fn metrics() -> impl Fn() -> String {
    let metrics = crate::telemetry::install().expect("the only one of this process");
    move || metrics.render()
}
