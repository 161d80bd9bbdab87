//! The keys of tokens. Secrets stand one on a line of a file; public keys in a JSON Web Key Set
//! (RFC 7517).

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use serde_json::Value;

use super::crypto;

/// HS256 wants a key as long as its hash (RFC 7518, 3.2).
const MIN_SECRET_BYTES: usize = 32;
/// A token without the name of its key is checked with each.
const MAX_KEYS: usize = 32;

/// Keys in the order of their file.
#[derive(Debug)]
pub(crate) struct Keys(Vec<Key>);

pub(super) struct Key {
    pub(super) kid: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) check: DecodingKey,
    /// Of a secret.
    sign: Option<EncodingKey>,
}

impl std::fmt::Debug for Key {
    /// Without what is secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("kid", &self.kid).field("algorithm", &self.algorithm).finish()
    }
}

impl Keys {
    /// One key on each line: `SECRET`, or `NAME SECRET`. Empty lines and such that begin with `#`
    /// are left out. The first key signs.
    ///
    /// # Errors
    /// What is wrong, to follow the file's name. It shows no secret.
    pub(crate) fn from_lines(text: &str) -> Result<Self, String> {
        let mut keys = Vec::new();
        let lines = text.lines().map(str::trim).enumerate();
        for (at, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (kid, secret) = match words[..] {
                [secret] => (None, secret),
                [kid, secret] => (Some(kid.to_owned()), secret),
                _ => return Err(format!("line {} is not `SECRET` or `NAME SECRET`", at + 1)),
            };
            if secret.len() < MIN_SECRET_BYTES {
                return Err(format!(
                    "the secret in line {} has fewer than {MIN_SECRET_BYTES} characters; \
                     `openssl rand -hex 32` makes one",
                    at + 1
                ));
            }
            keys.push(Key::secret(kid, secret.as_bytes()));
        }
        Self::checked(keys, "no key; `openssl rand -hex 32` makes one")
    }

    /// The public keys of a JSON Web Key Set that sign with RS256, ES256 or EdDSA. Others, which
    /// identity providers keep beside them, are left out.
    ///
    /// # Errors
    /// What is wrong, to follow the file's name.
    pub(crate) fn from_jwks(text: &str) -> Result<Self, String> {
        let set: Value =
            serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        let set = set.get("keys").and_then(Value::as_array).ok_or("no list `keys`")?;
        let keys =
            set.iter().filter_map(|key| Key::public(&serde_json::from_value(key.clone()).ok()?));
        // Names may be shared by keys of different kinds (RFC 7517, 4.5).
        let none = "no public key for RS256, ES256 or EdDSA; secrets belong into --auth-key-file";
        Self::counted(keys.collect(), none)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// None yet.
    pub(crate) fn none() -> Self {
        crypto::install();
        Self(Vec::new())
    }

    /// A key that nobody else knows.
    pub(crate) fn random() -> Self {
        Self(vec![Key::secret(None, &rand::random::<[u8; MIN_SECRET_BYTES]>())])
    }

    fn checked(keys: Vec<Key>, none: &str) -> Result<Self, String> {
        let named: Vec<_> = keys.iter().filter_map(|key| key.kid.as_deref()).collect();
        let twice = named.iter().enumerate().find(|(at, kid)| named[..*at].contains(kid));
        if let Some((_, kid)) = twice {
            return Err(format!("two keys have the name `{}`", kid.escape_default()));
        }
        Self::counted(keys, none)
    }

    fn counted(keys: Vec<Key>, none: &str) -> Result<Self, String> {
        crypto::install();
        match keys.len() {
            0 => Err(none.to_owned()),
            1..=MAX_KEYS => Ok(Self(keys)),
            more => Err(format!("{more} keys are too many; there may be {MAX_KEYS}")),
        }
    }

    /// Those that a token with this header may be signed with: of its algorithm, and of its name,
    /// where both have one.
    pub(super) fn fitting(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &Key> {
        self.0.iter().filter(move |key| {
            key.algorithm == algorithm
                && key.kid.as_deref().zip(kid).is_none_or(|(ours, theirs)| ours == theirs)
        })
    }

    /// Of those that are secrets, the text; that of the key that signs first.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter_map(|key| Some(key.sign.as_ref()?.as_bytes()))
    }

    /// The key that signs, and its name. `None`: all are public.
    pub(super) fn signing(&self) -> Option<(Option<&str>, &EncodingKey)> {
        self.0.iter().find_map(|key| Some((key.kid.as_deref(), key.sign.as_ref()?)))
    }
}

impl Key {
    fn secret(kid: Option<String>, secret: &[u8]) -> Self {
        crypto::install();
        let check = DecodingKey::from_secret(secret).expect("it is not empty");
        let sign = Some(EncodingKey::from_secret(secret).expect("it is not empty"));
        Self { kid, algorithm: Algorithm::HS256, check, sign }
    }

    fn public(jwk: &Jwk) -> Option<Self> {
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                Algorithm::ES256
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                Algorithm::EdDSA
            }
            _ => return None,
        };
        let signs = jwk.common.public_key_use.as_ref();
        let signs = signs.is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
        let named = jwk.common.key_algorithm.as_ref();
        // Ed25519 has two names, of which only one is known to the parser (RFC 9864).
        let named = named.is_none_or(|named| {
            named.to_string() == format!("{algorithm:?}")
                || algorithm == Algorithm::EdDSA && *named == KeyAlgorithm::UNKNOWN_ALGORITHM
        });
        let check = DecodingKey::from_jwk(jwk).ok().filter(|_| signs && named)?;
        Some(Self { kid: jwk.common.key_id.clone(), algorithm, check, sign: None })
    }
}
