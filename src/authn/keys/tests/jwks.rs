use super::vectors::{Ec, Ed, Rsa, b64, jwks, refusal, set, with};
use super::*;
use serde_json::{Value, json};

/// A set of a good key and this one, which is refused for this reason, or passed over in silence.
fn beside(jwk: Value) -> (KeySet, Vec<&'static str>) {
    let published = KeySet::from_jwks(&jwks(&[jwk, Ec::p256().jwk("good")])).unwrap();
    assert_eq!(published.set.candidates(Some("good"), Algorithm::ES256).count(), 1);
    (published.set, published.refused)
}

#[test]
fn row_062_a_symmetric_key_is_refused_and_reported() {
    let (set, refused) = beside(json!({ "kty": "oct", "kid": "mac", "k": b64([7; 64]), "alg": "HS256" }));
    assert_eq!(refused, ["it is symmetric, which a published key cannot be"]);
    assert_eq!(set.len(), 1);
    assert_eq!(set.candidates(Some("mac"), Algorithm::RS256).count(), 0);
}

#[test]
fn row_063_an_unknown_key_type_leaves_the_others_usable() {
    let (set, refused) = beside(json!({ "kty": "AKP", "kid": "pq", "alg": "ML-DSA-44", "pub": "AAAA" }));
    assert_eq!((set.len(), refused), (1, Vec::new()));
    // Its id is known all the same: nothing is gained by fetching again.
    assert!(set.has_kid("pq"));
}

#[test]
fn row_064_a_malformed_key_leaves_the_others_usable() {
    for jwk in [
        json!(null),
        json!(1),
        json!("key"),
        json!([]),
        json!({}),
        json!({ "kty": 1 }),
        json!({ "kty": "RSA", "n": 5, "e": "AQAB" }),
        json!({ "kty": "EC" }),
        json!({ "kty": "OKP", "crv": "Ed25519" }),
        json!({ "kty": "OKP", "crv": "Ed25519", "x": b64([9; 31]) }),
        json!({ "kty": "OKP", "crv": "X25519", "x": b64([9; 32]) }),
        with(Ec::p256().jwk("x"), "kid", 7),
        with(Ec::p256().jwk("x"), "kid", json!(null)),
        with(Ec::p256().jwk("x"), "use", 7),
        with(Ec::p256().jwk("x"), "key_ops", "verify"),
        with(Ec::p256().jwk("x"), "alg", json!(["ES256"])),
    ] {
        let (set, refused) = beside(jwk.clone());
        assert_eq!((set.len(), refused.len()), (1, 1), "{jwk}");
    }
}

#[test]
fn row_064_base64url_is_strict() {
    let ec = Ec::p256().jwk("k");
    let x = ec["x"].as_str().unwrap();
    for bad in [format!("{x}="), format!("{x}=="), format!(" {x}"), format!("{x}\n"), x.replace(['-', '_'], "+") + "/"]
    {
        assert_eq!(refusal(with(ec.clone(), "x", bad)), "a member is not base64url without padding");
    }
    // 32 bytes leave two bits unused: one set bit there is a second spelling of the same number.
    let zeros = b64([0; 32]);
    let stray = format!("{}B", &zeros[..zeros.len() - 1]);
    assert_eq!(refusal(with(ec, "x", stray)), "a member is not base64url without padding");
}

#[test]
fn row_065_a_key_for_encryption_never_fits() {
    let (set, refused) = beside(with(Rsa::generate().jwk("enc"), "use", "enc"));
    assert_eq!((set.len(), refused), (1, Vec::new()));
    assert_eq!(set.candidates(Some("enc"), Algorithm::RS256).count(), 0);
    assert!(set.has_kid("enc"));
    // Keycloak lists its encryption key with the encryption algorithm; that is no news.
    let rsa_oaep = with(with(Rsa::generate().jwk("enc"), "use", "enc"), "alg", "RSA-OAEP");
    assert_eq!(beside(rsa_oaep).1, Vec::<&str>::new());
    for other in ["SIG", "", "verify"] {
        assert_eq!(beside(with(Rsa::generate().jwk("enc"), "use", other)).0.len(), 1, "{other}");
    }
}

#[test]
fn row_066_a_key_whose_operations_do_not_include_verify_never_fits() {
    for operations in [json!([]), json!(["sign"]), json!(["encrypt", "wrapKey"]), json!([1]), json!(["VERIFY"])] {
        assert_eq!(beside(with(Ed::generate().jwk("k"), "key_ops", operations.clone())).0.len(), 1, "{operations}");
    }
    assert_eq!(beside(with(Ed::generate().jwk("k"), "key_ops", json!(["sign", "verify"]))).0.len(), 2);
    let contradiction = with(with(Ed::generate().jwk("k"), "key_ops", json!(["verify"])), "use", "enc");
    assert_eq!(beside(contradiction).0.len(), 1);
}

