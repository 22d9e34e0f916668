//! Key parsing, by the rows of the list of hostile inputs. Every vector is made here.

mod jwks;
mod pem;
mod vectors;

use super::*;
use vectors::{Ec, Ed, Rsa, b64, jwks, set};

const MESSAGE: &[u8] = b"header.payload";

/// Every way to sign with a key, and the algorithm it is for.
fn signatures(rsa: &Rsa) -> Vec<(Algorithm, Vec<u8>)> {
    use Algorithm::{PS256, PS384, PS512, RS256, RS384, RS512};
    [RS256, RS384, RS512, PS256, PS384, PS512]
        .into_iter()
        .map(|algorithm| (algorithm, rsa.sign(algorithm, MESSAGE)))
        .collect()
}

#[test]
fn good_signatures_verify_under_their_own_algorithm_only() {
    let (rsa, p256, p384, ed) = (Rsa::generate(), Ec::p256(), Ec::p384(), Ed::generate());
    let mut good = signatures(&rsa);
    good.push((Algorithm::ES256, p256.sign(MESSAGE)));
    good.push((Algorithm::ES384, p384.sign(MESSAGE)));
    good.push((Algorithm::EdDSA, ed.sign(MESSAGE)));
    let set = set(&[rsa.jwk("rsa"), p256.jwk("p256"), p384.jwk("p384"), ed.jwk("ed")]);
    for (algorithm, signature) in &good {
        for tried in Algorithm::ALL {
            let verified = set.candidates(None, tried).any(|key| key.verify(tried, MESSAGE, signature));
            assert_eq!(verified, tried == *algorithm, "{algorithm:?} as {tried:?}");
        }
        assert!(!set.candidates(None, *algorithm).any(|key| key.verify(*algorithm, b"other", signature)));
    }
}

#[test]
fn row_023_a_mac_made_with_public_material_never_verifies() {
    use aws_lc_rs::hmac;
    let (rsa, ec, ed) = (Rsa::generate(), Ec::p256(), Ed::generate());
    let set = set(&[rsa.jwk("a"), ec.jwk("b"), ed.jwk("c")]);
    let pem = vectors::pem("PUBLIC KEY", &rsa.spki());
    let jwk = rsa.jwk("a").to_string();
    for secret in [pem.as_bytes(), &rsa.spki(), jwk.as_bytes(), &ec.point(), &rsa.n()] {
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), MESSAGE);
        for algorithm in Algorithm::ALL {
            assert!(!set.candidates(None, algorithm).any(|key| key.verify(algorithm, MESSAGE, mac.as_ref())));
        }
    }
    for mac in ["HS256", "HS384", "HS512", "none", "None", ""] {
        assert_eq!(Algorithm::parse(mac), None);
    }
}

#[test]
fn row_024_a_prefix_before_a_pem_key_never_makes_it_a_secret() {
    let rsa = Rsa::generate();
    let pem = vectors::pem("PUBLIC KEY", &rsa.spki());
    for text in [format!("\n \t{pem}"), format!("key: below\n{pem}"), format!("\u{feff}\n{pem}")] {
        let set = vectors::from_pem(&text).unwrap();
        assert!(set.candidates(None, Algorithm::RS256).any(|key| key.verify(
            Algorithm::RS256,
            MESSAGE,
            &rsa.sign(Algorithm::RS256, MESSAGE)
        )));
    }
    // Where the prefix hides the block there is no key at all.
    assert!(vectors::from_pem(&format!("\u{feff}{pem}")).is_err());
    assert!(vectors::from_pem(&format!("x{pem}")).is_err());
}

#[test]
fn row_025_an_rsa_key_without_numbers_is_refused() {
    for jwk in [
        serde_json::json!({ "kty": "RSA" }),
        serde_json::json!({ "kty": "RSA", "n": "", "e": "" }),
        serde_json::json!({ "kty": "RSA", "n": "", "e": "AQAB" }),
        serde_json::json!({ "kty": "RSA", "n": "AAAA", "e": "AQAB" }),
    ] {
        assert!(KeySet::from_jwks(&jwks(&[jwk])).is_err());
    }
}

