//! Who opened, set and read what, and who was refused: the log target `audit`. It has subjects and
//! addresses, and no secrets. Refusals are what anybody can cause, so few of them are written.

use std::net::IpAddr;

use tracing::info;

/// The target of what was allowed. Refusals have `audit::refused`, which is bounded
/// (`reframe_trace`).
const AUDIT: &str = "audit";

/// A session took its slot. Call it in the session's span, which has its digest and its client.
pub(crate) fn opened(stream: &str, who: Option<&str>) {
    info!(target: AUDIT, stream, subject = who, "opened");
}

/// Somebody other than its client set inputs of a session, or read its outputs.
pub(crate) fn used(action: &'static str, session: &str, who: Option<&str>, client: Option<IpAddr>) {
    let client = client.map(tracing::field::display);
    info!(target: AUDIT, action, session, subject = who, client, "used");
}

/// `route`: the pattern of the request's path, without what the client wrote in it.
pub(crate) fn refused(route: &str, client: Option<IpAddr>, reason: &str) {
    let client = client.map(tracing::field::display);
    info!(target: "audit::refused", route, client, reason, "refused");
}
