//! Verifying keys: parsed once, bound to the algorithms they may be used with.

use super::spec::Algorithm;

/// A digest that names a key's material, whatever its id.
pub type Fingerprint = [u8; 32];

/// One public key of an issuer.
#[derive(Debug)]
pub struct VerifyingKey {
    id: Option<Box<str>>,
    fingerprint: Fingerprint,
}

impl VerifyingKey {
    /// Its `kid`, where it has one.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Names its material.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Whether tokens of this algorithm may be verified with it: its type and curve fit, and so does its `alg`, if any.
    pub fn fits(&self, _algorithm: Algorithm) -> bool {
        false
    }

    /// Whether `signature` is this key's over `message`. False also where the algorithm does not fit.
    pub fn verify(&self, _algorithm: Algorithm, _message: &[u8], _signature: &[u8]) -> bool {
        false
    }
}

/// An issuer's keys at one time.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<VerifyingKey>,
}

impl KeySet {
    /// The keys to try for a token: those with this id that fit the algorithm; without an id, every key that fits,
    /// at most [`KeySet::MAX_TRIES`] of them or none.
    pub fn candidates(&self, _kid: Option<&str>, _algorithm: Algorithm) -> impl Iterator<Item = &VerifyingKey> {
        self.keys.iter()
    }

    /// Whether any key has this id, fitting or not.
    pub fn has_kid(&self, _kid: &str) -> bool {
        false
    }

    /// Whether a key with this material is in the set.
    pub fn contains(&self, _fingerprint: &Fingerprint) -> bool {
        false
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Most keys tried for one token.
    pub const MAX_TRIES: usize = 4;
}
