//! Which key a token was verified with.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Fingerprint, KeySet, VerifyingKey};
use crate::authn::spec::Algorithm;

/// Which key verified a token, and how it was found. All tokens of one key share one of these.
#[derive(Debug)]
pub struct UsedKey {
    fingerprint: Fingerprint,
    kid: Option<Box<str>>,
    algorithm: Algorithm,
    /// The last set that it was found in.
    found_in: AtomicU64,
}

impl UsedKey {
    pub(super) fn new(fingerprint: Fingerprint, kid: Option<Box<str>>, algorithm: Algorithm) -> Self {
        Self { fingerprint, kid, algorithm, found_in: AtomicU64::new(0) }
    }

    /// Whether these keys would verify the token as well: the same key under the same id, for the same algorithm. A set
    /// never changes, so it is looked through once.
    pub fn is_in(&self, keys: &KeySet) -> bool {
        if keys.serial != 0 && self.found_in.load(Ordering::Relaxed) == keys.serial {
            return true;
        }
        let same = |key: &VerifyingKey| *key.fingerprint() == self.fingerprint;
        let found = keys.candidates(self.kid.as_deref(), self.algorithm).any(same);
        if found {
            self.found_in.store(keys.serial, Ordering::Relaxed);
        }
        found
    }
}