#[test]
fn row_026_a_key_without_alg_fits_the_algorithms_of_its_type_and_no_more() {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let fits = |jwk| {
        let set = set(&[jwk]);
        Algorithm::ALL.into_iter().filter(|algorithm| set.keys[0].fits(*algorithm)).collect::<Vec<_>>()
    };
    assert_eq!(fits(Rsa::generate().jwk("k")), [RS256, RS384, RS512, PS256, PS384, PS512]);
    assert_eq!(fits(Ec::p256().jwk("k")), [ES256]);
    assert_eq!(fits(Ec::p384().jwk("k")), [ES384]);
    assert_eq!(fits(Ed::generate().jwk("k")), [EdDSA]);
}

#[test]
fn row_027_a_key_bound_to_ps512_verifies_nothing_else() {
    let rsa = Rsa::generate();
    let set = set(&[vectors::with(rsa.jwk("k"), "alg", "PS512")]);
    for (algorithm, signature) in signatures(&rsa) {
        let bound = algorithm == Algorithm::PS512;
        assert_eq!(set.candidates(Some("k"), algorithm).count(), usize::from(bound), "{algorithm:?}");
        assert_eq!(set.keys[0].verify(algorithm, MESSAGE, &signature), bound, "{algorithm:?}");
    }
}

#[test]
fn row_028_a_key_bound_to_rs256_does_not_verify_ps256() {
    let rsa = Rsa::generate();
    let set = set(&[vectors::with(rsa.jwk("k"), "alg", "RS256")]);
    assert!(set.keys[0].verify(Algorithm::RS256, MESSAGE, &rsa.sign(Algorithm::RS256, MESSAGE)));
    assert!(!set.keys[0].verify(Algorithm::PS256, MESSAGE, &rsa.sign(Algorithm::PS256, MESSAGE)));
    assert_eq!(set.candidates(Some("k"), Algorithm::PS256).count(), 0);
}

#[test]
fn row_029_es256_does_not_fit_a_p384_key() {
    let (p256, p384) = (Ec::p256(), Ec::p384());
    let set = set(&[p384.jwk("k")]);
    assert_eq!(set.candidates(Some("k"), Algorithm::ES256).count(), 0);
    assert!(!set.keys[0].verify(Algorithm::ES256, MESSAGE, &p384.sign(MESSAGE)));
    assert!(!set.keys[0].verify(Algorithm::ES256, MESSAGE, &p256.sign(MESSAGE)));
}

#[test]
fn row_030_eddsa_does_not_fit_ec_or_rsa_keys() {
    let set = set(&[Ec::p256().jwk("k"), Rsa::generate().jwk("k")]);
    assert_eq!(set.candidates(Some("k"), Algorithm::EdDSA).count(), 0);
    assert!(set.keys.iter().all(|key| !key.verify(Algorithm::EdDSA, MESSAGE, &Ed::generate().sign(MESSAGE))));
}

#[test]
fn row_031_rsa_exponents_of_one_even_ones_and_huge_ones_are_refused() {
    let n = Rsa::generate().n();
    for e in [&[1][..], &[0, 0, 1], &[2], &[0], &[], &[1, 0, 0], &[1, 0, 0, 0, 1], &[0xff; 256]] {
        let refused = vectors::refusal(serde_json::json!({ "kty": "RSA", "n": b64(&n), "e": b64(e) }));
        assert_eq!(refused, "its RSA exponent is not an odd number from 3 to 32 bits", "{e:?}");
    }
    for e in [&[3][..], &[1, 0, 1], &[0, 1, 0, 1]] {
        set(&[serde_json::json!({ "kty": "RSA", "n": b64(&n), "e": b64(e) })]);
    }
}

