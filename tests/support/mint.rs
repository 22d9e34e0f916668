//! Makes keys and signs whatever bytes a test wants signed.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests; each test file uses a part of this"
)]

use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaEncoding, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use num_bigint::BigUint;
use serde_json::{Value, json};

/// Base64url without padding.
pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Two RSA keys for the whole process: making one takes long.
static RSA: LazyLock<[RsaKeyPair; 2]> =
    LazyLock::new(|| [0, 1].map(|_| RsaKeyPair::generate(KeySize::Rsa2048).expect("an RSA key")));

/// A private key and the algorithm that it signs with.
pub struct Signer {
    alg: &'static str,
    key: Key,
}

enum Key {
    Rsa(&'static RsaKeyPair, &'static dyn RsaEncoding),
    Ec(EcdsaKeyPair, &'static str),
    Ed(Ed25519KeyPair),
}

impl Signer {
    /// The process's first RSA key, for `RS256`.
    pub fn rs256() -> Self {
        Self::rsa(0, "RS256")
    }

    /// The process's first RSA key, for `PS256`.
    pub fn ps256() -> Self {
        Self::rsa(0, "PS256")
    }

    /// The process's second RSA key, for `RS256`.
    pub fn other_rs256() -> Self {
        Self::rsa(1, "RS256")
    }

    /// One of the process's two RSA keys, for this algorithm.
    pub fn rsa(index: usize, alg: &'static str) -> Self {
        let encoding: &'static dyn RsaEncoding = match alg {
            "RS256" => &signature::RSA_PKCS1_SHA256,
            "RS384" => &signature::RSA_PKCS1_SHA384,
            "RS512" => &signature::RSA_PKCS1_SHA512,
            "PS256" => &signature::RSA_PSS_SHA256,
            "PS384" => &signature::RSA_PSS_SHA384,
            "PS512" => &signature::RSA_PSS_SHA512,
            _ => panic!("not an RSA algorithm: {alg}"),
        };
        Self { alg, key: Key::Rsa(&RSA[index], encoding) }
    }

    /// A new P-256 key.
    pub fn es256() -> Self {
        let key = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).expect("an EC key");
        Self { alg: "ES256", key: Key::Ec(key, "P-256") }
    }

    /// A new P-384 key.
    pub fn es384() -> Self {
        let key = EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).expect("an EC key");
        Self { alg: "ES384", key: Key::Ec(key, "P-384") }
    }

    /// A new Ed25519 key.
    pub fn ed25519() -> Self {
        Self { alg: "EdDSA", key: Key::Ed(Ed25519KeyPair::generate().expect("an Ed25519 key")) }
    }

    /// The `alg` that goes with the key.
    pub fn alg(&self) -> &'static str {
        self.alg
    }

    /// A header for this key: `alg`, `kid` and `typ: JWT`.
    pub fn header(&self, kid: &str) -> Value {
        json!({ "alg": self.alg, "typ": "JWT", "kid": kid })
    }

    /// The public key as a JWK with this `kid` and `alg`.
    pub fn jwk(&self, kid: &str) -> Value {
        match &self.key {
            Key::Rsa(key, _) => {
                let n = b64(key.public_key().modulus().big_endian_without_leading_zero());
                let e = b64(key.public_key().exponent().big_endian_without_leading_zero());
                json!({ "kty": "RSA", "kid": kid, "alg": self.alg, "use": "sig", "n": n, "e": e })
            }
            Key::Ec(key, curve) => {
                let (x, y) = point(key);
                json!({ "kty": "EC", "kid": kid, "alg": self.alg, "use": "sig", "crv": curve, "x": b64(x), "y": b64(y) })
            }
            Key::Ed(key) => {
                let x = b64(key.public_key().as_ref());
                json!({ "kty": "OKP", "kid": kid, "alg": self.alg, "use": "sig", "crv": "Ed25519", "x": x })
            }
        }
    }

    /// The public key as a JWK without `kid` and `alg`.
    pub fn bare_jwk(&self) -> Value {
        let mut jwk = self.jwk("");
        for member in ["kid", "alg", "use"] {
            jwk.as_object_mut().unwrap().remove(member);
        }
        jwk
    }

    /// The public key's `SubjectPublicKeyInfo`.
    pub fn public_der(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = match &self.key {
            Key::Rsa(key, _) => key.public_key().as_der().unwrap(),
            Key::Ec(key, _) => key.public_key().as_der().unwrap(),
            Key::Ed(key) => key.public_key().as_der().unwrap(),
        };
        der.as_ref().to_vec()
    }

    /// The public key as PEM.
    pub fn public_pem(&self) -> String {
        let text = STANDARD.encode(self.public_der());
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// A token of this header and payload.
    pub fn sign(&self, header: &Value, payload: &Value) -> String {
        self.sign_raw(header.to_string().as_bytes(), payload.to_string().as_bytes())
    }

    /// A token of these bytes, be they JSON or not.
    pub fn sign_raw(&self, header: &[u8], payload: &[u8]) -> String {
        let signed = format!("{}.{}", b64(header), b64(payload));
        let signature = b64(self.signature(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// A signature over a message.
    pub fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Rsa(key, encoding) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(*encoding, &random, message, &mut signature).unwrap();
                signature
            }
            Key::Ec(key, _) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Key::Ed(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    /// RSA only: what a block becomes under the private key, whatever its padding.
    pub fn raw_rsa(&self, block: &[u8]) -> Vec<u8> {
        let (n, d) = self.rsa_numbers();
        let size = n.to_bytes_be().len();
        fixed(&BigUint::from_bytes_be(block).modpow(&d, &n), size)
    }

    /// RSA only: the modulus and the private exponent.
    pub fn rsa_numbers(&self) -> (BigUint, BigUint) {
        let Key::Rsa(key, _) = &self.key else { panic!("not an RSA key") };
        let pkcs8: Pkcs8V1Der<'_> = key.as_der().unwrap();
        // PrivateKeyInfo { version, algorithm, OCTET STRING { RSAPrivateKey { version, n, e, d, … } } }
        let info = der_items(&der_items(pkcs8.as_ref())[0]);
        let key = der_items(&der_items(&info[2])[0]);
        (BigUint::from_bytes_be(&key[1]), BigUint::from_bytes_be(&key[3]))
    }
}

/// A number as bytes of a fixed length.
pub fn fixed(number: &BigUint, size: usize) -> Vec<u8> {
    let bytes = number.to_bytes_be();
    let mut out = vec![0; size.saturating_sub(bytes.len())];
    out.extend(bytes);
    out
}

fn point(key: &EcdsaKeyPair) -> (&[u8], &[u8]) {
    let uncompressed = key.public_key().as_ref();
    uncompressed[1..].split_at((uncompressed.len() - 1) / 2)
}

/// The contents of the DER values that stand one after the other in `bytes`.
fn der_items(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut items = Vec::new();
    while bytes.len() >= 2 {
        let (length, header) = match bytes[1] {
            short @ 0..0x80 => (usize::from(short), 2),
            long => {
                let count = usize::from(long & 0x7f);
                let length = bytes[2..2 + count].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
                (length, 2 + count)
            }
        };
        items.push(bytes[header..header + length].to_vec());
        bytes = &bytes[header + length..];
    }
    items
}
