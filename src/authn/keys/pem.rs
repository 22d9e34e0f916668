//! Keys as PEM (RFC 7468): `PUBLIC KEY` (RFC 5280 §4.1.2.7), `RSA PUBLIC KEY` (RFC 8017 §A.1.1), `CERTIFICATE`.
//!
//! Of a certificate only the key counts: who trusts the file trusts the key, so neither its dates nor its signature
//! are looked at.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_parser::der_parser::asn1_rs::oid;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_DSA, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521,
    OID_PKCS1_RSAENCRYPTION, OID_PKCS1_RSASSAPSS, OID_SIG_ED25519,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::RSAPublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::material::{Curve, Material};
use super::{KeySet, VerifyingKey};
use crate::authn::spec::Algorithm;

/// A PEM file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: {problem}", file.display())]
pub struct PemError {
    /// The file.
    pub file: PathBuf,
    /// The line, from one, where the block at fault begins.
    pub line: usize,
    /// What is wrong and what to do.
    pub problem: PemProblem,
}

/// What is wrong with a PEM file, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemProblem {
    /// No block in the file.
    #[error("no PEM block; give a file with `-----BEGIN PUBLIC KEY-----`")]
    Empty,
    /// A private key.
    #[error("a private key, which a gate must not have; extract the public one with `openssl pkey -pubout`")]
    PrivateKey,
    /// A label that is not supported.
    #[error("`{0}` is not supported; give a `PUBLIC KEY`, `RSA PUBLIC KEY` or `CERTIFICATE`")]
    Label(Box<str>),
    /// Begin and end do not match, or the text between them is not base64.
    #[error("not a well-formed PEM block: {0}")]
    Syntax(&'static str),
    /// The bytes are not the structure that the label says.
    #[error("the block does not hold {0}")]
    Structure(&'static str),
    /// A key type or curve that tokens are not signed with here.
    #[error("{0}; supported are RSA of 2048 to 8192 bits, EC on P-256 or P-384, and Ed25519")]
    KeyType(&'static str),
    /// A key that failed its checks.
    #[error("the key is refused because {0}")]
    Refused(&'static str),
    /// A key more than can be tried for a token.
    #[error(
        "more than {} keys that fit {}; keys in PEM have no ids, and no token tries more. Remove old keys, or use a JWKS file",
        KeySet::MAX_TRIES, .0.as_str()
    )]
    TooManyKeys(Algorithm),
}

impl KeySet {
    /// Reads PEM files, several blocks each. The keys have no ids; a token's `kid` says nothing about them.
    ///
    /// # Errors
    /// The first thing that is wrong, with file and line. Nothing that is not a public key is ever passed over.
    pub fn from_pem<'f>(files: impl IntoIterator<Item = (&'f Path, &'f [u8])>) -> Result<Self, PemError> {
        let mut set = Self { anonymous: true, ..Self::default() };
        for (file, text) in files {
            let at = |line, problem| PemError { file: file.to_owned(), line, problem };
            let blocks = blocks(text).map_err(|(line, problem)| at(line, problem))?;
            if blocks.is_empty() {
                return Err(at(1, PemProblem::Empty));
            }
            for Block { line, label, der } in blocks {
                let key = material(&label, &der)
                    .and_then(|material| VerifyingKey::new(None, &material, None).map_err(PemProblem::Refused))
                    .map_err(|problem| at(line, problem))?;
                set.push(key);
                if let Some(algorithm) = set.crowded() {
                    return Err(at(line, PemProblem::TooManyKeys(algorithm)));
                }
            }
        }
        Ok(set)
    }

    /// An algorithm that so many keys fit that none would be tried.
    fn crowded(&self) -> Option<Algorithm> {
        Algorithm::ALL
            .into_iter()
            .find(|algorithm| self.keys.iter().filter(|key| key.fits(*algorithm)).count() > Self::MAX_TRIES)
    }
}

struct Block {
    line: usize,
    label: Box<str>,
    der: Vec<u8>,
}

