//! Which of a client's candidates the stack is given: pure.
//!
//! By default none: the stack would send checks to whatever address a stranger names. It learns a
//! browser's addresses from the checks that come from there.

use std::collections::HashSet;

use crate::browser::net::CandidatePolicy;

/// Of one ICE generation, in offers and trickled: browsers have about ten. Full: further ones are
/// left out.
const MAX_CANDIDATES: usize = 10;

/// The candidates taken since the last ICE restart. A further offer repeats all that were there
/// before it.
#[derive(Clone, Default)]
pub(super) struct RemoteCandidates {
    policy: CandidatePolicy,
    taken: HashSet<String>,
}

impl RemoteCandidates {
    pub(super) fn new(policy: CandidatePolicy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// An ICE restart: what was taken before is forgotten by both sides.
    pub(super) fn restart(&mut self) {
        self.taken.clear();
    }

    /// Whether to take a candidate: its address may be asked, it is new, and there is room. One for
    /// RTCP (component 2) is of no use: RTP and RTCP share one port.
    pub(super) fn take(&mut self, line: &str) -> bool {
        // Foundation, priority and extensions may differ between an offer and a trickled candidate:
        // what counts is protocol, address and port (RFC 8839, section 5.1).
        let fields: Vec<&str> = line.split_whitespace().take(6).collect();
        let [_, component, protocol, _, address, port] = fields[..] else { return false };
        let path = [protocol, address, port].join(" ").to_ascii_lowercase();
        component == "1"
            && self.policy.admits(protocol, address, port)
            && self.taken.len() < MAX_CANDIDATES
            && self.taken.insert(path)
    }

    /// The offer with those candidates that are to be taken.
    pub(super) fn of_offer(&mut self, sdp: &str) -> String {
        let wanted =
            |line: &&str| line.strip_prefix("a=candidate:").is_none_or(|line| self.take(line));
        sdp.split_inclusive('\n').filter(wanted).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(port: usize) -> String {
        format!("candidate:1 1 udp 2122260223 192.0.2.1 {port} typ host generation 0")
    }

    fn offer() -> String {
        let candidates: String =
            (50_000..50_100).map(|port| format!("a={}\r\n", line(port))).collect();
        format!("v=0\r\na=mid:0\r\n{candidates}a=end-of-candidates\r\n")
    }

    fn any() -> RemoteCandidates {
        RemoteCandidates::new(CandidatePolicy::any())
    }

    #[test]
    fn by_default_none_is_taken() {
        let mut candidates = RemoteCandidates::default();
        assert_eq!(candidates.of_offer(&offer()), "v=0\r\na=mid:0\r\na=end-of-candidates\r\n");
        assert!(!candidates.take(&line(50_000)));
    }

    #[test]
    fn one_generation_has_room_for_so_many_and_no_more() {
        let mut candidates = any();
        let taken = candidates.of_offer(&offer());
        assert_eq!(taken.matches("a=candidate:").count(), MAX_CANDIDATES);
        assert!(
            taken.starts_with("v=0\r\na=mid:0\r\n") && taken.ends_with("a=end-of-candidates\r\n")
        );
        assert!(!candidates.take(&line(60_000)));
        candidates.restart();
        assert!(candidates.take(&line(60_000)));
    }

    #[test]
    fn what_is_repeated_or_refused_takes_no_room() {
        let mut candidates = any();
        for _ in 0..100 {
            candidates.of_offer(&format!("a={}\r\n", line(50_000)));
            assert!(!candidates.take(&line(53)));
            assert!(!candidates.take(&line(50_001).replace("candidate:1 1", "candidate:1 2")));
        }
        assert!(!candidates.take("candidate:9 1 UDP 1 192.0.2.1 50000 typ host ufrag abcd"));
        assert!(!candidates.take("candidate:short"));
        assert_eq!(
            (50_001..50_100).filter(|port| candidates.take(&line(*port))).count(),
            MAX_CANDIDATES - 1
        );
    }
}
