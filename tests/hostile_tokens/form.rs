//! A. Compact form, base64url, white space. Rows 1, 2 and 18 are with the credentials.

use serde_json::json;
use tollgate::core::reason::Reason;

use crate::bench::{Bench, KID, claims_with, good_claims};
use crate::support::mint::b64;

const MALFORMED: &[Reason] = &[Reason::TokenMalformed];

/// The parts of a good token.
fn parts(bench: &Bench) -> [String; 3] {
    let token = bench.token(&good_claims());
    bench.accepted(&token);
    let parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    parts.try_into().unwrap()
}

#[test]
fn row_003_other_than_three_parts() {
    let bench = Bench::quick();
    let [h, p, s] = parts(&bench);
    for token in [h.clone(), format!("{h}.{p}"), format!("{h}.{p}.{s}.{s}"), format!("{h}.{p}.{s}.{s}.{s}")] {
        bench.refused(&token, MALFORMED);
    }
    for token in ["a", "a.b", "a.b.c.d", "a.b.c.d.e", ""] {
        bench.refused(token, MALFORMED);
    }
}

#[test]
fn row_004_leading_trailing_and_doubled_dots() {
    let bench = Bench::quick();
    let [h, p, s] = parts(&bench);
    for token in [
        format!(".{h}.{p}.{s}"),
        format!("{h}.{p}.{s}."),
        format!("{h}..{p}.{s}"),
        format!("{h}.{p}..{s}"),
        format!("{h}.{p}."),
        format!(".{p}.{s}"),
    ] {
        bench.refused(&token, MALFORMED);
    }
}

#[test]
fn row_005_a_hundred_thousand_dots() {
    let mut bench = Bench::quick();
    bench.refused(&".".repeat(100_000), &[Reason::TokenTooLarge]);
    bench.spec.max_token_bytes = usize::MAX;
    bench.refused(&".".repeat(100_000), MALFORMED);
}

#[test]
fn row_006_tokens_longer_than_the_cap() {
    let bench = Bench::quick();
    // A token of exactly the cap is good, one byte more is not even read.
    let sized = |pad: usize| bench.token(&claims_with(&json!({ "pad": "x".repeat(pad) })));
    let fit = (0..8192).rev().find(|pad| sized_len(*pad, &bench) <= 8192).unwrap();
    bench.accepted(&sized(fit));
    bench.refused(&sized(fit + 2), &[Reason::TokenTooLarge]);
    for bytes in [8193, 64 << 10, 1 << 20] {
        bench.refused(&"e".repeat(bytes), &[Reason::TokenTooLarge]);
        bench.refused(&sized(bytes), &[Reason::TokenTooLarge]);
    }
}

/// The length of a token without signing it: Ed25519 signatures are 86 characters.
fn sized_len(pad: usize, bench: &Bench) -> usize {
    let payload = claims_with(&json!({ "pad": "x".repeat(pad) })).to_string().len();
    let header = bench.signer.header(KID).to_string().len();
    (header * 4).div_ceil(3) + 1 + (payload * 4).div_ceil(3) + 1 + 86
}

#[test]
fn row_007_padding() {
    let bench = Bench::quick();
    let [h, p, s] = parts(&bench);
    for pad in ["=", "=="] {
        for token in [format!("{h}{pad}.{p}.{s}"), format!("{h}.{p}{pad}.{s}"), format!("{h}.{p}.{s}{pad}")] {
            bench.refused(&token, MALFORMED);
        }
    }
}

#[test]
fn row_008_the_standard_alphabet() {
    let bench = Bench::quick();
    // Signed as it stands, so that nothing but the alphabet is wrong.
    let payload = b64(claims_with(&json!({ "sub": "???>>>~~~" })).to_string());
    assert!(payload.contains(['-', '_']), "the payload needs a character that the alphabets differ in");
    let header = b64(bench.signer.header(KID).to_string());
    let sign = |payload: &str| {
        let signed = format!("{header}.{payload}");
        format!("{signed}.{}", b64(bench.signer.signature(signed.as_bytes())))
    };
    bench.accepted(&sign(&payload));
    bench.refused(&sign(&payload.replace('-', "+").replace('_', "/")), MALFORMED);
    let [h, p, s] = parts(&bench);
    bench.refused(&format!("{h}.{p}.+{}", &s[1..]), MALFORMED);
    bench.refused(&format!("{h}.{p}./{}", &s[1..]), MALFORMED);
}

