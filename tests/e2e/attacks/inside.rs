//! Inside DTLS, in both of its roles: SCTP that no sound peer sends.

use reframe_tests::attacker::Attacker;
use reframe_tests::attacker::association::Association;
use reframe_tests::attacker::attacks::inside::{jumps, long_cause, many_gaps, many_inits, walk_through_the_zoo};
use reframe_tests::attacker::attacks::{associated, unique};
use reframe_tests::attacker::dtls::{AEAD, CBC};
use reframe_tests::attacker::offer::Offer;
use reframe_tests::attacker::sctp::{ABORT, ERROR};
use reframe_tests::source::{Format, Video};

use super::*;

/// What an attack has to take effect.
const EFFECT: Duration = Duration::from_secs(3);

fn session(cluster: &Cluster, setup: &'static str) -> (Attacker, Association) {
    associated(&cluster.page(""), &unique(setup), setup).expect("a session")
}

/// As [`session`]s that send `chunks` once and are there for a while.
fn sessions(cluster: &Cluster, chunks: impl Fn(Association) -> Vec<Vec<u8>>) {
    let mut all = SETUPS.map(|setup| session(cluster, setup));
    for (attacker, association) in &mut all {
        attacker.chunks(*association, &chunks(*association)).expect("DTLS stands");
    }
    for (attacker, _) in &mut all {
        attacker.stay(EFFECT);
    }
}

/// Each is up to 2^31 turns of a loop on a thread that moves everybody's packets.
#[test]
fn a_forward_tsn_of_twenty_bytes_stops_nobody() {
    let mut cluster = Cluster::launch("flip");
    let judge = Judge::sit(&cluster);
    sessions(&cluster, |association| jumps(association, 1));
    conclude(&mut cluster, &judge);
}

#[test]
fn a_hundred_forward_tsns_in_a_packet_stop_nobody() {
    let mut cluster = Cluster::launch("flip");
    let judge = Judge::sit(&cluster);
    sessions(&cluster, |association| jumps(association, 100));
    conclude(&mut cluster, &judge);
}

/// Each ends, or would, what runs its connection; then nobody but the gateway itself can end its session.
#[test]
fn a_cause_longer_than_its_chunk_costs_no_slot() {
    let mut cluster = Cluster::launch_with("flip", &["--capacity", "9"]);
    let judge = Judge::sit(&cluster);
    for n in 0..8 {
        let (mut attacker, association) = session(&cluster, SETUPS[n % 2]);
        let kind = if n < 4 { ERROR } else { ABORT };
        attacker.chunks(association, &[long_cause(kind)]).expect("DTLS stands");
    }
    conclude(&mut cluster, &judge);
    // All of them, to honest people.
    let mut peers: Vec<_> =
        (0..8).map(|n| connect(&cluster, &format!("then-{n}"), Video::Live(Format::SMALL))).collect();
    peers.iter().for_each(|peer| peer.wait_received(3, PATIENCE));
    peers.iter_mut().for_each(Peer::close);
}

/// CBC's records are not seen by what looks into those of AEAD.
#[test]
fn what_is_not_authenticated_before_it_is_decrypted_is_not_spoken() {
    let mut cluster = Cluster::launch("flip");
    let judge = Judge::sit(&cluster);
    for setup in SETUPS {
        let connect = |ciphers: &str, patience: Duration| {
            let offer = Offer { setup, ..Offer::new(unique(setup)) };
            Attacker::connect(&cluster.page(""), offer, ciphers, patience)
        };
        connect(AEAD, PATIENCE).unwrap_or_else(|error| panic!("{setup}: {error}"));
        let refused = connect(CBC, EFFECT).map(|attacker| attacker.seen);
        assert!(refused.as_ref().is_err_and(|error| !error.starts_with("offer")), "{setup}: {refused:?}");
    }
    conclude(&mut cluster, &judge);
}

#[test]
fn packets_of_no_sound_peer_disturb_nobody() {
    let mut cluster = Cluster::launch("flip");
    let judge = Judge::sit(&cluster);
    for setup in SETUPS {
        let said = walk_through_the_zoo(&cluster.page(""), &unique(setup), setup);
        assert!(said.as_ref().is_ok_and(|said| *said > 0), "{said:?}");
    }
    conclude(&mut cluster, &judge);
    let log = cluster.gateway.log();
    assert!(!log.contains("panicked"), "{log}");
}

/// A session has one association; the stack would make another of each INIT, and look at all of them for each packet.
#[test]
fn further_associations_are_not_made() {
    const INITS: u32 = 4_000;
    let mut cluster = Cluster::launch("flip");
    let judge = Judge::sit(&cluster);
    for setup in SETUPS {
        let (mut attacker, association) = session(&cluster, setup);
        many_inits(&mut attacker, INITS).expect("DTLS stands");
        let busy = cluster.gateway.cpu_time();
        assert!(attacker.answers(association, PATIENCE).is_ok_and(|answers| answers), "the first one is over");
        attacker.stay(EFFECT);
        let busy = cluster.gateway.cpu_time() - busy;
        // The honest stream takes a tenth of a core.
        assert!(busy < EFFECT, "{busy:?} of CPU within {EFFECT:?} after {INITS} INITs");
    }
    conclude(&mut cluster, &judge);
}

#[test]
fn gaps_and_streams_without_end_disturb_nobody() {
    let mut cluster = Cluster::launch("flip");
    let judge = Judge::sit(&cluster);
    let (mut attacker, association) = session(&cluster, SETUPS[0]);
    // An end of it is as good.
    drop(many_gaps(&mut attacker, association, 6_000));
    attacker.stay(EFFECT);
    conclude(&mut cluster, &judge);
}
