//! Client assertions that are signed here (RFC 7523 §2.2, §3).

use std::path::Path;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header, encode};
use rand::Rng as _;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Serialize;
use zeroize::{Zeroize as _, Zeroizing};

use crate::clock::Timestamp;
use crate::core::algorithm::Algorithm;
use crate::secret::{MAX_SECRET_BYTES, Secret, read_bytes};

/// How long an assertion is good, in seconds. Providers refuse more than a minute, and clocks differ a little.
const LIFETIME_SECONDS: i64 = 45;

/// What an assertion says.
pub(super) struct Assertion<'a> {
    /// `iss` and `sub`.
    pub(super) client: &'a str,
    /// `aud`.
    pub(super) audience: &'a str,
    /// The PEM file of the key.
    pub(super) key: &'a Path,
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: String,
    iat: i64,
    exp: i64,
}

impl Assertion<'_> {
    /// Reads the key and signs; each time with another `jti`. Blocks.
    pub(super) fn sign(&self, now: Timestamp) -> Result<Secret, String> {
        let fail = |what: &str| format!("file `{}` {what}", self.key.display());
        let pem = read_bytes(self.key, MAX_SECRET_BYTES).map_err(|error| error.to_string())?;
        let algorithm = of_jsonwebtoken(self.algorithm);
        let key = match self.algorithm {
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512 => EncodingKey::from_rsa_pem(&pem)
                .map_err(|_| fail("holds no RSA private key in PEM (PKCS#8 or PKCS#1, without a passphrase)"))?,
            Algorithm::ES256 => ec(&pem, &ECDSA_P256_SHA256_FIXED_SIGNING).ok_or_else(|| {
                fail("holds no EC private key on P-256 in PEM (PKCS#8 or SEC1, without a passphrase)")
            })?,
            Algorithm::ES384 => ec(&pem, &ECDSA_P384_SHA384_FIXED_SIGNING).ok_or_else(|| {
                fail("holds no EC private key on P-384 in PEM (PKCS#8 or SEC1, without a passphrase)")
            })?,
            Algorithm::EdDSA => EncodingKey::from_ed_pem(&pem)
                .map_err(|_| fail("holds no Ed25519 private key in PEM (PKCS#8, without a passphrase)"))?,
        };
        let mut header = Header::new(algorithm);
        header.kid = self.key_id.map(str::to_owned);
        let issued = now.as_unix_seconds();
        let claims = Claims {
            iss: self.client,
            sub: self.client,
            aud: self.audience,
            jti: URL_SAFE_NO_PAD.encode(rand::rng().random::<[u8; 16]>()),
            iat: issued,
            exp: issued.saturating_add(LIFETIME_SECONDS),
        };
        let signed = encode(&header, &claims, &key);
        let signed = signed.map_err(|_| fail("holds a key that cannot sign with the configured `algorithm`"))?;
        Ok(Secret::new(&**Zeroizing::new(signed)))
    }
}

/// An EC key, in the one form that can be signed with.
fn ec(pem: &[u8], algorithm: &'static EcdsaSigningAlgorithm) -> Option<EncodingKey> {
    let mut der = PrivateKeyDer::from_pem_slice(pem).ok()?;
    let pair = EcdsaKeyPair::from_private_key_der(algorithm, der.secret_der());
    der.zeroize();
    let pkcs8 = pair.ok()?.to_pkcs8v1().ok()?;
    Some(EncodingKey::from_ec_der(pkcs8.as_ref()))
}

const fn of_jsonwebtoken(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::RS256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::RS384 => jsonwebtoken::Algorithm::RS384,
        Algorithm::RS512 => jsonwebtoken::Algorithm::RS512,
        Algorithm::PS256 => jsonwebtoken::Algorithm::PS256,
        Algorithm::PS384 => jsonwebtoken::Algorithm::PS384,
        Algorithm::PS512 => jsonwebtoken::Algorithm::PS512,
        Algorithm::ES256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::ES384 => jsonwebtoken::Algorithm::ES384,
        Algorithm::EdDSA => jsonwebtoken::Algorithm::EdDSA,
    }
}
