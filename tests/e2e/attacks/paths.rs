//! Below DTLS: whoever does not know the password is nobody, and nobody is spoken to first.

use reframe_tests::attacker::Attacker;
use reframe_tests::attacker::attacks::paths::{Victim, confuse, forged_checks, reflect};
use reframe_tests::attacker::attacks::{associated, offers, unique};
use reframe_tests::attacker::offer::Offer;

use super::*;

/// From an address that media comes from, as whoever writes its address on his own packets can.
#[test]
fn checks_that_nobody_signed_are_not_acted_on() {
    let mut cluster = Cluster::launch("flip");
    let judge = Judge::sit(&cluster);
    for setup in SETUPS {
        let (mut attacker, association) = associated(&cluster.page(""), &unique(setup), setup).expect("a session");
        let seen = confuse(&mut attacker, 10);
        assert_eq!((seen.successes, seen.refusals), (0, 0), "answered: {seen:?}");
        assert!(attacker.answers(association, PATIENCE).is_ok_and(|answers| answers), "its own session is over");
        attacker.reach(PATIENCE).expect("signed ones are answered as ever");
    }
    for _ in 0..20 {
        for check in forged_checks(None) {
            judge.peers[0].send_datagram(check);
        }
        let seen = judge.peers[0].stats().received.len();
        judge.peers[0].wait_received(seen + 2, PATIENCE);
    }
    conclude(&mut cluster, &judge);
}

#[test]
fn an_address_that_never_spoke_hears_nothing() {
    let mut cluster = Cluster::launch("flip");
    let judge = Judge::sit(&cluster);
    let (victim, time) = (Victim::bind(), Duration::from_secs(2));
    assert_eq!(reflect(&cluster.page(""), &victim, time), Ok(0), "datagrams to a stranger");
    // Nor by the further offers of a session.
    let offer = Offer { candidates: vec![victim.address(); 8], ..Offer::new(unique("restart")) };
    let attacker = Attacker::offer(&cluster.page(""), offer).expect("an answer");
    for _ in 0..20 {
        // Refused is as good.
        drop(attacker.offer.restarted().post(&cluster.page("")));
    }
    assert_eq!(victim.datagrams(Duration::from_secs(2)), 0, "datagrams to a stranger");
    conclude(&mut cluster, &judge);
}

/// A session that never connects has the burst of four, one more each second, and no more than a life's worth.
#[test]
fn ice_restarts_are_bounded() {
    let mut cluster = Cluster::launch("flip");
    let judge = Judge::sit(&cluster);
    let counts = offers::restart(&cluster.page(""), 2_000, Duration::from_secs(6)).expect("an answer");
    let answered = counts.get(&offers::ANSWERED).copied().unwrap_or_default();
    assert!(answered <= 4 + 7, "{answered} answered within 6 s: {counts:?}");
    conclude(&mut cluster, &judge);
}
