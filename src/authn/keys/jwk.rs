//! Key sets as JSON: RFC 7517, with the key types of RFC 7518 §6 and RFC 8037 §2.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::material::{Curve, Material};
use super::{KeySet, VerifyingKey};
use crate::authn::spec::Algorithm;

/// A document that is not a key set, or not one that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not a JSON object with an array `keys`.
    #[error("not a JWK set; give a JSON object with an array `keys`")]
    NotAKeySet {
        /// Where it ceases to be one, from one.
        line: usize,
    },
    /// More keys than [`KeySet::MAX_KEYS`].
    #[error("more than {} keys in the set", KeySet::MAX_KEYS)]
    TooManyKeys,
    /// No key in it can verify a token.
    #[error("no usable key in the set{}", .0.map(|why| format!(": a key was refused because {why}")).unwrap_or_default())]
    NoUsableKey(Option<Refusal>),
}

impl KeySetError {
    /// The line of the document at fault, from one.
    pub fn line(&self) -> usize {
        match self {
            Self::NotAKeySet { line } => *line,
            Self::TooManyKeys | Self::NoUsableKey(_) => 1,
        }
    }
}

/// What was wrong with a published key, as a fixed text.
pub type Refusal = &'static str;

/// A key set and what was wrong with the document it was read from.
#[derive(Debug, Default)]
pub struct Published {
    /// The usable keys; empty only where there is no document, as of an issuer whose tokens are opaque.
    pub set: KeySet,
    /// One entry for each key that was refused, or held private members.
    pub refused: Vec<Refusal>,
}

impl KeySet {
    /// Reads a JWK set. A key that cannot be read or used never voids the others; unknown key types and keys for
    /// other purposes (`use`, `key_ops`) are passed over. `x5c`, `x5t` and `x5u` are not looked at (RFC 7517 §4.7).
    ///
    /// # Errors
    /// A document that is not a JWK set, holds too many keys, or holds none that can verify tokens.
    pub fn from_jwks(document: &[u8]) -> Result<Published, KeySetError> {
        let Document { keys } =
            serde_json::from_slice(document).map_err(|error| KeySetError::NotAKeySet { line: error.line().max(1) })?;
        if keys.len() > Self::MAX_KEYS {
            return Err(KeySetError::TooManyKeys);
        }
        let mut set = Self::default();
        let mut refused = Vec::new();
        for jwk in keys {
            let outcome = match jwk {
                Value::Object(mut jwk) => {
                    if drop_private(&mut jwk) {
                        refused.push("it was published with its private members");
                    }
                    let outcome = read(&jwk);
                    if !matches!(outcome, Outcome::Usable(_))
                        && let Some(kid) = jwk.get("kid").and_then(Value::as_str)
                    {
                        set.unusable.push(kid.into());
                    }
                    outcome
                }
                _ => Outcome::Refused("it is not a JSON object"),
            };
            match outcome {
                Outcome::Usable(key) => set.push(key),
                Outcome::Refused(why) => refused.push(why),
                Outcome::NotForUs => {}
            }
        }
        if set.is_empty() {
            return Err(KeySetError::NoUsableKey(refused.first().copied()));
        }
        Ok(Published { set, refused })
    }
}

#[derive(serde::Deserialize)]
struct Document {
    keys: Vec<Value>,
}

enum Outcome {
    Usable(VerifyingKey),
    /// Well and good, but nothing that verifies tokens.
    NotForUs,
    Refused(Refusal),
}

/// Members that hold private or secret parts (RFC 7518 §6.2.2, §6.3.2; RFC 8037 §2). Whether there were any.
fn drop_private(jwk: &mut Map<String, Value>) -> bool {
    let mut found = false;
    for member in ["d", "p", "q", "dp", "dq", "qi", "oth"] {
        found |= jwk.remove(member).is_some();
    }
    found
}

