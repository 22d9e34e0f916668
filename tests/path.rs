//! Canonical paths: section I of the hostile inputs as far as the path alone decides, and idempotence.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::*;
use tollgate::core::path::{CanonicalPath, PathError};

fn read(path: &str) -> Result<String, PathError> {
    CanonicalPath::parse(path).map(|path| path.to_string())
}

fn all_refused(paths: &[&str]) {
    for path in paths {
        assert!(read(path).is_err(), "{path} read as {:?}", read(path));
    }
}

#[test]
fn row_126_dot_segments_in_every_spelling() {
    all_refused(&[
        "/public/../private",
        "/./x",
        "/x/.",
        "/x/..",
        "/%2e%2e/x",
        "/%2E%2E/x",
        "/%2e./x",
        "/.%2E/x",
        "/x/%2e",
        "/..",
    ]);
    assert_eq!(read("/.well-known/jwks").unwrap(), "/.well-known/jwks");
    assert_eq!(read("/a..b/...").unwrap(), "/a..b/...");
}

#[test]
fn row_127_empty_segments() {
    all_refused(&["//admin", "/admin//x", "/admin//", "//", "///"]);
    assert_eq!(read("/").unwrap(), "/");
}

#[test]
fn row_128_slashes_in_disguise() {
    all_refused(&["/a%2fb", "/a%2Fb", "/a%5cb", "/a%5Cb", "/a\\b", "/%2f", "/%5c.."]);
}

#[test]
fn row_129_fragments() {
    all_refused(&["/admin#frag", "/admin%23frag", "/#"]);
}

#[test]
fn row_130_path_parameters() {
    all_refused(&["/admin;x=y", "/;/admin", "/..;/admin", "/admin%3bx"]);
}

#[test]
fn row_131_controls() {
    all_refused(&["/admin%00", "/admin\0", "/a%0a", "/a%0d", "/a\n", "/a\x7f", "/a%7f", "/a%c2%85"]);
}

#[test]
fn row_132_encodings_of_encodings() {
    all_refused(&[
        "/%252e%252e",
        "/a%252fb",
        "/%c0%ae",
        "/%u002e",
        "/%25u002e",
        "/%e0%80%ae",
        "/%2",
        "/%",
        "/%zz",
        "/%25%32%65",
    ]);
    assert_eq!(read("/100%25").unwrap(), "/100%25");
    assert_eq!(read("/%C3%A9").unwrap(), "/%C3%A9");
}

#[test]
fn row_133_every_byte_as_a_suffix() {
    for byte in 1..=255_u8 {
        let encoded = format!("/admin%{byte:02x}");
        match (byte, read(&encoded)) {
            (0..=0x1f | 0x7f.. | b'/' | b'\\' | b';' | b'?' | b'#' | b' ', answer) => {
                assert!(answer.is_err(), "{encoded}: {answer:?}");
            }
            (_, answer) => {
                // The byte is data, the path another one than /admin, and its spelling canonical.
                let path = CanonicalPath::parse(&encoded).unwrap();
                assert_eq!(path.segments().next().unwrap(), format!("admin{}", char::from(byte)));
                assert_ne!(answer.unwrap(), "/admin");
            }
        }
    }
}

#[test]
fn row_134_traversal_words_never_reach_a_protected_path() {
    let words = [
        "../admin",
        "..\\admin",
        "....//admin",
        "..;/admin",
        "%2e%2e%2fadmin",
        "..%2fadmin",
        "..%5cadmin",
        "%2e%2e/admin",
        "..%c0%afadmin",
        "..%252fadmin",
        "%252e%252e%252fadmin",
        "..%00/admin",
        "..%0d/admin",
        "..%ff/admin",
        "%c0%ae%c0%ae/admin",
        "%uff0e%uff0e/admin",
        "./admin",
        "x/../../admin",
        "x/..",
        ".%00./admin",
        "..././admin",
        "%2e%2e\\admin",
        "%%32%65%%32%65/admin",
    ];
    let encoders: [fn(&str) -> String; 5] = [
        str::to_owned,
        |word| word.replace('.', "%2e"),
        |word| word.replace('/', "%2f"),
        |word| word.replace('%', "%25"),
        |word| word.bytes().map(|b| format!("%{b:02x}")).collect(),
    ];
    for word in words {
        for encode in encoders {
            let path = format!("/public/{}", encode(word));
            if let Ok(read) = CanonicalPath::parse(&path) {
                let segments: Vec<&str> = read.segments().collect();
                assert_eq!(segments[0], "public", "{path}");
                assert!(
                    segments.iter().all(|s| !s.contains(['/', '\\']) && *s != ".." && *s != "."),
                    "{path}: {segments:?}"
                );
            }
        }
    }
}

#[test]
fn row_135_case_counts() {
    assert_ne!(CanonicalPath::parse("/Admin").unwrap(), CanonicalPath::parse("/admin").unwrap());
}

#[test]
fn row_136_trailing_slash_dot_and_space() {
    let admin = CanonicalPath::parse("/admin").unwrap();
    assert_ne!(CanonicalPath::parse("/admin/").unwrap(), admin);
    assert_ne!(CanonicalPath::parse("/admin.").unwrap(), admin);
    all_refused(&["/admin%20", "/admin ", "/%20admin"]);
}

#[test]
fn row_139_forms_other_than_origin_form() {
    all_refused(&["*", "", "example.com:443", "http://example.com/admin", "https://example.com"]);
}

#[test]
fn row_140_no_leading_slash() {
    all_refused(&["shop.v1.Payments/Charge", "admin", " /admin"]);
}

#[test]
fn letters_are_the_same_path_encoded_or_not() {
    assert_eq!(CanonicalPath::parse("/%61dmin/%40me").unwrap(), CanonicalPath::parse("/admin/@me").unwrap());
}

#[test]
fn depth_is_bounded() {
    assert!(CanonicalPath::parse(&"/a".repeat(256)).is_ok());
    assert_eq!(CanonicalPath::parse(&"/a".repeat(257)), Err(PathError::TooDeep));
}

proptest! {
    #[test]
    fn canonical_paths_are_idempotent(raw in "/[a-z%0-9A-F./\\\\;~@:é \\x00-\\x20]{0,40}") {
        if let Ok(path) = CanonicalPath::parse(&raw) {
            let text = path.to_string();
            let again = CanonicalPath::parse(&text);
            prop_assert_eq!(again.as_ref(), Ok(&path), "{}", text);
            prop_assert_eq!(CanonicalPath::parse(&text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn no_text_makes_it_panic(raw in any::<String>()) {
        let _ = CanonicalPath::parse(&raw);
    }
}
