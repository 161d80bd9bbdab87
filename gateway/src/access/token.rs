//! Access tokens: JSON Web Tokens (RFC 7519) with the claims `sub`, `exp`, `nbf`, `aud` and
//! `reframe`.

use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::keys::{Key, Keys};
use super::{Action, Grant, MAX_SUBJECT_BYTES, MAX_TOKEN_BYTES, session_token};

/// Seconds that the clock of the service that minted a token may differ from ours.
const LEEWAY: f64 = 30.0;

/// The names under which this server takes tokens; `None`: it has none, and takes only tokens that
/// are for nobody in particular.
pub(crate) type Audience = Option<String>;

#[derive(Debug, Deserialize)]
struct Claims {
    sub: Option<String>,
    exp: Option<f64>,
    nbf: Option<f64>,
    aud: Option<OneOrMore>,
    reframe: Option<Rights>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// The claim `reframe`. A name that is not known is an error: a right that was misspelt would be
/// another one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rights {
    /// Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) streams: Option<Vec<String>>,
    /// Absent: `open` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) actions: Option<Vec<Action>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_sessions: Option<u32>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) inputs: Map<String, Value>,
}

/// Why this server does not accept a token. The text is for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the token has more than {MAX_TOKEN_BYTES} bytes")]
    Long,
    #[error("the token is not a JSON Web Token that is signed with HS256, RS256, ES256 or EdDSA")]
    Malformed,
    #[error("the token is signed with a key that this server does not have")]
    Signature,
    #[error("the token expired {0} s ago: ask for a new one")]
    Expired(u64),
    #[error("the token is not valid for another {0} s (`nbf`): are the clocks right?")]
    Early(u64),
    #[error("the token has no expiry: its claim `exp` is missing")]
    Endless,
    #[error("the token is for others: its claim `aud` does not name this server (--auth-audience)")]
    Audience,
    #[error("the token's claim{0}")]
    Claim(String),
}

/// What `token` allows at `now`, in seconds since 1970.
///
/// # Errors
/// Why it allows nothing.
pub(crate) fn verify(
    token: &str,
    keys: &Keys,
    audience: &Audience,
    now: u64,
) -> Result<Grant, TokenError> {
    let header = read_header(token, MAX_TOKEN_BYTES)?;
    if header.typ.as_deref() == Some(session_token::TYPE) {
        return Err(TokenError::Malformed);
    }
    let claims: Claims = signed(token, &header, keys)?;
    let (now, ends) = (now as f64, claims.exp.ok_or(TokenError::Endless)?);
    if now >= ends + LEEWAY {
        return Err(TokenError::Expired(whole(now - ends)));
    }
    if let Some(begins) = claims.nbf.filter(|begins| now < begins - LEEWAY) {
        return Err(TokenError::Early(whole(begins - now)));
    }
    let named = match &claims.aud {
        None => &[],
        Some(OneOrMore::One(one)) => std::slice::from_ref(one),
        Some(OneOrMore::More(more)) => &more[..],
    };
    let ours = match audience {
        Some(audience) => named.contains(audience),
        None => named.is_empty(),
    };
    if !ours {
        return Err(TokenError::Audience);
    }
    let rights = claims.reframe.ok_or_else(|| claim(" `reframe` is missing"))?;
    let subject = claims.sub.ok_or_else(|| claim(" `sub` is missing"))?;
    if !is_subject(&subject) {
        let wanted =
            format!(" `sub` must have 1 to {MAX_SUBJECT_BYTES} bytes without control characters");
        return Err(TokenError::Claim(wanted));
    }
    Ok(Grant {
        subject: Some(subject),
        streams: rights.streams,
        actions: rights.actions.unwrap_or_else(|| vec![Action::Open]),
        max_sessions: rights.max_sessions,
        inputs: rights.inputs,
    })
}

/// A token of `subject` from `now` on, for so many `seconds`.
///
/// # Errors
/// The subject cannot be one, the keys are all public, or the token would be too long.
pub(crate) fn mint(
    subject: &str,
    rights: &Rights,
    audience: &Audience,
    keys: &Keys,
    now: u64,
    seconds: u64,
) -> Result<String, String> {
    if !is_subject(subject) {
        return Err(format!(
            "a subject has 1 to {MAX_SUBJECT_BYTES} bytes without control characters"
        ));
    }
    let mut claims = serde_json::json!({
        "sub": subject, "iat": now, "exp": now.saturating_add(seconds), "reframe": rights,
    });
    if let Some(audience) = audience {
        claims["aud"] = audience.as_str().into();
    }
    let token = sign(&claims, "JWT", keys).ok_or("none of the keys signs")?;
    let fits = token.len() <= MAX_TOKEN_BYTES;
    fits.then_some(token).ok_or_else(|| TokenError::Long.to_string())
}

/// Whether it may be a subject: short, and of one line.
pub(crate) fn is_subject(subject: &str) -> bool {
    (1..=MAX_SUBJECT_BYTES).contains(&subject.len()) && !subject.chars().any(char::is_control)
}

/// `None`: none of the keys signs.
pub(super) fn sign<T: Serialize>(claims: &T, kind: &str, keys: &Keys) -> Option<String> {
    let (kid, key) = keys.signing()?;
    let mut header = Header::new(Algorithm::HS256);
    (header.typ, header.kid) = (Some(kind.to_owned()), kid.map(str::to_owned));
    Some(encode(&header, claims, key).expect("HS256 signs any claims"))
}

/// The header of a token, if that is no longer than this.
pub(super) fn read_header(token: &str, longest: usize) -> Result<Header, TokenError> {
    if token.len() > longest {
        return Err(TokenError::Long);
    }
    let header = decode_header(token).map_err(|_| TokenError::Malformed)?;
    // Extensions that must be understood (RFC 7515, 4.1.11); none is.
    if header.crit.is_some() { Err(TokenError::Malformed) } else { Ok(header) }
}

/// The claims, if one of the keys has signed them. Times are not looked at.
pub(super) fn signed<T: serde::de::DeserializeOwned>(
    token: &str,
    header: &Header,
    keys: &Keys,
) -> Result<T, TokenError> {
    let mut validation = Validation::new(header.alg);
    validation.required_spec_claims.clear();
    (validation.validate_exp, validation.validate_aud) = (false, false);
    let mut fitting = keys.fitting(header.kid.as_deref(), header.alg);
    let checked = |key: &Key| match decode(token, &key.check, &validation) {
        Ok(read) => Some(Ok(read.claims)),
        Err(error) => match error.kind() {
            // Another key may have signed it.
            ErrorKind::InvalidSignature => None,
            ErrorKind::Json(error) => Some(Err(claim(&format!("s are not valid: {error}")))),
            _ => Some(Err(TokenError::Malformed)),
        },
    };
    fitting.find_map(checked).unwrap_or(Err(TokenError::Signature))
}

/// Of seconds, however many a client has written.
fn whole(seconds: f64) -> u64 {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).as_secs()
}

fn claim(problem: &str) -> TokenError {
    TokenError::Claim(problem.to_owned())
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
