//! D. The JOSE header.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tollgate::core::reason::Reason;

use crate::bench::{Bench, KID, claims_with, good_claims, key_set};
use crate::support::mint::{Signer, b64};

const HEADER: &[Reason] = &[Reason::TokenHeader];
const MALFORMED: &[Reason] = &[Reason::TokenMalformed];

/// A good header with these members on top.
fn header_with(bench: &Bench, changes: &Value) -> Value {
    let mut header = bench.signer.header(KID);
    header.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    header
}

#[test]
fn row_046_an_embedded_key() {
    let bench = Bench::new(Signer::rs256());
    let attacker = Signer::other_rs256();
    let header = header_with(&bench, &json!({ "jwk": attacker.jwk(KID) }));
    bench.refused(&attacker.sign(&header, &good_claims()), HEADER);
    // Refused as well where the key is the issuer's own.
    let header = header_with(&bench, &json!({ "jwk": bench.signer.jwk(KID) }));
    bench.refused(&bench.with_header(&header), HEADER);
}

/// That nothing is fetched is shown with the credentials: `row_047_nothing_is_fetched`.
#[test]
fn row_047_key_urls() {
    let bench = Bench::quick();
    for url in
        ["https://attacker.example/jwks", "http://169.254.169.254/latest", "http://127.0.0.1:1/", "file:///etc/passwd"]
    {
        for member in ["jku", "x5u"] {
            bench.refused(&bench.with_header(&header_with(&bench, &json!({ member: url }))), HEADER);
        }
    }
}

#[test]
fn row_048_a_certificate_chain() {
    let bench = Bench::new(Signer::rs256());
    let attacker = Signer::other_rs256();
    let chain = json!([base64::Engine::encode(&base64::engine::general_purpose::STANDARD, attacker.public_der())]);
    bench.refused(&attacker.sign(&header_with(&bench, &json!({ "x5c": chain })), &good_claims()), HEADER);
    bench.refused(&bench.with_header(&header_with(&bench, &json!({ "x5c": [] }))), HEADER);
}

#[test]
fn row_049_crit_with_an_unknown_name() {
    let bench = Bench::quick();
    let header = header_with(&bench, &json!({ "crit": ["https://example.com/new"], "https://example.com/new": true }));
    bench.refused(&bench.with_header(&header), HEADER);
}

#[test]
fn row_050_crit_in_every_form() {
    let bench = Bench::quick();
    for crit in
        [json!([]), json!(["alg"]), json!(["absent"]), json!("exp"), json!(null), json!({}), json!([1]), json!(["b64"])]
    {
        bench.refused(&bench.with_header(&header_with(&bench, &json!({ "crit": crit }))), HEADER);
    }
}

#[test]
fn row_051_unencoded_payloads() {
    let bench = Bench::quick();
    for extra in [json!({ "b64": false }), json!({ "b64": true }), json!({ "b64": false, "crit": ["b64"] })] {
        let header = header_with(&bench, &extra);
        bench.refused(&bench.with_header(&header), HEADER);
        // As RFC 7797 has it: the signature is over the bare payload.
        let payload = "bare-payload";
        let signed = format!("{}.{payload}", b64(header.to_string()));
        bench.refused(&format!("{signed}.{}", b64(bench.signer.signature(signed.as_bytes()))), HEADER);
    }
}

#[test]
fn row_052_zip() {
    let bench = Bench::quick();
    bench.refused(&bench.with_header(&header_with(&bench, &json!({ "zip": "DEF" }))), HEADER);
}

#[test]
fn row_053_the_access_token_type() {
    let mut bench = Bench::quick();
    bench.spec.rfc9068 = true;
    let bare = json!({ "alg": "EdDSA", "kid": KID });
    bench.refused(&bench.with_header(&bare), &[Reason::TokenType]);
    for typ in ["JWT", "jwt", "application/jwt", "", "at", "at+jwt ", "application/application/at+jwt"] {
        bench.refused(&bench.with_header(&header_with(&bench, &json!({ "typ": typ }))), &[Reason::TokenType]);
    }
    for typ in [json!(1), json!(null), json!(["at+jwt"])] {
        bench.refused(&bench.with_header(&header_with(&bench, &json!({ "typ": typ }))), HEADER);
    }
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"] {
        bench.accepted(&bench.with_header(&header_with(&bench, &json!({ "typ": typ }))));
    }
    bench.spec.rfc9068 = false;
    bench.accepted(&bench.with_header(&bare));
    for typ in ["JWT", "jwt", "application/jwt", "at+jwt", "application/at+jwt"] {
        bench.accepted(&bench.with_header(&header_with(&bench, &json!({ "typ": typ }))));
    }
}

#[test]
fn row_054_other_kinds_of_token() {
    let bench = Bench::quick();
    for typ in ["logout+jwt", "dpop+jwt", "secevent+jwt", "id_token+jwt", "oauth-authz-req+jwt"] {
        bench.refused(&bench.with_header(&header_with(&bench, &json!({ "typ": typ }))), &[Reason::TokenType]);
    }
    for marks in [
        json!({ "typ": "ID" }),
        json!({ "typ": "Refresh" }),
        json!({ "typ": "Offline" }),
        json!({ "typ": "Logout" }),
        json!({ "token_use": "id" }),
        json!({ "token_use": "refresh" }),
        json!({ "at_hash": "x", "nonce": "n" }),
        json!({ "c_hash": "x" }),
        json!({ "events": { "http://schemas.openid.net/event/backchannel-logout": {} } }),
    ] {
        bench.claims_refused(&claims_with(&marks), Reason::TokenType);
    }
    for marks in [json!({ "typ": "Bearer" }), json!({ "token_use": "access" }), json!({ "nonce": "n" })] {
        bench.accepted(&bench.token(&claims_with(&marks)));
    }
}

