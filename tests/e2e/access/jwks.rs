//! `--auth-jwks`: public keys of an identity provider.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::super::browser::SOON;
use super::stub::service;
use super::*;

/// As identity providers publish them; and another one while it runs.
#[test]
fn public_keys_are_fetched_and_fetched_again_for_a_new_one() {
    let random = SystemRandom::new();
    let pair = || {
        let document = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
        Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("a key")
    };
    let (old, new) = (pair(), pair());
    let jwk = |name: &str, key: &Ed25519KeyPair| {
        let x = URL_SAFE_NO_PAD.encode(key.public_key().as_ref());
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": name, "x": x })
    };
    let sets = [
        json!({ "keys": [jwk("old", &old)] }),
        json!({ "keys": [jwk("old", &old), jwk("new", &new)] }),
    ];
    let shown = Arc::new(AtomicUsize::new(0));
    let current = Arc::clone(&shown);
    let (url, asked) = service(move |_| (200, sets[current.load(Ordering::Relaxed)].to_string()));
    let options = ["--auth", "token", "--auth-jwks", &url, "--auth-audience", "video"];
    let cluster = Cluster::local_with([counting()], &options);
    let signed = |name: &str, key: &Ed25519KeyPair, audience: &str| {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims =
            json!({ "sub": "ada", "exp": 4_102_444_800_u64, "aud": audience, "reframe": {} });
        let message = format!("{}.{}", part(json!({ "alg": "EdDSA", "kid": name })), part(claims));
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()).as_ref()))
    };
    let status =
        |token: &str| request("GET", &cluster.page("/api/token"), Some(token), &Value::Null).status;
    eventually("the keys are there", SOON, || {
        (status(&signed("old", &old, "video")) == 200).then_some(())
    });
    assert_eq!(status(&signed("old", &old, "another service")), 401);
    shown.store(1, Ordering::Relaxed);
    eventually("an unknown key has them fetched again", SOON, || {
        (status(&signed("new", &new, "video")) == 200).then_some(())
    });
    assert!(asked.load(Ordering::Relaxed) < 6, "tokens that anybody can make cost few requests");
}
