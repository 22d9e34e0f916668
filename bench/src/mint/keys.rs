//! The issuer's keys.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// What a token is signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256, 2048 bits.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    /// As a token's header names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    const fn kind(self) -> &'static str {
        match self {
            Self::Rs256 => "rsa",
            Self::Es256 => "ec",
            Self::EdDsa => "ed",
        }
    }

    pub(super) const fn signature_bytes(self) -> usize {
        match self {
            Self::Rs256 => 256,
            Self::Es256 | Self::EdDsa => 64,
        }
    }
}

/// One key for each algorithm.
pub struct Keys {
    generation: u32,
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
    random: SystemRandom,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

const FILES: [&str; 3] = ["rsa.der", "ec.der", "ed.der"];

impl Keys {
    /// New ones.
    ///
    /// # Errors
    /// The library's.
    pub fn generate() -> anyhow::Result<Self> {
        Self::of(1)
    }

    /// New ones with other ids: what follows on these when keys are rotated.
    ///
    /// # Errors
    /// The library's.
    pub fn next(&self) -> anyhow::Result<Self> {
        Self::of(self.generation + 1)
    }

    fn of(generation: u32) -> anyhow::Result<Self> {
        Ok(Self {
            generation,
            rsa: RsaKeyPair::generate(KeySize::Rsa2048)?,
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?,
            ed: Ed25519KeyPair::generate()?,
            random: SystemRandom::new(),
        })
    }

    /// Those of a folder; where there are none, new ones that are kept there. Tokens that are kept need their keys.
    ///
    /// # Errors
    /// The folder's, or it holds what is no key.
    pub fn kept_in(folder: &Path) -> anyhow::Result<Self> {
        if !FILES.iter().all(|file| folder.join(file).exists()) {
            let keys = Self::generate()?;
            std::fs::create_dir_all(folder)?;
            let rsa = AsDer::<Pkcs8V1Der<'_>>::as_der(&keys.rsa)?;
            let (ec, ed) = (keys.ec.to_pkcs8v1()?, keys.ed.to_pkcs8v1()?);
            for (file, der) in FILES.iter().zip([rsa.as_ref(), ec.as_ref(), ed.as_ref()]) {
                std::fs::write(folder.join(file), der)?;
            }
            return Ok(keys);
        }
        let read = |file: &str| std::fs::read(folder.join(file)).with_context(|| format!("cannot read {file}"));
        let not_a_key = |error| anyhow!("the kept keys cannot be read: {error}");
        Ok(Self {
            generation: 1,
            rsa: RsaKeyPair::from_pkcs8(&read(FILES[0])?).map_err(not_a_key)?,
            ec: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &read(FILES[1])?).map_err(not_a_key)?,
            ed: Ed25519KeyPair::from_pkcs8(&read(FILES[2])?).map_err(not_a_key)?,
            random: SystemRandom::new(),
        })
    }

    pub(super) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        Ok(match algorithm {
            Algorithm::Rs256 => {
                let mut signature = vec![0; self.rsa.public_modulus_len()];
                self.rsa.sign(&RSA_PKCS1_SHA256, &self.random, message, &mut signature)?;
                signature
            }
            Algorithm::Es256 => self.ec.sign(&self.random, message)?.as_ref().to_vec(),
            Algorithm::EdDsa => self.ed.sign(message).as_ref().to_vec(),
        })
    }

    /// The public key, parsed: what one verification costs at least.
    ///
    /// # Errors
    /// The library's.
    pub fn verifier(&self, algorithm: Algorithm) -> anyhow::Result<ParsedPublicKey> {
        let parsed = match algorithm {
            Algorithm::Rs256 => ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.rsa.public_key().as_ref()),
            Algorithm::Es256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.ec.public_key().as_ref()),
            Algorithm::EdDsa => ParsedPublicKey::new(&ED25519, self.ed.public_key().as_ref()),
        };
        parsed.map_err(|error| anyhow!("the public key cannot be parsed: {error}"))
    }

    /// The id of a key.
    pub(super) fn kid(&self, algorithm: Algorithm) -> String {
        format!("{}-{}", algorithm.kind(), self.generation)
    }

    /// The key set that the gate is given (RFC 7517).
    pub fn jwks(&self) -> String {
        Self::jwks_of(&[self])
    }

    /// A key set with the keys of several generations.
    pub fn jwks_of(generations: &[&Self]) -> String {
        json!({ "keys": generations.iter().flat_map(|keys| keys.public()).collect::<Vec<_>>() }).to_string()
    }

    fn public(&self) -> [Value; 3] {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let rsa = self.rsa.public_key();
        let point = self.ec.public_key().as_ref();
        let mut keys = [
            json!({
                "kty": "RSA",
                "n": text(rsa.modulus().big_endian_without_leading_zero()),
                "e": text(rsa.exponent().big_endian_without_leading_zero()),
            }),
            // An uncompressed point: 4, x, y.
            json!({ "kty": "EC", "crv": "P-256", "x": text(&point[1..33]), "y": text(&point[33..65]) }),
            json!({ "kty": "OKP", "crv": "Ed25519", "x": text(self.ed.public_key().as_ref()) }),
        ];
        for (key, algorithm) in keys.iter_mut().zip(Algorithm::ALL) {
            key["kid"] = self.kid(algorithm).into();
            key["alg"] = algorithm.name().into();
            key["use"] = "sig".into();
        }
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_keys_are_the_same_keys() {
        let folder = tempfile::tempdir().unwrap();
        let made = Keys::kept_in(folder.path()).unwrap();
        let read = Keys::kept_in(folder.path()).unwrap();
        assert_eq!(made.jwks(), read.jwks());
        let signature = made.sign(Algorithm::Rs256, b"x").unwrap();
        read.verifier(Algorithm::Rs256).unwrap().verify_sig(b"x", &signature).unwrap();
    }
}