#[test]
fn row_067_keys_of_one_id_and_type_are_all_tried_within_the_limit() {
    let keys: Vec<Ec> = (0..=KeySet::MAX_TRIES).map(|_| Ec::p256()).collect();
    let documents: Vec<Value> = keys.iter().map(|key| key.jwk("same")).collect();
    let all = set(&documents[..KeySet::MAX_TRIES]);
    for key in &keys[..KeySet::MAX_TRIES] {
        let signature = key.sign(MESSAGE);
        let mut candidates = all.candidates(Some("same"), Algorithm::ES256);
        assert!(candidates.any(|candidate| candidate.verify(Algorithm::ES256, MESSAGE, &signature)));
    }
    assert_eq!(set(&documents).candidates(Some("same"), Algorithm::ES256).count(), 0);
    // The same key twice is one key.
    assert_eq!(set(&[documents[0].clone(), documents[0].clone()]).len(), 1);
}

#[test]
fn row_068_keys_of_one_id_and_different_types_are_told_apart_by_algorithm() {
    let (rsa, ec) = (Rsa::generate(), Ec::p256());
    let set = set(&[rsa.jwk("same"), ec.jwk("same")]);
    for (algorithm, signature) in
        [(Algorithm::RS256, rsa.sign(Algorithm::RS256, MESSAGE)), (Algorithm::ES256, ec.sign(MESSAGE))]
    {
        let candidates: Vec<_> = set.candidates(Some("same"), algorithm).collect();
        assert_eq!(candidates.len(), 1);
        assert!(candidates[0].verify(algorithm, MESSAGE, &signature));
    }
}

#[test]
fn row_069_ec_point_off_curve() {
    for (ec, bytes) in [(Ec::p256(), 32), (Ec::p384(), 48)] {
        let jwk = ec.jwk("k");
        let mut y = ec.point()[1 + bytes..].to_vec();
        *y.last_mut().unwrap() ^= 1;
        let off = "its point is not on its curve";
        assert_eq!(refusal(with(jwk.clone(), "y", b64(&y))), off);
        let zero = b64(vec![0; bytes]);
        assert_eq!(refusal(with(with(jwk.clone(), "x", zero.clone()), "y", zero)), off);
        assert_eq!(refusal(with(jwk.clone(), "x", b64(vec![0xff; bytes]))), off);
        for length in [0, 1, bytes - 1, bytes + 1, 2 * bytes] {
            for member in ["x", "y"] {
                let refused = refusal(with(jwk.clone(), member, b64(vec![1; length])));
                assert_eq!(refused, "its coordinates do not have the length of its curve");
            }
        }
    }
    // The point at infinity has no coordinates, nor does a compressed point have two.
    assert!(KeySet::from_jwks(&jwks(&[json!({ "kty": "EC", "crv": "P-256", "x": "AA" })])).is_err());
}

#[test]
fn row_069_a_point_of_one_curve_under_the_name_of_another_is_refused() {
    assert_eq!(
        refusal(with(Ec::p384().jwk("k"), "crv", "P-256")),
        "its coordinates do not have the length of its curve"
    );
    for other in ["P-521", "secp256k1", "p-256", "", "Ed25519"] {
        assert_eq!(refusal(with(Ec::p256().jwk("k"), "crv", other)), "its curve is not supported", "{other}");
    }
    assert_eq!(refusal(with(Ed::generate().jwk("k"), "crv", "Ed448")), "its curve is not supported");
}

#[test]
fn row_070_members_of_two_key_types_are_refused() {
    let mixed = "it mixes members of two key types";
    for member in ["crv", "x", "y"] {
        assert_eq!(refusal(with(Rsa::generate().jwk("k"), member, "AAAA")), mixed);
    }
    for member in ["n", "e"] {
        assert_eq!(refusal(with(Ec::p256().jwk("k"), member, "AQAB")), mixed);
        assert_eq!(refusal(with(Ed::generate().jwk("k"), member, "AQAB")), mixed);
    }
    assert_eq!(refusal(with(Ed::generate().jwk("k"), "y", "AAAA")), mixed);
}

#[test]
fn row_071_algorithms_that_tokens_are_not_signed_with_are_refused() {
    for alg in
        ["ES521", "ES512", "ES224", "ES256K", "RSA1_5", "RSA-OAEP", "A256GCM", "HS256", "none", "rs256", "Ed25519", ""]
    {
        let refused = refusal(with(Rsa::generate().jwk("k"), "alg", alg));
        assert_eq!(refused, "its `alg` is not a supported signature algorithm", "{alg}");
    }
    let other = "its algorithm does not go with its type or curve";
    assert_eq!(refusal(with(Rsa::generate().jwk("k"), "alg", "ES256")), other);
    assert_eq!(refusal(with(Ec::p256().jwk("k"), "alg", "ES384")), other);
    assert_eq!(refusal(with(Ec::p256().jwk("k"), "alg", "RS256")), other);
    assert_eq!(refusal(with(Ed::generate().jwk("k"), "alg", "ES256")), other);
}