#[test]
fn row_009_stray_bits() {
    let bench = Bench::quick();
    let [h, p, s] = parts(&bench);
    // 64 bytes end in a character of which four bits are unused; they must be zero.
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = alphabet.iter().position(|c| *c == *s.as_bytes().last().unwrap()).unwrap();
    for stray in 1..16 {
        let twin = format!("{}{}", &s[..s.len() - 1], char::from(alphabet[last + stray]));
        bench.refused(&format!("{h}.{p}.{twin}"), MALFORMED);
    }
}

#[test]
fn row_010_white_space_and_controls_inside_a_part() {
    let bench = Bench::quick();
    let [h, p, s] = parts(&bench);
    for c in [' ', '\t', '\r', '\n', '\0', '?', '#', '\u{b}', '\u{7f}', '*', '~', '!'] {
        for at in [0, 5] {
            let spoil = |part: &str| format!("{}{c}{}", &part[..at], &part[at..]);
            bench.refused(&format!("{}.{p}.{s}", spoil(&h)), MALFORMED);
            bench.refused(&format!("{h}.{}.{s}", spoil(&p)), MALFORMED);
            bench.refused(&format!("{h}.{p}.{}", spoil(&s)), MALFORMED);
        }
        bench.refused(&format!("{h}.{p}.{s}{c}"), MALFORMED);
    }
}

#[test]
fn row_012_json_serialization() {
    let bench = Bench::quick();
    let [h, p, s] = parts(&bench);
    let flattened = json!({ "protected": h, "payload": p, "signature": s });
    let general = json!({ "payload": p, "signatures": [{ "protected": h, "signature": s }] });
    bench.refused(&flattened.to_string(), MALFORMED);
    bench.refused(&general.to_string(), MALFORMED);
}

#[test]
fn row_013_detached_payload() {
    let bench = Bench::quick();
    let [h, _, s] = parts(&bench);
    bench.refused(&format!("{h}..{s}"), MALFORMED);
}

#[test]
fn row_014_encrypted_tokens() {
    let bench = Bench::quick();
    let header = b64(json!({ "alg": "RSA-OAEP", "enc": "A256GCM", "kid": KID, "cty": "JWT" }).to_string());
    bench.refused(&format!("{header}.{}.{}.{}.{}", b64([1; 32]), b64([2; 12]), b64([3; 64]), b64([4; 16])), MALFORMED);
    // The same header on three parts that are well signed.
    let mut header = bench.signer.header(KID);
    header["enc"] = json!("A256GCM");
    bench.refused(&bench.with_header(&header), &[Reason::TokenHeader]);
}

#[test]
fn row_015_nested_tokens() {
    let bench = Bench::quick();
    for cty in ["JWT", "jwt", "application/jwt"] {
        let mut header = bench.signer.header(KID);
        header["cty"] = json!(cty);
        bench.refused(&bench.with_header(&header), &[Reason::TokenHeader]);
        let inner = bench.token(&good_claims());
        let nested = bench.signer.sign_raw(header.to_string().as_bytes(), inner.as_bytes());
        bench.refused(&nested, &[Reason::TokenHeader]);
    }
    let inner = bench.token(&good_claims());
    let nested = bench.signer.sign_raw(bench.signer.header(KID).to_string().as_bytes(), inner.as_bytes());
    bench.refused(&nested, MALFORMED);
}

#[test]
fn row_016_percent_encoded_tokens() {
    let bench = Bench::quick();
    let token = bench.token(&good_claims());
    bench.refused(&token.replace('.', "%2E"), MALFORMED);
    bench.refused(&token.replacen('.', "%2e", 1), MALFORMED);
    bench.refused(&token.replacen('e', "%65", 1), MALFORMED);
}

#[test]
fn row_017_non_ascii_and_fullwidth_dots() {
    let bench = Bench::quick();
    let token = bench.token(&good_claims());
    for dot in ["．", "。", "․", "\u{200b}.", "é."] {
        bench.refused(&token.replace('.', dot), MALFORMED);
    }
    bench.refused(&token.replacen('e', "ｅ", 1), MALFORMED);
}
