//! The connection to one browser: the offer that it makes (`offer`), the WebRTC stack (`peer`, hops
//! 1 and 10), and the one port of all media (`net`). All types of the `webrtc` and `rtc` crates
//! stay in here. It may import `pipeline` and what is below that; it knows no session, which it
//! tells by messages of `media`, and no HTTP.

pub(crate) mod guard;
pub(crate) mod messages;
pub(crate) mod net;
pub(crate) mod offer;
pub(crate) mod peer;