fn read(jwk: &Map<String, Value>) -> Outcome {
    match for_signatures(jwk) {
        Ok(true) => {}
        Ok(false) => return Outcome::NotForUs,
        Err(why) => return Outcome::Refused(why),
    }
    let material = match jwk.get("kty").and_then(Value::as_str) {
        Some("RSA") => rsa(jwk),
        Some("EC") => ec(jwk),
        Some("OKP") => okp(jwk),
        Some("oct") => Err("it is symmetric, which a published key cannot be"),
        Some(_) => return Outcome::NotForUs,
        None => Err("it has no `kty`"),
    };
    let key = material.and_then(|material| VerifyingKey::new(kid(jwk)?, &material, algorithm(jwk)?));
    key.map_or_else(Outcome::Refused, Outcome::Usable)
}

/// Whether `use` and `key_ops` let the key verify signatures (RFC 7517 §4.2, §4.3).
fn for_signatures(jwk: &Map<String, Value>) -> Result<bool, Refusal> {
    let used = match jwk.get("use") {
        None => true,
        Some(Value::String(used)) => used == "sig",
        Some(_) => return Err("its `use` is not a string"),
    };
    let verifies = match jwk.get("key_ops") {
        None => true,
        Some(Value::Array(operations)) => operations.iter().any(|operation| operation == "verify"),
        Some(_) => return Err("its `key_ops` is not an array"),
    };
    Ok(used && verifies)
}

/// An empty id is none: a token with an empty `kid` names no key.
fn kid(jwk: &Map<String, Value>) -> Result<Option<Box<str>>, Refusal> {
    match jwk.get("kid") {
        None => Ok(None),
        Some(Value::String(kid)) if kid.is_empty() => Ok(None),
        Some(Value::String(kid)) => Ok(Some(kid.as_str().into())),
        Some(_) => Err("its `kid` is not a string"),
    }
}

fn algorithm(jwk: &Map<String, Value>) -> Result<Option<Algorithm>, Refusal> {
    match jwk.get("alg") {
        None => Ok(None),
        Some(alg) => match alg.as_str().and_then(Algorithm::parse) {
            Some(algorithm) => Ok(Some(algorithm)),
            None => Err("its `alg` is not a supported signature algorithm"),
        },
    }
}

fn rsa(jwk: &Map<String, Value>) -> Result<Material, Refusal> {
    if ["crv", "x", "y"].iter().any(|member| jwk.contains_key(*member)) {
        return Err("it mixes members of two key types");
    }
    Ok(Material::rsa(&bytes(jwk, "n")?, &bytes(jwk, "e")?))
}

fn ec(jwk: &Map<String, Value>) -> Result<Material, Refusal> {
    if ["n", "e"].iter().any(|member| jwk.contains_key(*member)) {
        return Err("it mixes members of two key types");
    }
    let curve = match jwk.get("crv").and_then(Value::as_str) {
        Some("P-256") => Curve::P256,
        Some("P-384") => Curve::P384,
        _ => return Err("its curve is not supported"),
    };
    Ok(Material::Ec { curve, x: bytes(jwk, "x")?.into(), y: bytes(jwk, "y")?.into() })
}

fn okp(jwk: &Map<String, Value>) -> Result<Material, Refusal> {
    if ["n", "e", "y"].iter().any(|member| jwk.contains_key(*member)) {
        return Err("it mixes members of two key types");
    }
    if jwk.get("crv").and_then(Value::as_str) != Some("Ed25519") {
        return Err("its curve is not supported");
    }
    let x = bytes(jwk, "x")?.try_into().map_err(|_| "its Ed25519 point does not have 32 bytes")?;
    Ok(Material::Ed25519(x))
}

/// Base64url without padding, blanks or stray trailing bits (RFC 7515 §2).
fn bytes(jwk: &Map<String, Value>, member: &str) -> Result<Vec<u8>, Refusal> {
    let text = jwk.get(member).and_then(Value::as_str).ok_or("a member is missing or not a string")?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| "a member is not base64url without padding")
}
