//! What a public key consists of, whatever it was written in; its checks and its thumbprint.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Fingerprint, ed25519};
use crate::authn::spec::Algorithm;

/// Elliptic curves of RFC 7518 §6.2.1.1 that are supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
}

impl Curve {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
        }
    }

    /// Length of a coordinate.
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }
}

/// The numbers that make a public key; private ones have no place here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Material {
    /// Modulus and exponent, big-endian, without leading zeros.
    Rsa { n: Box<[u8]>, e: Box<[u8]>, pss_only: bool },
    /// Coordinates, big-endian, at the curve's full length.
    Ec { curve: Curve, x: Box<[u8]>, y: Box<[u8]> },
    /// The encoded point of RFC 8032 §5.1.5.
    Ed25519([u8; 32]),
}

impl Material {
    /// An RSA key. Leading zeros are taken off: some encoders add one (RFC 7518 §6.3.1.1).
    pub(super) fn rsa(n: &[u8], e: &[u8]) -> Self {
        Self::Rsa { n: without_leading_zeros(n), e: without_leading_zeros(e), pss_only: false }
    }

    /// Parses the key for each algorithm it may be used with.
    pub(super) fn verifiers(&self, only: Option<Algorithm>) -> Result<Vec<(Algorithm, ParsedPublicKey)>, &'static str> {
        self.check()?;
        let mut verifiers = Vec::new();
        for algorithm in Algorithm::ALL {
            if self.is_for(algorithm) && only.is_none_or(|only| only == algorithm) {
                verifiers.push((algorithm, self.parse(algorithm)?));
            }
        }
        if verifiers.is_empty() {
            return Err("its algorithm does not go with its type or curve");
        }
        Ok(verifiers)
    }

    /// RFC 7638: SHA-256 over the required members in lexicographic order.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let text = match self {
            Self::Rsa { n, e, .. } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, b64(e), b64(n)),
            Self::Ec { curve, x, y } => {
                format!(r#"{{"crv":"{}","kty":"EC","x":"{}","y":"{}"}}"#, curve.name(), b64(x), b64(y))
            }
            Self::Ed25519(x) => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, b64(x)),
        };
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        fingerprint
    }

    fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Rsa { n, e, .. } => check_rsa(n, e),
            Self::Ec { curve, x, y } if x.len() != curve.bytes() || y.len() != curve.bytes() => {
                Err("its coordinates do not have the length of its curve")
            }
            // That the point is on the curve is checked when it is parsed.
            Self::Ec { .. } => Ok(()),
            Self::Ed25519(x) if ed25519::is_weak(x) => Err("its Ed25519 point is of small order or not canonical"),
            Self::Ed25519(_) => Ok(()),
        }
    }

    fn is_for(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        match algorithm {
            RS256 | RS384 | RS512 => matches!(self, Self::Rsa { pss_only: false, .. }),
            PS256 | PS384 | PS512 => matches!(self, Self::Rsa { .. }),
            ES256 => matches!(self, Self::Ec { curve: Curve::P256, .. }),
            ES384 => matches!(self, Self::Ec { curve: Curve::P384, .. }),
            EdDSA => matches!(self, Self::Ed25519(_)),
        }
    }

    fn parse(&self, algorithm: Algorithm) -> Result<ParsedPublicKey, &'static str> {
        match self {
            Self::Rsa { n, e, .. } => {
                let parameters = rsa_parameters(algorithm).ok_or("its algorithm does not go with its type or curve")?;
                RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters).map_err(|_| "it is not an RSA key")
            }
            Self::Ec { curve, x, y } => {
                let mut point = vec![4];
                point.extend_from_slice(x);
                point.extend_from_slice(y);
                let parameters = match curve {
                    Curve::P256 => &ECDSA_P256_SHA256_FIXED,
                    Curve::P384 => &ECDSA_P384_SHA384_FIXED,
                };
                ParsedPublicKey::new(parameters, point).map_err(|_| "its point is not on its curve")
            }
            Self::Ed25519(x) => ParsedPublicKey::new(&ED25519, x).map_err(|_| "it is not an Ed25519 key"),
        }
    }
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::RS256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &RSA_PSS_2048_8192_SHA512,
        Algorithm::ES256 | Algorithm::ES384 | Algorithm::EdDSA => return None,
    })
}

fn check_rsa(n: &[u8], e: &[u8]) -> Result<(), &'static str> {
    let bits = n.first().map_or(0, |top| n.len() * 8 - top.leading_zeros() as usize);
    if bits < 2048 {
        return Err("its RSA modulus has fewer than 2048 bits");
    }
    if bits > 8192 {
        return Err("its RSA modulus has more than 8192 bits");
    }
    let odd = |number: &[u8]| number.last().is_some_and(|low| low & 1 == 1);
    if !odd(n) {
        return Err("its RSA modulus is even");
    }
    if !odd(e) || e == [1] || e.len() > 4 {
        return Err("its RSA exponent is not an odd number from 3 to 32 bits");
    }
    Ok(())
}

fn without_leading_zeros(number: &[u8]) -> Box<[u8]> {
    number.iter().copied().skip_while(|byte| *byte == 0).collect()
}
