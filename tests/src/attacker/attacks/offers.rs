//! At the door: offers that are large, many, or never meant.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::attacker::Attacker;
use crate::attacker::dtls::AEAD;
use crate::attacker::offer::Offer;
use crate::http::Reply;
use crate::wait::for_time;

/// How many offers were answered (200 and SDP), and the rest by status.
pub type Counts = BTreeMap<u16, usize>;
/// The key of those that were answered.
pub const ANSWERED: u16 = 0;

/// An offer with so many video sections beyond the first; 2 400 have 200 kB.
#[must_use]
pub fn huge(sections: usize) -> Offer {
    Offer { more_sections: sections, ..Offer::new(super::unique("huge")) }
}

/// `clients` that connect and then offer further `requests` times each, as large as `sections` make it, all at once.
///
/// # Errors
/// One of them had no session.
///
/// # Panics
/// When a thread of it does.
pub fn renegotiate(page: &str, clients: usize, requests: usize, sections: usize) -> Result<Counts, String> {
    let one = |n: usize| {
        let first = Offer::new(super::unique(&format!("again-{n}")));
        let mut attacker = Attacker::connect(page, first.clone(), AEAD, super::PATIENCE)?;
        let mut counts = Counts::new();
        for n in 0..requests {
            let further = Offer { more_sections: sections + n % 2, ..first.clone() };
            count(&mut counts, further.post(page).map(drop));
            attacker.stay(Duration::from_millis(10));
        }
        Ok::<_, String>(counts)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|n| scope.spawn(move || one(n))).collect();
        threads.into_iter().try_fold(Counts::new(), |mut all, thread| {
            for (status, count) in thread.join().expect("it does not panic")? {
                *all.entry(status).or_default() += count;
            }
            Ok(all)
        })
    })
}

/// Offers at `rate` a second for `time`, of which none is ever followed by a packet.
#[must_use]
pub fn half_open(page: &str, rate: f64, time: Duration) -> Counts {
    let (began, mut counts, mut made) = (Instant::now(), Counts::new(), 0.0);
    while began.elapsed() < time {
        let due = began + Duration::from_secs_f64(made / rate);
        for_time(due.saturating_duration_since(Instant::now()));
        count(&mut counts, Offer::new(super::unique("half")).post(page).map(drop));
        made += 1.0;
    }
    counts
}

/// ICE restarts of one session that never connects, as fast as they are answered, for `time` and at most `most` times.
///
/// # Errors
/// The first offer was refused.
pub fn restart(page: &str, most: usize, time: Duration) -> Result<Counts, String> {
    let offer = Offer::new(super::unique("restart"));
    offer.post(page).map_err(|reply| format!("{reply:?}"))?;
    let (began, mut counts) = (Instant::now(), Counts::new());
    for _ in 0..most {
        if began.elapsed() > time {
            break;
        }
        count(&mut counts, offer.restarted().post(page).map(drop));
    }
    Ok(counts)
}

fn count(counts: &mut Counts, reply: Result<(), Reply>) {
    let status = reply.map_or_else(|reply| reply.status.max(1), |()| ANSWERED);
    *counts.entry(status).or_default() += 1;
}
