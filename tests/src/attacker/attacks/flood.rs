//! New offers as fast as they are answered, many at once, from one address.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rand::rngs::SmallRng;

use super::unique;
use crate::attacker::arena::Arena;
use crate::attacker::offer::Offer;
use crate::attacker::tcp::{connections, until_closed};
use crate::wait::for_time;

/// Offers under way at once: more than may wait for an answer.
const AT_ONCE: usize = 40;
/// After a refusal: two hundred offers a second, ten times of what is answered on two cores. More
/// of them would test how much time the attacker and the system's TCP leave, on this machine that
/// is theirs too.
const PAUSE: Duration = Duration::from_millis(200);
/// How long.
const TIME: Duration = Duration::from_secs(6);
/// Answers that make a flood.
const MANY: usize = 100;

/// Newcomers from another address are served meanwhile, and theirs is not the session that has to
/// go.
pub(super) fn offer_flood(arena: &mut Arena, _: &mut SmallRng) -> Result<String, String> {
    let (over, answered, refused) =
        (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let flood = || {
        while !over.load(Ordering::Relaxed) {
            let body = Offer::new(unique("flood")).body();
            let head = format!(
                "POST /webrtc/offer HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n{body}",
                arena.public,
                body.len()
            );
            let connection = connections(arena.public, [127, 0, 0, 2], 1).pop();
            // Closed already: it was one too many.
            let reply = connection.and_then(|mut connection| {
                connection.write_all(head.as_bytes()).ok()?;
                until_closed(connection).ok()
            });
            if reply.is_some_and(|reply| reply.starts_with("HTTP/1.1 200")) {
                answered.fetch_add(1, Ordering::Relaxed);
            } else {
                refused.fetch_add(1, Ordering::Relaxed);
                for_time(PAUSE);
            }
        }
    };
    let newcomers = std::thread::scope(|scope| {
        (0..AT_ONCE).for_each(|_| drop(scope.spawn(flood)));
        let waited = scope.spawn(|| for_time(TIME));
        let mut newcomers = Ok(0);
        while !waited.is_finished() && newcomers.is_ok() {
            newcomers = newcomers.and_then(|count| arena.newcomer().map(|()| count + 1));
        }
        over.store(true, Ordering::Relaxed);
        newcomers
    });
    let [answered, refused] = [answered, refused].map(AtomicUsize::into_inner);
    if answered < MANY || refused == 0 {
        return Err(format!("no flood: {answered} offers answered, {refused} refused"));
    }
    Ok(format!("{answered} offers answered, {refused} refused, {} newcomers served", newcomers?))
}
