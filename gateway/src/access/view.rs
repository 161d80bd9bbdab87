//! What stands for a session in a link to watch it. It is encrypted with the cluster's key: each
//! gateway reads session and stream in it and finds the owner, nobody else can make one, and who
//! has it does not learn the session's id, which may be all that its client has to show.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::{hkdf, hmac};

use super::keys::Keys;

/// The longest that is read, in characters: an id of 128 bytes, a stream's name of 64 and a nonce
/// of 16, with what encryption adds, are 318.
const MAX_CHARS: usize = 330;

/// A session that may be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    /// The session's id.
    pub(crate) session: String,
    /// The nonce in its token: a client may choose the same id again, and a link is for one
    /// session.
    /// Empty for a broadcast.
    pub(crate) nonce: String,
    pub(crate) stream: String,
}

/// The keys of one secret of the cluster.
struct ViewKeys {
    seal: LessSafeKey,
    nonces: hmac::Key,
}

impl ViewKeys {
    /// Others than those that sign tokens (RFC 5869).
    fn of(secret: &[u8]) -> Self {
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, b"reframe view").extract(secret);
        let seal = secret.expand(&[b"seal"], &AES_256_GCM).expect("32 bytes are few");
        let nonces = secret.expand(&[b"nonce"], hmac::HMAC_SHA256).expect("32 bytes are few");
        Self { seal: LessSafeKey::new(UnboundKey::from(seal)), nonces: nonces.into() }
    }

    /// Made from what is encrypted: so that a session's link is the same each time, and two
    /// different ones have the same nonce as rarely as if it were random.
    fn nonce(&self, plain: &[u8]) -> [u8; NONCE_LEN] {
        let signed = hmac::sign(&self.nonces, plain);
        signed.as_ref()[..NONCE_LEN].try_into().expect("a hash is longer")
    }
}

impl View {
    /// # Panics
    /// When all keys are public, which those of a cluster are not.
    pub(crate) fn seal(&self, keys: &Keys) -> String {
        let keys = ViewKeys::of(keys.secrets().next().expect("the cluster's keys are secrets"));
        let Self { stream, nonce, session } = self;
        let mut text = format!("{stream}/{nonce}/{session}").into_bytes();
        let nonce = keys.nonce(&text);
        let sealing = Nonce::assume_unique_for_key(nonce);
        keys.seal.seal_in_place_append_tag(sealing, Aad::empty(), &mut text).expect("it is short");
        URL_SAFE_NO_PAD.encode([&nonce[..], &text].concat())
    }

    /// `None`: no gateway with one of these keys has made it.
    pub(crate) fn open(text: &str, keys: &Keys) -> Option<Self> {
        if text.len() > MAX_CHARS {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        keys.secrets().find_map(|secret| {
            let (mut text, nonce) = (sealed.to_vec(), Nonce::assume_unique_for_key(*nonce));
            let opened = ViewKeys::of(secret).seal.open_in_place(nonce, Aad::empty(), &mut text);
            // No stream's name and no nonce has a slash.
            let mut parts = std::str::from_utf8(opened.ok()?).ok()?.splitn(3, '/');
            let mut part = || parts.next().map(str::to_owned);
            let (stream, nonce, session) = (part()?, part()?, part()?);
            Some(Self { session, nonce, stream })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> View {
        View { session: "8Z!~".into(), nonce: "n0nce".into(), stream: "flip".into() }
    }

    fn keys(lines: &[&str]) -> Keys {
        Keys::from_lines(&lines.iter().map(|letter| letter.repeat(32) + "\n").collect::<String>())
            .unwrap()
    }

    #[test]
    fn each_gateway_of_the_cluster_opens_it_and_it_is_the_same_each_time() {
        let (old, both, new) = (keys(&["o"]), keys(&["n", "o"]), keys(&["n"]));
        let text = view().seal(&old);
        assert_eq!(text, view().seal(&old));
        assert_eq!(View::open(&text, &old), Some(view()));
        assert_eq!(View::open(&text, &both), Some(view()), "keys are being changed");
        assert_eq!(View::open(&text, &new), None);
        assert_ne!(view().seal(&new), text);
        assert_ne!(View { session: "8Z!".into(), ..view() }.seal(&old), text);
        assert_ne!(View { nonce: "other".into(), ..view() }.seal(&old), text);
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    }

    #[test]
    fn what_was_cut_or_changed_is_none() {
        let keys = keys(&["k"]);
        let text = view().seal(&keys);
        for end in 0..text.len() {
            assert_eq!(View::open(&text[..end], &keys), None, "{end} characters of it");
            let other = if &text[end..=end] == "A" { "B" } else { "A" };
            let changed = [&text[..end], other, &text[end + 1..]].concat();
            // The last character may have bits that mean nothing.
            assert!(View::open(&changed, &keys).is_none() || end + 1 == text.len(), "{changed}");
        }
        assert_eq!(View::open(&format!("{text}A"), &keys), None);
        assert_eq!(View::open(&"A".repeat(100_000), &keys), None);
        assert_eq!(View::open("", &keys), None);
    }

    #[test]
    fn the_longest_session_has_one() {
        let keys = Keys::random();
        let nonce = "n".repeat(16);
        let longest = View { session: "s".repeat(128), nonce, stream: "n".repeat(64) };
        let text = longest.seal(&keys);
        assert!(text.len() <= MAX_CHARS, "{}", text.len());
        assert_eq!(View::open(&text, &keys), Some(longest));
    }
}
