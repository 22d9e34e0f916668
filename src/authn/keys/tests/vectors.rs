//! The generator of keys, signatures and documents.

use std::path::Path;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::super::{KeySet, KeySetError, PemError};
use crate::authn::spec::Algorithm;

pub(super) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) struct Rsa(RsaKeyPair);

impl Rsa {
    pub(super) fn generate() -> Self {
        Self(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub(super) fn n(&self) -> Vec<u8> {
        self.0.public_key().modulus().big_endian_without_leading_zero().to_vec()
    }

    pub(super) fn jwk(&self, kid: &str) -> Value {
        let e = self.0.public_key().exponent().big_endian_without_leading_zero();
        json!({ "kty": "RSA", "kid": kid, "n": b64(self.n()), "e": b64(e) })
    }

    pub(super) fn spki(&self) -> Vec<u8> {
        self.0.public_key().as_der().unwrap().as_ref().to_vec()
    }

    pub(super) fn pkcs1(&self) -> Vec<u8> {
        self.0.public_key().as_ref().to_vec()
    }

    pub(super) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        let encoding: &'static dyn aws_lc_rs::signature::RsaEncoding = match algorithm {
            Algorithm::RS256 => &RSA_PKCS1_SHA256,
            Algorithm::RS384 => &RSA_PKCS1_SHA384,
            Algorithm::RS512 => &RSA_PKCS1_SHA512,
            Algorithm::PS256 => &RSA_PSS_SHA256,
            Algorithm::PS384 => &RSA_PSS_SHA384,
            Algorithm::PS512 => &RSA_PSS_SHA512,
            Algorithm::ES256 | Algorithm::ES384 | Algorithm::EdDSA => panic!("not RSA"),
        };
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(encoding, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    }
}

pub(super) struct Ec(EcdsaKeyPair, &'static str);

impl Ec {
    pub(super) fn p256() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(), "P-256")
    }

    pub(super) fn p384() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(), "P-384")
    }

    /// Uncompressed, with its first byte.
    pub(super) fn point(&self) -> Vec<u8> {
        self.0.public_key().as_ref().to_vec()
    }

    pub(super) fn jwk(&self, kid: &str) -> Value {
        let point = self.point();
        let (x, y) = point[1..].split_at(point.len() / 2);
        json!({ "kty": "EC", "kid": kid, "crv": self.1, "x": b64(x), "y": b64(y) })
    }

    pub(super) fn spki(&self) -> Vec<u8> {
        self.0.public_key().as_der().unwrap().as_ref().to_vec()
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }
}

pub(super) struct Ed(Ed25519KeyPair);

impl Ed {
    pub(super) fn generate() -> Self {
        Self(Ed25519KeyPair::generate().unwrap())
    }

    pub(super) fn jwk(&self, kid: &str) -> Value {
        json!({ "kty": "OKP", "kid": kid, "crv": "Ed25519", "x": b64(self.0.public_key()) })
    }

    pub(super) fn spki(&self) -> Vec<u8> {
        self.0.public_key().as_der().unwrap().as_ref().to_vec()
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }
}

/// An odd number of so many bits; nobody checks that it has two factors.
pub(super) fn rsa_of_bits(bits: usize) -> Value {
    let mut n = vec![0; bits.div_ceil(8)];
    SystemRandom::new().fill(&mut n).unwrap();
    let top = (bits - 1) % 8;
    n[0] = (n[0] & ((1 << top) - 1)) | (1 << top);
    *n.last_mut().unwrap() |= 1;
    json!({ "kty": "RSA", "kid": "k", "n": b64(&n), "e": "AQAB" })
}

/// Points whose order divides 8, in each encoding, and points with y not below the field's number.
pub(super) fn small_order_points() -> Vec<[u8; 32]> {
    let hex = |text: &str| {
        let mut point = [0; 32];
        for (byte, digits) in point.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
        }
        point
    };
    let edge = |low: u8| {
        let mut point = [0xff; 32];
        point[0] = low;
        point[31] = 0x7f;
        point
    };
    let mut points = vec![
        hex("0000000000000000000000000000000000000000000000000000000000000000"),
        hex("0100000000000000000000000000000000000000000000000000000000000000"),
        hex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        hex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    ];
    points.extend((0xec..=0xff).map(edge));
    let signed = points.clone().into_iter().map(|mut point| {
        point[31] |= 0x80;
        point
    });
    points.extend(signed.collect::<Vec<_>>());
    points
}

pub(super) fn with(mut jwk: Value, member: &str, value: impl Into<Value>) -> Value {
    jwk[member] = value.into();
    jwk
}

pub(super) fn jwks(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into_bytes()
}

/// The set of these keys, none of which is refused.
pub(super) fn set(keys: &[Value]) -> KeySet {
    let published = KeySet::from_jwks(&jwks(keys)).unwrap();
    assert_eq!(published.refused, Vec::<&str>::new());
    published.set
}

/// Why this one key is refused.
pub(super) fn refusal(jwk: Value) -> &'static str {
    match KeySet::from_jwks(&jwks(&[jwk])) {
        Err(KeySetError::NoUsableKey(Some(why))) => why,
        other => panic!("not refused: {other:?}"),
    }
}

pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

pub(super) fn from_pem(text: &str) -> Result<KeySet, PemError> {
    KeySet::from_pem([(Path::new("keys.pem"), text.as_bytes())])
}
