use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::json;

use super::*;
use crate::access::Forbidden;

const NOW: u64 = 1_000_000;
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The modulus of an RSA key, and a token that `openssl dgst -sha256 -sign` signed with it: of
/// `ada`, for `other` and `video`, until `NOW + 60`.
const RSA: &str = concat!(
    "pZCIyflP-B7VM2jH7O5MUpA8U15b7O661OIz-jt0eF44__ikbTGbSZ4M-g09bLYXiP0IU3SNqIK4oC_MEd7HEI-ZUh",
    "_Ekgi-j9t6PIoOM8LPsYZV40cVGucAVC8YU6gHIytIjEC7F3HZKbFsa47DLGiEV9q6AtGio_ggt-gv_u8yWVwh4VM8",
    "-xYkPqJj9_TKGtNfCJF7phZFpfKCqpqzWQB89ZhBVQkEmYjFZr6uqP6Jn_8fQg_ucwvi_zNHZVMsuH6txdtwbDIvw8",
    "8rHl0UW66K9ZFH8XU3U3CXet6w0mZv0pIkjDVHG8qIktH_XUUknTUXhOdYCSg7aMqpXxXZBw",
);
const SIGNED_WITH_RSA: &str = concat!(
    "eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhZGEiLCJleHAiOjEwMDAwNjAsI",
    "mF1ZCI6WyJvdGhlciIsInZpZGVvIl0sInJlZnJhbWUiOnsic3RyZWFtcyI6WyJmbGlwIl19fQ.Po2tWJCnPO3aMqwv",
    "TBhxkGcmrlfx3YKFubD8uvZxiPxA5e0V17zd-MHmfTMjiuDSiyBTRtmxF03QRyrNsDKnZbUctgRLN65lg8GoHthBbv",
    "2PBNkT9L0pU8xI-eiysUhTxWLvNFTNjwpRNipOxdolqDRLH7UAJUG1Xq_xiL28F_5jMjbgH1o1t2-DiYqruz85R4fJ",
    "LwGujP0sg3aXbazkbBWXcu0W7fkVNEKnFMXoAAHa2t6JFHA4bZNIIrlLhRVivQiFHXxhFEUAw0v0P9CWdoi5WcW2nl",
    "RktnmXLhDZwoMS8e1m1Dqlu8gMmxoweBH1Mviamg5ibk_zpw0UqwSMCg",
);

fn keys() -> Keys {
    Keys::from_lines(SECRET).unwrap()
}

fn checked(token: &str, keys: &Keys) -> Result<Grant, TokenError> {
    verify(token, keys, &None, NOW)
}

/// A token with these claims, signed with HS256 and our secret.
fn token(claims: Value) -> String {
    sign(&claims, "JWT", &keys()).unwrap()
}

/// `header.claims`, encoded, and no signature.
fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

fn good() -> Value {
    json!({ "sub": "ada", "exp": NOW + 60, "reframe": {} })
}

#[test]
fn what_is_minted_is_taken_with_its_rights() {
    let rights = json!({
        "streams": ["flip", "edges"], "actions": ["open", "set"], "max_sessions": 2, "inputs": { "angle": 90 },
    });
    let rights: Rights = serde_json::from_value(rights).unwrap();
    let token = mint("ada", &rights, &None, &keys(), NOW, 60).unwrap();
    let grant = checked(&token, &keys()).unwrap();
    assert_eq!((grant.subject.as_deref(), grant.max_sessions), (Some("ada"), Some(2)));
    assert_eq!(grant.inputs["angle"], 90);
    assert_eq!(grant.may(Action::Open, "edges"), Ok(()));
    assert_eq!(grant.may(Action::Read, "edges"), Err(Forbidden::Action(Action::Read)));
    assert_eq!(grant.may(Action::Open, "ticker"), Err(Forbidden::Stream));
}

#[test]
fn rights_that_nothing_needs_yet_are_no_others() {
    for action in ["view", "record"] {
        let claims = json!({ "sub": "ada", "exp": NOW + 60, "reframe": { "actions": [action] } });
        let grant = checked(&token(claims), &keys()).unwrap();
        assert!(grant.sees("flip"));
        let refused = grant.may(Action::Open, "flip").unwrap_err().to_string();
        assert_eq!(refused, "the token does not allow `open`: its `actions` must name it");
        for other in [Action::Open, Action::Set, Action::Read] {
            assert_eq!(grant.may(other, "flip"), Err(Forbidden::Action(other)));
        }
    }
}