#[test]
fn row_072_a_published_private_key_is_reported_and_its_private_part_dropped() {
    let secret = b64([0x5e; 32]);
    for (jwk, algorithm) in [(Ec::p256().jwk("k"), Algorithm::ES256), (Ed::generate().jwk("k"), Algorithm::EdDSA)] {
        let published = KeySet::from_jwks(&jwks(&[with(jwk, "d", secret.clone())])).unwrap();
        assert_eq!(published.refused, ["it was published with its private members"]);
        assert_eq!(published.set.candidates(Some("k"), algorithm).count(), 1);
        assert!(!format!("{published:?}").contains(&secret));
    }
    for member in ["d", "p", "q", "dp", "dq", "qi", "oth"] {
        let published = KeySet::from_jwks(&jwks(&[with(Rsa::generate().jwk("k"), member, "AQAB")])).unwrap();
        assert_eq!((published.refused.len(), published.set.len()), (1, 1), "{member}");
    }
}

#[test]
fn row_073_what_is_not_a_key_set_is_invalid() {
    for document in [
        "",
        "{}",
        "[]",
        "null",
        r#"{"keys":{}}"#,
        r#"{"keys":"x"}"#,
        r#"{"keys":null}"#,
        "<!DOCTYPE html><html></html>",
        r#"{"issuer":"https://idp.example.com"}"#,
        r#"{"keys":[],"keys":[]}"#,
        "{\"keys\":[",
        "\u{feff}{\"keys\":[]}",
        "{\"keys\":[]} x",
    ] {
        let error = KeySet::from_jwks(document.as_bytes()).unwrap_err();
        assert!(matches!(error, KeySetError::NotAKeySet { .. }), "{document}: {error}");
    }
    let nested = format!("{{\"keys\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(KeySet::from_jwks(nested.as_bytes()).is_err());
    assert!(KeySet::from_jwks(&[0xff, 0xfe, 0x7b, 0x00]).is_err());
    assert_eq!(KeySet::from_jwks(b"{\n\"keys\": [\n}").unwrap_err().line(), 3);
}

#[test]
fn row_074_a_set_without_usable_keys_is_invalid() {
    assert_eq!(KeySet::from_jwks(br#"{"keys":[]}"#).unwrap_err(), KeySetError::NoUsableKey(None));
    let only_enc = with(Rsa::generate().jwk("enc"), "use", "enc");
    assert_eq!(KeySet::from_jwks(&jwks(&[only_enc])).unwrap_err(), KeySetError::NoUsableKey(None));
}

#[test]
fn row_075_a_set_of_too_many_keys_is_invalid() {
    let ec = Ec::p256();
    let many = |count: usize| -> Vec<Value> { (0..count).map(|number| ec.jwk(&number.to_string())).collect() };
    assert_eq!(set(&many(KeySet::MAX_KEYS)).len(), KeySet::MAX_KEYS);
    for count in [KeySet::MAX_KEYS + 1, 10_000] {
        assert_eq!(KeySet::from_jwks(&jwks(&many(count))).unwrap_err(), KeySetError::TooManyKeys);
    }
}

#[test]
fn row_076_tries_without_kid_are_bounded() {
    let keys: Vec<Value> = (0..50).map(|number| Ec::p256().jwk(&number.to_string())).collect();
    assert_eq!(set(&keys).candidates(None, Algorithm::ES256).count(), 0);
    assert_eq!(set(&keys).candidates(Some("7"), Algorithm::ES256).count(), 1);
    assert_eq!(set(&keys[..4]).candidates(None, Algorithm::ES256).count(), 4);
}

#[test]
fn row_057_an_empty_kid_names_no_key() {
    let mut nameless = Ec::p256().jwk("");
    assert_eq!(set(&[nameless.clone()]).candidates(Some(""), Algorithm::ES256).count(), 0);
    nameless.as_object_mut().unwrap().remove("kid");
    let set = set(&[nameless]);
    assert_eq!(set.candidates(Some(""), Algorithm::ES256).count(), 0);
    assert_eq!(set.candidates(Some("x"), Algorithm::ES256).count(), 0);
    assert_eq!(set.candidates(None, Algorithm::ES256).count(), 1);
    assert!(!set.has_kid(""));
}

#[test]
fn row_078_a_certificate_that_disagrees_with_the_key_is_not_looked_at() {
    let (rsa, other) = (Rsa::generate(), Rsa::generate());
    let certificate = rcgen::generate_simple_self_signed(["other.example".to_owned()]).unwrap();
    let jwk = with(
        rsa.jwk("k"),
        "x5c",
        json!([base64::Engine::encode(&base64::engine::general_purpose::STANDARD, certificate.cert.der())]),
    );
    let set = set(&[with(with(jwk, "x5u", "http://169.254.169.254/"), "x5t", "AAAA")]);
    assert!(set.keys[0].verify(Algorithm::RS256, MESSAGE, &rsa.sign(Algorithm::RS256, MESSAGE)));
    assert!(!set.keys[0].verify(Algorithm::RS256, MESSAGE, &other.sign(Algorithm::RS256, MESSAGE)));
    assert_eq!(set.keys[0].fingerprint(), self::set(&[rsa.jwk("other")]).keys[0].fingerprint());
}