#[test]
fn row_032_rsa_below_2048_bits_is_refused() {
    for bits in [512, 1024, 2040, 2047] {
        let refused = vectors::refusal(vectors::rsa_of_bits(bits));
        assert_eq!(refused, "its RSA modulus has fewer than 2048 bits", "{bits}");
    }
    set(&[vectors::rsa_of_bits(2048)]);
}

#[test]
fn row_033_rsa_above_8192_bits_is_refused() {
    for bits in [8193, 16384] {
        let refused = vectors::refusal(vectors::rsa_of_bits(bits));
        assert_eq!(refused, "its RSA modulus has more than 8192 bits", "{bits}");
    }
    set(&[vectors::rsa_of_bits(8192)]);
}

#[test]
fn row_034_roca_is_not_detected_and_the_documentation_says_so() {
    assert!(include_str!("../keys.rs").contains("Not detected: RSA moduli with the ROCA weakness"));
}

#[test]
fn row_035_a_key_that_is_no_longer_listed_is_not_in_the_set() {
    let (old, new) = (Rsa::generate(), Rsa::generate());
    let before = set(&[old.jwk("old"), new.jwk("new")]);
    let after = set(&[new.jwk("new")]);
    let fingerprint = before.candidates(Some("old"), Algorithm::RS256).next().unwrap().fingerprint();
    assert!(before.contains(fingerprint) && !after.contains(fingerprint));
    assert_eq!(after.candidates(Some("old"), Algorithm::RS256).count(), 0);
    assert!(!after.has_kid("old") && after.has_kid("new"));
    assert!(after.is_subset_of(&before) && !before.is_subset_of(&after));
}

#[test]
fn row_044_ed25519_points_of_small_order_are_refused() {
    for point in vectors::small_order_points() {
        let refused = vectors::refusal(serde_json::json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(point) }));
        assert_eq!(refused, "its Ed25519 point is of small order or not canonical", "{point:02x?}");
    }
}

#[test]
fn row_044_ed25519_signatures_of_another_length_do_not_verify() {
    let ed = Ed::generate();
    let set = set(&[ed.jwk("k")]);
    let good = ed.sign(MESSAGE);
    for length in 0..good.len() {
        assert!(!set.keys[0].verify(Algorithm::EdDSA, MESSAGE, &good[..length]));
    }
    let longer = [good.as_slice(), &[0]].concat();
    assert!(!set.keys[0].verify(Algorithm::EdDSA, MESSAGE, &longer));
}

#[test]
fn the_thumbprint_is_rfc_7638s() {
    // RFC 7638 §3.1: the key and its thumbprint.
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn6\
             4tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n9\
             1CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let set = set(&[serde_json::json!({ "kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29" })]);
    assert_eq!(b64(set.keys[0].fingerprint()), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

#[test]
fn keys_and_sets_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<KeySet>();
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(bytes: Vec<u8>, label in "[A-Z ]{0,20}|PUBLIC KEY|RSA PUBLIC KEY|CERTIFICATE") {
        let _ = KeySet::from_jwks(&bytes);
        let _ = KeySet::from_pem([(std::path::Path::new("x"), bytes.as_slice())]);
        let _ = vectors::from_pem(&vectors::pem(&label, &bytes));
        let _ = KeySet::from_jwks(&jwks(&[
            serde_json::json!({ "kty": "RSA", "n": b64(&bytes), "e": b64(&bytes) }),
            serde_json::json!({ "kty": "EC", "crv": "P-256", "x": b64(&bytes), "y": b64(&bytes) }),
            serde_json::json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(&bytes) }),
        ]));
    }

    #[test]
    fn no_damaged_key_makes_the_parser_panic(position in 0usize..300, byte: u8) {
        let mut spki = Ec::p384().spki();
        let position = position % spki.len();
        spki[position] = byte;
        let _ = vectors::from_pem(&vectors::pem("PUBLIC KEY", &spki));
    }
}
