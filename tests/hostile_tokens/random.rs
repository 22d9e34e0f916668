//! Whatever the bytes, there is an answer and no panic; and what is refused unsigned is never accepted by chance.

use std::sync::LazyLock;

use proptest::prelude::*;
use tollgate::authn::credential;
use tollgate::authn::spec::CredentialSource;
use tollgate::core::request::{Header, Headers};

use crate::bench::{Bench, KID, good_claims};
use crate::support::mint::b64;

static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let mut bench = Bench::quick();
    bench.spec.times_in_strings = true;
    bench
});

/// Texts that look like claims, with anything for values.
fn claims_like() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::sample::select(vec![
        "exp", "nbf", "iat", "iss", "aud", "sub", "cnf", "typ", "scope", "alg", "kid", "crit",
    ]);
    let value = prop_oneof![
        "[0-9.eE+-]{1,24}",
        r#""[ -~]{0,12}""#,
        prop::sample::select(vec![
            "null",
            "true",
            "[]",
            "{}",
            "[1]",
            "{\"x5t#S256\":\"\"}",
            "[[[[[[[[]]]]]]]]",
            "\"\\ud800\""
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec((name, value), 0..8).prop_map(|members| {
        let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(",")).into_bytes()
    })
}

fn anything() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![prop::collection::vec(any::<u8>(), 0..300), claims_like()]
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(token in r"[A-Za-z0-9_=.+/\-]{0,200}", other in any::<String>()) {
        prop_assert!(BENCH.validate(&token).is_err());
        prop_assert!(BENCH.validate(&other).is_err());
    }

    #[test]
    fn no_signed_bytes_make_it_panic(header in anything(), payload in anything()) {
        let good = BENCH.signer.header(KID).to_string();
        let _ = BENCH.validate(&BENCH.signer.sign_raw(good.as_bytes(), &payload));
        let _ = BENCH.validate(&BENCH.signer.sign_raw(&header, good_claims().to_string().as_bytes()));
        prop_assert!(BENCH.validate(&BENCH.signer.sign_raw(&header, &payload)).is_err());
    }

    #[test]
    fn unsigned_bytes_are_never_accepted(payload in anything(), signature in prop::collection::vec(any::<u8>(), 64)) {
        let header = BENCH.signer.header(KID).to_string();
        let forged = format!("{}.{}.{}", b64(header), b64(payload), b64(signature));
        prop_assert!(BENCH.validate(&forged).is_err());
    }

    #[test]
    fn a_changed_character_is_never_accepted(at in 0_usize..400, to in "[A-Za-z0-9_.-]") {
        let token = BENCH.signer.sign(&BENCH.signer.header(KID), &good_claims());
        let at = at % token.len();
        let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
        prop_assert_eq!(BENCH.validate(&changed).is_ok(), changed == token);
    }

    #[test]
    fn no_header_makes_the_extraction_panic(value in prop::collection::vec(any::<u8>(), 0..60), bearer: bool) {
        let value = if bearer { [b"Bearer ", &value[..]].concat() } else { value };
        let headers = Headers::new(vec![Header { name: "authorization", value: &value }]);
        if let Ok(found) = credential::extract([&CredentialSource::Authorization], &headers) {
            let token = found.unwrap().token;
            prop_assert!(!token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic() && b != b','));
        }
    }
}