#[test]
fn row_055_kid_is_not_a_text() {
    let bench = Bench::quick();
    for kid in [json!(1), json!(null), json!({}), json!([KID]), json!(true)] {
        bench.refused(&bench.with_header(&header_with(&bench, &json!({ "kid": kid }))), HEADER);
    }
}

#[test]
fn row_056_kid_as_a_weapon() {
    let bench = Bench::quick();
    let started = Instant::now();
    let kids = ["../../dev/null", "|sleep 10", "' OR 1=1 --", "a\0b", "key-1\0", "\u{1b}[31m\r\n", "KEY-1", " key-1"];
    for kid in kids {
        let token = bench.with_header(&header_with(&bench, &json!({ "kid": kid })));
        bench.refused(&token, &[Reason::UnknownKey]);
        let detail = bench.validate(&token).unwrap_err().detail;
        assert!(detail.bytes().all(|b| (b' '..0x7f).contains(&b)), "{detail:?}");
    }
    bench.refused(&bench.with_header(&header_with(&bench, &json!({ "kid": "k".repeat(513) }))), HEADER);
    bench.refused(
        &bench.with_header(&header_with(&bench, &json!({ "kid": "k".repeat(10_240) }))),
        &[Reason::TokenTooLarge],
    );
    assert!(started.elapsed() < Duration::from_secs(5), "took {:?}", started.elapsed());
}

#[test]
fn row_057_an_empty_kid_and_none() {
    let mut bench = Bench::quick();
    let mut jwk = bench.signer.bare_jwk();
    jwk["alg"] = json!("EdDSA");
    bench.keys = key_set(&[jwk]);
    let empty = bench.with_header(&header_with(&bench, &json!({ "kid": "" })));
    let none = bench.with_header(&json!({ "alg": "EdDSA" }));
    bench.refused(&empty, HEADER);
    bench.refused(&none, &[Reason::UnknownKey]);
    // Where the operator says that ids are optional, every key that fits is tried; an empty id is still none.
    bench.spec.kid_optional = true;
    bench.refused(&empty, HEADER);
    bench.accepted(&none);
    bench.refused(&bench.token(&good_claims()), &[Reason::UnknownKey]);
}

#[test]
fn row_058_duplicate_header_members() {
    let bench = Bench::quick();
    let payload = good_claims().to_string();
    for header in [
        r#"{"alg":"none","alg":"EdDSA","kid":"key-1"}"#,
        r#"{"alg":"EdDSA","alg":"EdDSA","kid":"key-1"}"#,
        r#"{"alg":"EdDSA","kid":"key-2","kid":"key-1"}"#,
        r#"{"alg":"EdDSA","kid":"key-1","\u006bid":"key-1"}"#,
        r#"{"alg":"EdDSA","kid":"key-1","x":{"y":1,"y":1}}"#,
    ] {
        bench.refused(&bench.signer.sign_raw(header.as_bytes(), payload.as_bytes()), MALFORMED);
    }
    let header = r#"{"alg":"EdDSA","kid":"key-1"}"#;
    bench.accepted(&bench.signer.sign_raw(header.as_bytes(), payload.as_bytes()));
}

#[test]
fn row_059_headers_that_are_not_one_object() {
    let bench = Bench::quick();
    let payload = good_claims().to_string();
    let good = bench.signer.header(KID).to_string();
    let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let mut headers: Vec<Vec<u8>> = vec![
        format!("\u{feff}{good}").into_bytes(),
        format!("{good}x").into_bytes(),
        format!("{good}{good}").into_bytes(),
        format!("{good}\0").into_bytes(),
        format!("[{good}]").into_bytes(),
        good.as_bytes()[..good.len() - 1].to_vec(),
        utf16,
    ];
    for text in ["null", "\"EdDSA\"", "1", "[]", "true", " "] {
        headers.push(text.as_bytes().to_vec());
    }
    for header in headers {
        bench.refused(&bench.signer.sign_raw(&header, payload.as_bytes()), MALFORMED);
    }
    bench.refused(&bench.signer.sign_raw(b"{}", payload.as_bytes()), &[Reason::TokenAlgorithm]);
}

#[test]
fn row_060_a_header_of_60_kb() {
    let mut bench = Bench::quick();
    let mut header = bench.signer.header(KID);
    for index in 0..5000 {
        header[format!("m{index}")] = json!(index);
    }
    assert!(header.to_string().len() > 50_000);
    let token = bench.with_header(&header);
    bench.refused(&token, &[Reason::TokenTooLarge]);
    // It is the cap that refuses it, nothing else.
    bench.spec.max_token_bytes = 1 << 20;
    bench.accepted(&token);
}

#[test]
fn row_061_unknown_members_are_ignored() {
    let bench = Bench::quick();
    let extra =
        json!({ "x5t": "AAAA", "x5t#S256": "AAAA", "new": { "a": [1, null] }, "url": "https://attacker.example/" });
    bench.accepted(&bench.with_header(&header_with(&bench, &extra)));
}