#[test]
fn a_token_without_rights_opens_every_stream_and_no_more() {
    let grant = checked(&token(good()), &keys()).unwrap();
    assert_eq!(grant.may(Action::Open, "any"), Ok(()));
    for action in [Action::View, Action::Set, Action::Read, Action::Record] {
        assert_eq!(grant.may(action, "any"), Err(Forbidden::Action(action)));
    }
}

#[test]
fn times_are_ours_with_half_a_minute_of_patience() {
    let of = |claims: Value| checked(&token(claims), &keys()).map(|_| ());
    let with = |name: &str, value: Value| {
        let mut claims = good();
        claims[name] = value;
        of(claims)
    };
    assert_eq!(with("exp", json!(NOW - 29)), Ok(()));
    assert_eq!(with("exp", json!(NOW as f64 - 28.5)), Ok(()));
    assert_eq!(with("exp", json!(NOW - 30)), Err(TokenError::Expired(30)));
    assert_eq!(with("nbf", json!(NOW + 30)), Ok(()));
    assert_eq!(with("nbf", json!(NOW + 120)), Err(TokenError::Early(120)));
    assert_eq!(with("exp", Value::Null), Err(TokenError::Endless));
    for wrong in [json!("1000060"), json!([NOW + 60]), json!({})] {
        assert!(matches!(with("exp", wrong.clone()), Err(TokenError::Claim(_))), "{wrong}");
        assert!(matches!(with("nbf", wrong.clone()), Err(TokenError::Claim(_))), "{wrong}");
    }
}

#[test]
fn claims_that_are_wrong_are_named() {
    for (name, value, problem) in [
        ("sub", Value::Null, "`sub` is missing"),
        ("sub", json!(""), "`sub` must have 1 to 256"),
        ("sub", json!("x".repeat(257)), "`sub` must have 1 to 256"),
        ("sub", json!("a\nb"), "`sub` must have 1 to 256"),
        ("reframe", Value::Null, "`reframe` is missing"),
        ("reframe", json!({ "stream": ["flip"] }), "unknown field `stream`"),
        ("reframe", json!({ "actions": ["steal"] }), "unknown variant `steal`"),
        ("reframe", json!({ "max_sessions": -1 }), "invalid value"),
        ("reframe", json!({ "inputs": [] }), "invalid type"),
    ] {
        let mut claims = good();
        claims[name] = value;
        let error = checked(&token(claims.clone()), &keys()).unwrap_err();
        assert!(error.to_string().contains(problem), "{claims}: {error}");
    }
}

#[test]
fn an_audience_must_be_ours() {
    let video = Some("video".to_owned());
    for (aud, audience, taken) in [
        (Value::Null, &None, true),
        (Value::Null, &video, false),
        (json!("video"), &video, true),
        (json!(["other", "video"]), &video, true),
        (json!("video"), &None, false),
        (json!(["other"]), &video, false),
        (json!([]), &video, false),
    ] {
        let mut claims = good();
        claims["aud"] = aud.clone();
        let taken_now = verify(&token(claims), &keys(), audience, NOW);
        let wanted = if taken { Ok(()) } else { Err(TokenError::Audience) };
        assert_eq!(taken_now.map(|_| ()), wanted, "{aud} for {audience:?}");
    }
    let minted = mint("ada", &Rights::default(), &video, &keys(), NOW, 60).unwrap();
    assert!(verify(&minted, &keys(), &video, NOW).is_ok());
}

#[test]
fn other_keys_and_other_signatures_are_refused() {
    let other = Keys::from_lines(&"x".repeat(32)).unwrap();
    assert_eq!(checked(&token(good()), &other), Err(TokenError::Signature));
    let named = |names: &str| Keys::from_lines(names).unwrap();
    let token = sign(&good(), "JWT", &named(&format!("first {SECRET}"))).unwrap();
    assert!(checked(&token, &keys()).is_ok(), "our key has no name");
    assert!(checked(&token, &named(&format!("new {}\nfirst {SECRET}", "y".repeat(32)))).is_ok());
    let renamed = named(&format!("second {SECRET}"));
    assert_eq!(checked(&token, &renamed), Err(TokenError::Signature));
    for header in [
        json!({ "alg": "none" }),
        json!({ "alg": "HS512" }),
        json!({ "alg": "HS256", "crit": ["b64"], "b64": false }),
        json!({ "typ": "JWT" }),
        json!([]),
    ] {
        let message = unsigned(&header, &good());
        for signature in ["", "AAAA"] {
            let refused = checked(&format!("{message}.{signature}"), &keys()).unwrap_err();
            let known = [TokenError::Malformed, TokenError::Signature];
            assert!(known.contains(&refused), "{header}: {refused:?}");
        }
    }
    for broken in ["", "a", "a.b", "a.b.c", "a.b.c.d", "\u{0}..", "é.é.é"] {
        assert_eq!(checked(broken, &keys()), Err(TokenError::Malformed), "{broken}");
    }
    assert_eq!(checked(&"x".repeat(MAX_TOKEN_BYTES + 1), &keys()), Err(TokenError::Long));
}