/// Splits a file into blocks. Text between blocks is passed over, as RFC 7468 §2 allows.
fn blocks(text: &[u8]) -> Result<Vec<Block>, (usize, PemProblem)> {
    let text = std::str::from_utf8(text).map_err(|_| (1, PemProblem::Syntax("the file is not text")))?;
    let mut blocks = Vec::new();
    let mut open: Option<(usize, &str, String)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        let begin = line.strip_prefix("-----BEGIN ").map(|rest| rest.strip_suffix("-----"));
        let end = line.strip_prefix("-----END ").map(|rest| rest.strip_suffix("-----"));
        match (&mut open, begin, end) {
            (None, Some(Some(label)), _) => {
                known(label).map_err(|problem| (number, problem))?;
                open = Some((number, label, String::new()));
            }
            (None, _, Some(_)) => return Err((number, PemProblem::Syntax("an `END` without a `BEGIN`"))),
            (None, Some(None), _) => return Err((number, PemProblem::Syntax("a `BEGIN` without its five dashes"))),
            (None, None, None) => {}
            (Some((line, label, body)), None, Some(found)) => {
                if found != Some(*label) {
                    return Err((number, PemProblem::Syntax("its `END` does not match its `BEGIN`")));
                }
                let der = STANDARD.decode(&body).map_err(|_| (*line, PemProblem::Syntax("its text is not base64")))?;
                blocks.push(Block { line: *line, label: (*label).into(), der });
                open = None;
            }
            (Some((line, ..)), Some(_), _) => return Err((*line, PemProblem::Syntax("its `END` is missing"))),
            (Some((_, _, body)), None, None) => body.push_str(line),
        }
    }
    match open {
        Some((line, ..)) => Err((line, PemProblem::Syntax("its `END` is missing"))),
        None => Ok(blocks),
    }
}

fn known(label: &str) -> Result<(), PemProblem> {
    match label {
        "PUBLIC KEY" | "RSA PUBLIC KEY" | "CERTIFICATE" => Ok(()),
        _ if label.ends_with("PRIVATE KEY") => Err(PemProblem::PrivateKey),
        _ => Err(PemProblem::Label(label.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(64).collect())),
    }
}

fn material(label: &str, der: &[u8]) -> Result<Material, PemProblem> {
    match label {
        "RSA PUBLIC KEY" => pkcs1(der).ok_or(PemProblem::Structure("a PKCS#1 RSA public key")),
        "CERTIFICATE" => match X509Certificate::from_der(der) {
            Ok(([], certificate)) => spki(certificate.public_key()),
            _ => Err(PemProblem::Structure("an X.509 certificate")),
        },
        _ => match SubjectPublicKeyInfo::from_der(der) {
            Ok(([], info)) => spki(&info),
            _ => Err(PemProblem::Structure("a SubjectPublicKeyInfo")),
        },
    }
}

fn pkcs1(der: &[u8]) -> Option<Material> {
    match RSAPublicKey::from_der(der) {
        // A DER integer with its top bit set is negative.
        Ok(([], RSAPublicKey { modulus: n, exponent: e })) if !negative(n) && !negative(e) => Some(Material::rsa(n, e)),
        _ => None,
    }
}

fn negative(integer: &[u8]) -> bool {
    integer.first().is_none_or(|top| top & 0x80 != 0)
}

fn spki(info: &SubjectPublicKeyInfo<'_>) -> Result<Material, PemProblem> {
    let bits: &[u8] = &info.subject_public_key.data;
    let algorithm = &info.algorithm.algorithm;
    if *algorithm == OID_PKCS1_RSAENCRYPTION {
        pkcs1(bits).ok_or(PemProblem::Structure("an RSA public key"))
    } else if *algorithm == OID_PKCS1_RSASSAPSS {
        if info.algorithm.parameters.is_some() {
            return Err(PemProblem::KeyType("an RSASSA-PSS key bound to parameters"));
        }
        match pkcs1(bits) {
            Some(Material::Rsa { n, e, .. }) => Ok(Material::Rsa { n, e, pss_only: true }),
            _ => Err(PemProblem::Structure("an RSA public key")),
        }
    } else if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        ec(info, bits)
    } else if *algorithm == OID_SIG_ED25519 {
        bits.try_into().map(Material::Ed25519).map_err(|_| PemProblem::Structure("an Ed25519 public key"))
    } else if *algorithm == OID_KEY_TYPE_DSA {
        Err(PemProblem::KeyType("a DSA key"))
    } else if *algorithm == oid!(1.3.101.113) {
        Err(PemProblem::KeyType("an Ed448 key"))
    } else {
        Err(PemProblem::KeyType("a key of an unknown type"))
    }
}

fn ec(info: &SubjectPublicKeyInfo<'_>, point: &[u8]) -> Result<Material, PemProblem> {
    let named = info.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    let curve = match named {
        Some(curve) if curve == OID_EC_P256 => Curve::P256,
        Some(curve) if curve == OID_NIST_EC_P384 => Curve::P384,
        Some(curve) if curve == OID_NIST_EC_P521 => return Err(PemProblem::KeyType("an EC key on P-521")),
        Some(_) => return Err(PemProblem::KeyType("an EC key on an unknown curve")),
        None => return Err(PemProblem::KeyType("an EC key without a named curve")),
    };
    match point.split_first() {
        Some((4, coordinates)) if coordinates.len() == 2 * curve.bytes() => {
            let (x, y) = coordinates.split_at(curve.bytes());
            Ok(Material::Ec { curve, x: x.into(), y: y.into() })
        }
        _ => Err(PemProblem::Structure(
            "an uncompressed EC point; convert it with `openssl ec -pubin -conv_form uncompressed`",
        )),
    }
}
