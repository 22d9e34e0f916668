//! Verifying keys: parsed once, bound to the algorithms they may be used with.
//!
//! A key is read from a JWK (RFC 7517), or from PEM (a `SubjectPublicKeyInfo`, a PKCS#1 `RSAPublicKey`, an X.509
//! certificate). What a token says about keys other than `kid` is never looked at.
//!
//! Refused at load: RSA below 2048 or above 8192 bits, RSA exponents that are even, below 3 or above 32 bits, points
//! off their curve, Ed25519 keys of small order, symmetric keys. Not detected: RSA moduli with the ROCA weakness
//! (CVE-2017-15361), nor others whose factors can be guessed; whoever publishes a key answers for how it was made.

mod ed25519;
mod jwk;
mod material;
mod pem;
mod used;

pub use jwk::{KeySetError, Published, Refusal};
pub use pem::{PemError, PemProblem};
pub use used::UsedKey;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::signature::ParsedPublicKey;

use super::spec::Algorithm;
use material::Material;

/// A digest that names a key's material, whatever its id: the RFC 7638 thumbprint (SHA-256).
pub type Fingerprint = [u8; 32];

/// One public key of an issuer.
#[derive(Debug)]
pub struct VerifyingKey {
    id: Option<Box<str>>,
    fingerprint: Fingerprint,
    verifiers: Vec<Verifier>,
}

/// A key as it is used with one algorithm.
#[derive(Debug)]
struct Verifier {
    algorithm: Algorithm,
    key: ParsedPublicKey,
    /// What tokens remember that it verified: found by its id, or among all.
    by_id: Arc<UsedKey>,
    among_all: Arc<UsedKey>,
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
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        self.verifier(algorithm).is_some()
    }

    /// Whether `signature` is this key's over `message`. False also where the algorithm does not fit.
    ///
    /// ECDSA signatures are the two numbers side by side (RFC 7518 §3.4), never DER. PSS salts are as long as the
    /// digest (RFC 7518 §3.5).
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.verifier(algorithm).is_some_and(|of| of.key.verify_sig(message, signature).is_ok())
    }

    /// What a token is to remember that it verified, looked for by its id or not. `None` where it does not fit.
    pub(super) fn used(&self, algorithm: Algorithm, by_id: bool) -> Option<Arc<UsedKey>> {
        let of = self.verifier(algorithm)?;
        Some(Arc::clone(if by_id { &of.by_id } else { &of.among_all }))
    }

    fn verifier(&self, algorithm: Algorithm) -> Option<&Verifier> {
        self.verifiers.iter().find(|of| of.algorithm == algorithm)
    }

    /// Checks the material and parses it for every algorithm of its type, or for the one it is bound to.
    fn new(id: Option<Box<str>>, material: &Material, only: Option<Algorithm>) -> Result<Self, &'static str> {
        let (verifiers, fingerprint) = (material.verifiers(only)?, material.fingerprint());
        let used = |id: Option<&str>, algorithm| Arc::new(UsedKey::new(fingerprint, id.map(Box::from), algorithm));
        let verifier = |(algorithm, key)| Verifier {
            algorithm,
            key,
            by_id: used(id.as_deref(), algorithm),
            among_all: used(None, algorithm),
        };
        let verifiers = verifiers.into_iter().map(verifier).collect();
        Ok(Self { id, fingerprint, verifiers })
    }

    fn same_as(&self, other: &Self) -> bool {
        self.id == other.id
            && self.fingerprint == other.fingerprint
            && self.verifiers.iter().map(|of| of.algorithm).eq(other.verifiers.iter().map(|of| of.algorithm))
    }
}

/// An issuer's keys at one time.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<VerifyingKey>,
    /// Ids of published keys that cannot be used, so that a token that names one is not taken for news.
    unusable: Vec<Box<str>>,
    /// Whether the keys came without ids, so that a token's `kid` says nothing.
    anonymous: bool,
    /// Tells it from every other set that has keys.
    serial: u64,
}

/// The last [`KeySet::serial`].
static SERIAL: AtomicU64 = AtomicU64::new(0);

impl KeySet {
    /// Most keys tried for one token.
    pub const MAX_TRIES: usize = 4;

    /// Most keys a set may hold.
    pub const MAX_KEYS: usize = 256;

    /// The keys to try for a token: those with this id that fit the algorithm; without an id, every key that fits,
    /// at most [`KeySet::MAX_TRIES`] of them or none.
    ///
    /// Several keys may share an id (RFC 7517 §4.5); all that fit are tried, within the same limit. In a set made
    /// from PEM, keys have no ids and a token's id is not looked at.
    pub fn candidates(&self, kid: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &VerifyingKey> {
        let kid = if self.anonymous { None } else { kid };
        let fitting = move |key: &&VerifyingKey| kid.is_none_or(|kid| key.id() == Some(kid)) && key.fits(algorithm);
        let count = self.keys.iter().filter(fitting).take(Self::MAX_TRIES + 1).count();
        let tries = if count > Self::MAX_TRIES { 0 } else { count };
        self.keys.iter().filter(fitting).take(tries)
    }

    /// Whether any published key has this id, fitting or not, usable or not. Always true of a set made from PEM,
    /// where an id says nothing and nothing is gained by looking again.
    pub fn has_kid(&self, kid: &str) -> bool {
        self.anonymous
            || self.keys.iter().any(|key| key.id() == Some(kid))
            || self.unusable.iter().any(|known| &**known == kid)
    }

    /// Whether a key with this material is in the set.
    pub fn contains(&self, fingerprint: &Fingerprint) -> bool {
        self.keys.iter().any(|key| key.fingerprint() == fingerprint)
    }

    /// Whether every key of this set is in `other`, too, whatever its id.
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.keys.iter().all(|key| other.contains(key.fingerprint()))
    }

    /// The keys, in the order in which they were published.
    pub fn keys(&self) -> &[VerifyingKey] {
        &self.keys
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Adds a key, unless the same is there already.
    fn push(&mut self, key: VerifyingKey) {
        if !self.keys.iter().any(|known| known.same_as(&key)) {
            self.keys.push(key);
            self.serial = SERIAL.fetch_add(1, Ordering::Relaxed) + 1;
        }
    }
}

#[cfg(test)]
mod tests;