#[test]
fn public_keys_check_what_their_private_ones_signed() {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random);
    let ec = ec.unwrap();
    let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let ed = Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap();
    let (point, public) = (ec.public_key().as_ref(), ed.public_key().as_ref());
    let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let set = json!({ "keys": [
        { "kty": "RSA", "kid": "rsa", "use": "sig", "alg": "RS256", "n": RSA, "e": "AQAB" },
        { "kty": "RSA", "kid": "encrypts", "use": "enc", "n": RSA, "e": "AQAB" },
        { "kty": "EC", "kid": "ec", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..]) },
        { "kty": "OKP", "kid": "ed", "crv": "Ed25519", "alg": "Ed25519", "x": b64(public) },
        { "kty": "oct", "kid": "secret", "k": b64(SECRET.as_bytes()) },
        { "kty": "from the future", "kid": "new" },
    ] });
    let keys = Keys::from_jwks(&set.to_string()).unwrap();
    let video = Some("video".to_owned());
    let grant = verify(SIGNED_WITH_RSA, &keys, &video, NOW).unwrap();
    assert_eq!(grant.may(Action::Open, "flip"), Ok(()));
    let (head, signature) = SIGNED_WITH_RSA.rsplit_once('.').unwrap();
    let broken =
        format!("{head}.{}{}", if signature.starts_with('A') { "B" } else { "A" }, &signature[1..]);
    assert_eq!(verify(&broken, &keys, &video, NOW), Err(TokenError::Signature));

    let message = unsigned(&json!({ "alg": "ES256", "kid": "ec" }), &good());
    let signature = ec.sign(&random, message.as_bytes()).unwrap();
    assert!(checked(&format!("{message}.{}", b64(signature.as_ref())), &keys).is_ok());
    let message = unsigned(&json!({ "alg": "EdDSA", "kid": "ed" }), &good());
    let signature = b64(ed.sign(message.as_bytes()).as_ref());
    assert!(checked(&format!("{message}.{signature}"), &keys).is_ok());
    let other = unsigned(&json!({ "alg": "EdDSA", "kid": "ed" }), &json!({ "sub": "eve" }));
    assert_eq!(checked(&format!("{other}.{signature}"), &keys), Err(TokenError::Signature));

    // A public key is no secret: HS256 with it is refused.
    let confused = Keys::from_lines(RSA).unwrap();
    let confused = sign(&good(), "JWT", &confused).unwrap();
    assert_eq!(checked(&confused, &keys), Err(TokenError::Signature));
    assert_eq!(checked(&token(good()), &keys), Err(TokenError::Signature), "`oct` is left out");
}

#[test]
fn what_is_wrong_with_a_file_of_keys_is_named() {
    let long = (0..33).map(|n| format!("{n} {SECRET}\n")).collect::<String>();
    for (text, problem) in [
        ("", "no key"),
        ("# nothing\n\n", "no key"),
        ("short", "line 1 has fewer than 32"),
        (&format!("# a comment\n\nname {SECRET} more"), "line 3 is not"),
        (&format!("a {SECRET}\na {SECRET}"), "two keys have the name `a`"),
        (&long, "33 keys are too many"),
    ] {
        let told = Keys::from_lines(text).unwrap_err();
        assert!(told.contains(problem) && !told.contains(SECRET), "{told}");
    }
    for (text, problem) in [
        ("{", "not JSON"),
        ("[]", "no list `keys`"),
        (r#"{"keys":[]}"#, "no public key"),
        (r#"{"keys":[1, {"kty":"EC","crv":"P-256","x":"!","y":"!"}]}"#, "no public key"),
    ] {
        let told = Keys::from_jwks(text).unwrap_err();
        assert!(told.contains(problem), "{told}");
    }
}
