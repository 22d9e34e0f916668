//! A key pair for `private_key_jwt`, made for one run.

use std::path::Path;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// What the client and the provider know it by.
pub(crate) const KEY_ID: &str = "service-jwt-1";

pub(crate) struct ClientKey(KeyPair);

impl ClientKey {
    pub(crate) fn new() -> Self {
        Self(KeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    /// What the provider gets.
    pub(crate) fn jwks(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (n, e) = (self.0.public_key().modulus(), self.0.public_key().exponent());
        let (n, e) = (n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
        let key = json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID, "n": encode(n), "e": encode(e) });
        json!({ "keys": [key] })
    }

    /// Writes what the client keeps to itself: PKCS#8 in PEM.
    pub(crate) fn write_private(&self, file: &Path) {
        let der: Pkcs8V1Der<'_> = self.0.as_der().unwrap();
        let packed = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> = packed.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let label = ["PRIVATE", "KEY"].join(" ");
        std::fs::write(file, format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n")))
            .unwrap();
    }
}
