//! Which of a client's candidates are taken: pure.
//!
//! Each one costs pairs to check, and probes to an address of the client's choice.

use std::collections::HashSet;

/// Of one ICE generation, in offers and trickled: browsers have about ten. Full: further ones are left out.
const MAX_CANDIDATES: usize = 32;

/// The candidates taken since the last ICE restart. A further offer repeats all that were there before it.
#[derive(Clone, Default)]
pub(super) struct RemoteCandidates {
    taken: HashSet<String>,
}

impl RemoteCandidates {
    /// An ICE restart: what was taken before is forgotten by both sides.
    pub(super) fn restart(&mut self) {
        self.taken.clear();
    }

    /// Whether to take a candidate: it is new, and there is room.
    pub(super) fn take(&mut self, line: &str) -> bool {
        // Foundation, priority and extensions may differ between an offer and a trickled candidate: what counts is
        // component, protocol, address and port (RFC 8839, section 5.1).
        let fields: Vec<&str> = line.split_whitespace().take(6).collect();
        let [_, component, protocol, _, address, port] = fields[..] else { return false };
        let path = [component, protocol, address, port].join(" ").to_ascii_lowercase();
        self.taken.len() < MAX_CANDIDATES && self.taken.insert(path)
    }

    /// The offer with those candidates that are to be taken.
    pub(super) fn of_offer(&mut self, sdp: &str) -> String {
        let wanted = |line: &&str| line.strip_prefix("a=candidate:").is_none_or(|line| self.take(line));
        sdp.split_inclusive('\n').filter(wanted).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(port: usize) -> String {
        format!("candidate:1 1 udp 2122260223 192.0.2.1 {port} typ host generation 0")
    }

    #[test]
    fn one_generation_has_room_for_so_many_and_no_more() {
        let mut candidates = RemoteCandidates::default();
        let offer: String = (0..100).map(|port| format!("a={}\r\n", line(port))).collect();
        let offer = format!("v=0\r\na=mid:0\r\n{offer}a=end-of-candidates\r\n");
        let taken = candidates.of_offer(&offer);
        assert_eq!(taken.matches("a=candidate:").count(), MAX_CANDIDATES);
        assert!(taken.starts_with("v=0\r\na=mid:0\r\n") && taken.ends_with("a=end-of-candidates\r\n"));
        assert!(!candidates.take(&line(200)));
        candidates.restart();
        assert!(candidates.take(&line(200)));
    }

    #[test]
    fn what_is_repeated_takes_no_room() {
        let mut candidates = RemoteCandidates::default();
        for _ in 0..100 {
            candidates.of_offer(&format!("a={}\r\n", line(1)));
        }
        assert!(!candidates.take("candidate:9 1 UDP 1 192.0.2.1 1 typ host ufrag abcd"));
        assert!(!candidates.take("candidate:short"));
        assert_eq!((2..100).filter(|port| candidates.take(&line(*port))).count(), MAX_CANDIDATES - 1);
    }
}
