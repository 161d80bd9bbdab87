//! Names in Redis. The braces are hash tags: all keys of a stream are on one node of a Redis
//! cluster.

use crate::media::session_id::SessionId;

/// A set, session -> expiry in ms of Redis' own clock: which sessions the stream has.
pub(super) fn sessions(stream: &str) -> String {
    format!("reframe:{{{stream}}}:sessions")
}

/// A set, lease -> expiry: the slots that are taken on a worker.
pub(super) fn slots(stream: &str, instance: &str) -> String {
    format!("reframe:{{{stream}}}:worker:{instance}")
}

/// A hash: the session's gateway (its admin port), its worker's instance and the lease that it
/// holds there.
pub(super) fn session(stream: &str, id: &SessionId) -> String {
    format!("reframe:{{{stream}}}:session:{id}")
}

/// What a stream's keys have in common, for people; of all streams if that is empty.
pub(super) fn family(stream: &str) -> String {
    if stream.is_empty() { "reframe:*".to_owned() } else { format!("reframe:{{{stream}}}:*") }
}
