//! G. The JSON parser, by way of signed payloads.

use serde_json::json;
use tollgate::core::reason::Reason;

use crate::bench::{Bench, ISSUER, KID, NOW, claims_with, good_claims};

const MALFORMED: &[Reason] = &[Reason::TokenMalformed];

/// A token whose payload is these bytes, well signed.
fn raw(bench: &Bench, payload: &[u8]) -> String {
    bench.signer.sign_raw(bench.signer.header(KID).to_string().as_bytes(), payload)
}

/// Good claims with this text among the members.
fn with_text(text: &str) -> String {
    let good = good_claims().to_string();
    format!("{},{text}}}", &good[..good.len() - 1])
}

#[test]
fn row_104_duplicate_claims() {
    let bench = Bench::quick();
    for text in [
        format!(r#""exp":{}"#, NOW + 300),
        r#""exp":1"#.into(),
        r#""scope":"admin""#.into(),
        r#""aud":"orders""#.into(),
        r#""\u0073cope":"admin""#.into(),
        r#""\u0061ud":["orders"]"#.into(),
        r#""x":1,"x":1"#.into(),
        r#""x":{"y":{"z":1,"z":2}}"#.into(),
        r#""x":[{"y":1,"\u0079":2}]"#.into(),
        r#""":1,"":2"#.into(),
    ] {
        bench.refused(&raw(&bench, with_text(&text).as_bytes()), MALFORMED);
    }
    bench.accepted(&raw(&bench, with_text(r#""x":{"y":1},"z":{"y":1}"#).as_bytes()));
}

#[test]
fn row_105_depth() {
    let mut bench = Bench::quick();
    bench.spec.max_token_bytes = 1 << 22;
    let nested = |open: &str, close: &str, depth: usize| {
        raw(&bench, with_text(&format!(r#""x":{}1{}"#, open.repeat(depth), close.repeat(depth))).as_bytes())
    };
    // The claims themselves are one level.
    bench.accepted(&nested("[", "]", 31));
    bench.accepted(&nested(r#"{"a":"#, "}", 31));
    for depth in [32, 127, 128, 200, 5_000, 100_000] {
        bench.refused(&nested("[", "]", depth), MALFORMED);
        bench.refused(&nested(r#"{"a":"#, "}", depth), MALFORMED);
        bench.refused(&raw(&bench, "[".repeat(depth).as_bytes()), MALFORMED);
    }
}

/// Texts that are not JSON. They stand for a value: each is tried as the whole payload, and as a claim.
const NOT_JSON: [&str; 96] = [
    "",
    " ",
    "[",
    "]",
    "{",
    "}",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[,]",
    "[1,,2]",
    "[1 2]",
    "[1:2]",
    "{1:1}",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":1",
    "{\"a\":1,",
    "{\"a\":1,}",
    "{,\"a\":1}",
    "{\"a\":1,,\"b\":2}",
    "{\"a\" 1}",
    "{\"a\"::1}",
    "{a:1}",
    "{'a':1}",
    "{\"a\":1 \"b\":2}",
    "{\"a\",1}",
    "{null:1}",
    "{[1]:1}",
    "{\"a\":}",
    "{:1}",
    "{\"a\":1}}",
    "{\"a\":1}]",
    "[1]]",
    "[1]x",
    "{}{}",
    "[] []",
    "{\"a\":1}#",
    "{\"a\":1}/**/",
    "//x\n{}",
    "/*x*/{}",
    "[1/*x*/]",
    "nul",
    "nulll",
    "NULL",
    "Null",
    "tru",
    "True",
    "TRUE",
    "fals",
    "False",
    "undefined",
    "NaN",
    "-NaN",
    "Infinity",
    "-Infinity",
    "inf",
    "01",
    "-01",
    "00",
    "1.",
    ".5",
    "-.5",
    "+1",
    "--1",
    "-",
    "1e",
    "1e+",
    "1E-",
    "1.e1",
    "0x10",
    "1_000",
    "1,5",
    "1e1.5",
    "1a",
    "2.e+3",
    "0e",
    "\"",
    "\"a",
    "a\"",
    "'a'",
    "\"\\x41\"",
    "\"\\a\"",
    "\"\\\"",
    "\"\\u\"",
    "\"\\u12\"",
    "\"\\u12G4\"",
    "\"\\uD800\"",
    "\"\\uD800\\u0041\"",
    "\"\\uDC00\"",
    "\"\\uD800\\n\"",
    "\"\ttab\"",
    "\"new\nline\"",
    "\"nul\0\"",
    "\u{feff}{}",
];

#[test]
fn row_106_payloads_that_are_not_json() {
    let bench = Bench::quick();
    for text in NOT_JSON {
        bench.refused_bytes(text.as_bytes());
        bench.refused_bytes(with_text(&format!("\"x\":{text}")).as_bytes());
    }
    let bytes: [&[u8]; 16] = [
        b"\xff",
        b"\"\xff\"",
        b"{\"\xff\":1}",
        b"\"\xc0\xaf\"",
        b"\"\xed\xa0\x80\"",
        b"\"\xf4\x90\x80\x80\"",
        b"\"\xe2\x82\"",
        b"\"\x80\"",
        b"\"\xfc\x80\x80\x80\x80\x80\"",
        b"\xfe\xff\x00{\x00}",
        b"\xff\xfe{\x00}\x00",
        b"{\x00}",
        b"\x00",
        b"[\x0c]",
        b"\"\\\xe5\"",
        b"[\xc2\xa0]",
    ];
    for text in bytes {
        bench.refused_bytes(text);
        bench.refused_bytes(&[b"{\"x\":", text, b"}"].concat());
    }
}

impl Bench {
    /// An empty payload is an empty part; everything else is well signed.
    #[track_caller]
    fn refused_bytes(&self, payload: &[u8]) {
        self.refused(&raw(self, payload), MALFORMED);
    }
}

/// Good JSON, odd as it may be.
const JSON: [&str; 45] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-1",
    "1.5",
    "1e2",
    "1E+2",
    "1e-2",
    "-0.0",
    "123.456e78",
    "9007199254740993",
    "-9223372036854775808",
    "18446744073709551615",
    "1e308",
    "5e-324",
    "1e-400",
    "\"\"",
    "\" \"",
    "\"\\u0041\"",
    "\"\\\"\\\\\\/\"",
    "\"\\b\\f\\n\\r\\t\"",
    "\"\\uD834\\uDD1E\"",
    "\"\\u0000\"",
    "\"\u{7f}\"",
    "\"\u{2028}\"",
    "\"\u{feff}\"",
    "\"é\"",
    "\"😀\"",
    "\"\u{10ffff}\"",
    "\"\\uFFFF\"",
    "[]",
    "[[]]",
    "[ ]",
    "[1 , 2]",
    "[null,1,\"1\",{}]",
    "{}",
    "{ \"a\" : 1 }",
    "{\"\":0}",
    "{\"\\u0000\":1}",
    "{\"a\":{\"a\":1}}",
    "{\"é\":1,\"e\u{301}\":2}",
    "\t[1]\n",
    "\r\n {\"a\":[]} ",
];

#[test]
fn row_107_payloads_that_are_json() {
    let bench = Bench::quick();
    for text in JSON {
        // Alone, none of them is a set of claims.
        bench.refused(&raw(&bench, text.as_bytes()), &[Reason::TokenMalformed, Reason::UnknownIssuer]);
        // As a claim that nobody asks for, each is fine, and it arrives as it is.
        let principal = bench.accepted(&raw(&bench, with_text(&format!("\"x\":{text}")).as_bytes()));
        assert_eq!(principal.claims()["x"], serde_json::from_str::<serde_json::Value>(text).unwrap(), "{text}");
    }
}

/// Texts on which JSON parsers differ, and the answer here.
const DISPUTED: [(&str, bool); 22] = [
    ("1e400", false),
    ("-1e400", false),
    ("1e99999999999", false),
    ("1e-99999999999", true),
    ("123123e100000", false),
    ("0.4e00669999999999999999999999999999999999999999999999999999999999999999", false),
    ("100000000000000000000", true),
    ("-123123123123123123123123123123", true),
    ("18446744073709551616", true),
    ("\"\\uDADA\"", false),
    ("\"\\uD888\\u1234\"", false),
    ("\"\\uD800\\uD800\\n\"", false),
    ("\"\\uDd1ea\"", false),
    ("\"\\uDd1e\\uD834\"", false),
    ("\"\\ud800abc\"", false),
    ("{\"\\uDFAA\":0}", false),
    ("{\"a\":1,\"a\":1}", false),
    ("{\"a\":1,\"a\":2}", false),
    ("[\"\u{feff}\"]", true),
    ("\"\\u0000\\u0001\"", true),
    ("{\"a\":1,\"A\":2}", true),
    ("[1,2,3,4,5,6,7,8,9,10]", true),
];

#[test]
fn row_108_disputed_json_has_a_stable_answer() {
    let bench = Bench::quick();
    for (text, good) in DISPUTED {
        let token = raw(&bench, with_text(&format!("\"x\":{text}")).as_bytes());
        for _ in 0..3 {
            if good {
                bench.accepted(&token);
            } else {
                bench.refused(&token, MALFORMED);
            }
        }
    }
}

#[test]
fn row_109_encodings() {
    let bench = Bench::quick();
    let good = good_claims().to_string();
    let wide = |to: fn(u16) -> [u8; 2]| good.encode_utf16().flat_map(to).collect::<Vec<u8>>();
    let payloads: Vec<Vec<u8>> = vec![
        wide(u16::to_be_bytes),
        wide(u16::to_le_bytes),
        [b"\xfe\xff".to_vec(), wide(u16::to_be_bytes)].concat(),
        [b"\xff\xfe".to_vec(), wide(u16::to_le_bytes)].concat(),
        format!("\u{feff}{good}").into_bytes(),
        format!("{good}\0").into_bytes(),
        format!("\0{good}").into_bytes(),
        format!("{good} trailing").into_bytes(),
        format!("{good}{good}").into_bytes(),
        with_text(r#""x":"\ud800""#).into_bytes(),
        with_text(r#""\udc00":1"#).into_bytes(),
        [with_text("\"x\":\"").trim_end_matches('}').as_bytes(), b"\xc0\xaf\"}"].concat(),
        [with_text("\"x\":\"").trim_end_matches('}').as_bytes(), b"\xed\xa0\x80\"}"].concat(),
    ];
    for payload in payloads {
        bench.refused(&raw(&bench, &payload), MALFORMED);
    }
    bench.accepted(&raw(&bench, format!(" \r\n\t{good}\n").as_bytes()));
}

#[test]
fn row_110_many_members_and_long_texts() {
    let bench = Bench::quick();
    let many: String = (0..50_000).map(|index| format!(",\"m{index}\":1")).collect();
    let started = std::time::Instant::now();
    let tokens = [
        raw(&bench, with_text(&many[1..]).as_bytes()),
        bench.token(&claims_with(&json!({ "x": "a".repeat(1 << 20) }))),
    ];
    let minted = started.elapsed();
    for token in tokens {
        let started = std::time::Instant::now();
        for _ in 0..1000 {
            assert_eq!(bench.validate(&token).unwrap_err().reason, Reason::TokenTooLarge);
        }
        // A thousand refusals cost less than making two such tokens did, or a second on a busy machine.
        assert!(started.elapsed() < minted.max(std::time::Duration::from_secs(1)), "{:?}", started.elapsed());
    }
}

#[test]
fn row_112_claim_names_that_look_alike() {
    let mut bench = Bench::quick();
    let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}");
    let path = |name: &str| tollgate::core::principal::ClaimPath::new([name]).unwrap();
    bench.spec.claims.tenant = Some(path(composed));
    let principal = bench.accepted(&bench.token(&claims_with(&json!({ decomposed: "other" }))));
    assert_eq!(principal.tenant(), None);
    let both = claims_with(&json!({ decomposed: "other", composed: "mine" }));
    assert_eq!(bench.accepted(&bench.token(&both)).tenant(), Some("mine"));
    // And the registered names have one spelling.
    bench.claims_refused(&claims_with(&json!({ "iss": null, "ıss": ISSUER })), Reason::UnknownIssuer);
    bench.claims_refused(&claims_with(&json!({ "exp": null, "Exp": NOW + 300 })), Reason::TokenClaims);
}
