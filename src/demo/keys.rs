//! Keys that are made when they are needed and forgotten with the process: tokens of the demo and of tests are
//! really signed.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::DemoError;

/// A private key, in memory only.
pub struct SigningKey {
    kid: Option<String>,
    pair: Pair,
}

enum Pair {
    Rs256(Box<RsaKeyPair>),
    Es256(Box<EcdsaKeyPair>),
}

impl SigningKey {
    /// A new RSA key of 2048 bits for RS256. Without `kid`, tokens have none, as Passport's.
    ///
    /// # Errors
    /// Where no key can be made.
    pub fn rs256(kid: Option<&str>) -> Result<Self, DemoError> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| DemoError::Keys)?;
        Ok(Self { kid: kid.map(str::to_owned), pair: Pair::Rs256(Box::new(pair)) })
    }

    /// A new P-256 key for ES256.
    ///
    /// # Errors
    /// Where no key can be made.
    pub fn es256(kid: Option<&str>) -> Result<Self, DemoError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| DemoError::Keys)?;
        Ok(Self { kid: kid.map(str::to_owned), pair: Pair::Es256(Box::new(pair)) })
    }

    /// The `alg` value.
    pub fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Rs256(_) => "RS256",
            Pair::Es256(_) => "ES256",
        }
    }

    /// A JWT with these claims, in compact form (RFC 7515 §7.1).
    ///
    /// # Errors
    /// Where signing fails.
    pub fn sign(&self, claims: &Value) -> Result<String, DemoError> {
        let mut header = json!({ "typ": "JWT", "alg": self.algorithm() });
        if let (Some(kid), Some(header)) = (&self.kid, header.as_object_mut()) {
            header.insert("kid".to_owned(), json!(kid));
        }
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(&header), encode(claims));
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature)
                    .map_err(|_| DemoError::Keys)?;
                signature
            }
            Pair::Es256(pair) => pair.sign(&random, message.as_bytes()).map_err(|_| DemoError::Keys)?.as_ref().to_vec(),
        };
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The public half as a JWK (RFC 7517 §4).
    pub fn jwk(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.pair {
            Pair::Rs256(pair) => {
                let public = pair.public_key();
                let (n, e) = (public.modulus(), public.exponent());
                json!({
                    "kty": "RSA",
                    "n": encode(n.big_endian_without_leading_zero()),
                    "e": encode(e.big_endian_without_leading_zero()),
                })
            }
            Pair::Es256(pair) => {
                // An uncompressed point: 4, then both coordinates (SEC 1 §2.3.3).
                let point = pair.public_key().as_ref();
                let (x, y) = point.get(1..).unwrap_or_default().split_at_checked(32).unwrap_or_default();
                json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) })
            }
        };
        if let Some(jwk) = jwk.as_object_mut() {
            jwk.insert("use".to_owned(), json!("sig"));
            jwk.insert("alg".to_owned(), json!(self.algorithm()));
            if let Some(kid) = &self.kid {
                jwk.insert("kid".to_owned(), json!(kid));
            }
        }
        jwk
    }

    /// The public half as PEM (`BEGIN PUBLIC KEY`), the form of Passport's `oauth-public.key`.
    ///
    /// # Errors
    /// Where it cannot be encoded.
    pub fn public_pem(&self) -> Result<String, DemoError> {
        let der: PublicKeyX509Der<'_> = match &self.pair {
            Pair::Rs256(pair) => pair.public_key().as_der(),
            Pair::Es256(pair) => pair.public_key().as_der(),
        }
        .map_err(|_| DemoError::Keys)?;
        let packed = STANDARD.encode(der.as_ref());
        let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
        let mut rest = packed.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = after;
        }
        pem.push_str("-----END PUBLIC KEY-----\n");
        Ok(pem)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, {:?})", self.algorithm(), self.kid)
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::jwk::Jwk;
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};

    use super::*;

    #[test]
    fn what_is_signed_verifies_with_what_is_published() {
        let claims = json!({ "sub": "a", "aud": "b", "exp": 4_102_444_800_u64 });
        for (key, algorithm) in [
            (SigningKey::rs256(Some("r")).unwrap(), Algorithm::RS256),
            (SigningKey::es256(Some("e")).unwrap(), Algorithm::ES256),
        ] {
            let token = key.sign(&claims).unwrap();
            let mut validation = Validation::new(algorithm);
            validation.set_audience(&["b"]);
            let jwk: Jwk = serde_json::from_value(key.jwk()).unwrap();
            let pem = key.public_pem().unwrap();
            let from_pem = match algorithm {
                Algorithm::RS256 => DecodingKey::from_rsa_pem(pem.as_bytes()),
                _ => DecodingKey::from_ec_pem(pem.as_bytes()),
            };
            for public in [DecodingKey::from_jwk(&jwk).unwrap(), from_pem.unwrap()] {
                assert_eq!(decode::<Value>(&token, &public, &validation).unwrap().claims, claims);
            }
            let other = SigningKey::rs256(None).unwrap().public_pem().unwrap();
            let other = DecodingKey::from_rsa_pem(other.as_bytes()).unwrap();
            assert!(decode::<Value>(&token, &other, &validation).is_err());
        }
    }
}
