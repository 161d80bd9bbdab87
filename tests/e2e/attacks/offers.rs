//! Offers that are large, and many that are.

use reframe_tests::attacker::attacks::offers::{ANSWERED, huge, renegotiate};
use reframe_tests::attacker::attacks::unique;
use reframe_tests::attacker::offer::Offer;

use super::*;

/// Sections, payload types of one, lines and bytes are bounded, and the refusal says which it was.
#[test]
fn what_no_browser_offers_is_refused_by_its_bound() {
    let mut cluster = Cluster::launch("flip");
    let judge = Judge::sit(&cluster);
    let offer = || Offer::new(unique("large"));
    let cases = [
        ("sections", "8", Offer { more_sections: 8, ..offer() }),
        ("payload types", "128", Offer { more_payload_types: 128, ..offer() }),
        ("lines", "lines", Offer { more_lines: 4_000, ..offer() }),
        ("2400 sections", "", huge(2_400)),
    ];
    for (what, bound, offer) in cases {
        let busy = cluster.gateway.cpu_time();
        let reply = offer.post(&cluster.page("")).expect_err(what);
        let busy = cluster.gateway.cpu_time() - busy;
        assert!(matches!(reply.status, 400 | 413), "{what}: {reply:?}");
        let body = reply.json();
        let message = body["meta"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(bound) && !message.is_empty(), "{what}: {reply:?}");
        assert!(reply.body.len() < 2_000, "{what}: {} bytes back", reply.body.len());
        assert!(busy < Duration::from_millis(200), "{what}: {busy:?} of CPU");
    }
    assert_eq!(cluster.sessions(), 1.0, "none of them took a slot");
    conclude(&mut cluster, &judge);
}

/// 34 requests were enough.
#[test]
fn clients_that_only_renegotiate_disturb_nobody() {
    const CLIENTS: usize = 4;
    const REQUESTS: usize = 12;
    let mut cluster = Cluster::launch("flip");
    let judge = Judge::sit(&cluster);
    for sections in [2, 2_400] {
        let counts = renegotiate(&cluster.page(""), CLIENTS, REQUESTS, sections).expect("sessions");
        let answered = counts.get(&ANSWERED).copied().unwrap_or_default();
        assert!(answered < CLIENTS * REQUESTS, "all are answered: {counts:?}");
        assert!(counts.keys().all(|status| [ANSWERED, 200, 400, 413, 429, 503].contains(status)), "{counts:?}");
    }
    conclude(&mut cluster, &judge);
}
