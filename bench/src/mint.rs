//! Tokens of the issuer that the gate is measured with: machine-to-machine tokens of about 800 bytes.

mod claims;
mod keys;
mod store;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::shuffle::Shuffle;
pub use claims::{AUDIENCE, ISSUER, SCOPE};
pub use keys::{Algorithm, Keys};
pub use store::tokens_on_disk;

/// Length that a compact token is made to have, where its signature leaves room.
pub const TOKEN_BYTES: usize = 800;

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Allowed.
    Good,
    /// Valid, without the scope that the rule requires.
    ScopeMissing,
    /// As good as a good one, with a signature that nobody made. It has to be computed to be refused.
    Forged,
}

/// Mints the `nth` token: others have another id, client and subject.
///
/// # Errors
/// The key would not sign.
pub fn mint(keys: &Keys, algorithm: Algorithm, kind: Kind, nth: u64, now: u64) -> anyhow::Result<String> {
    let header = format!(r#"{{"alg":"{}","kid":"{}","typ":"JWT"}}"#, algorithm.name(), keys.kid(algorithm));
    let around = (header.len() * 4).div_ceil(3) + (algorithm.signature_bytes() * 4).div_ceil(3) + 2;
    let payload = claims::payload(kind != Kind::ScopeMissing, nth, now, TOKEN_BYTES.saturating_sub(around) * 3 / 4);
    let mut token = String::with_capacity(TOKEN_BYTES + 100);
    URL_SAFE_NO_PAD.encode_string(header, &mut token);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut token);
    let signature = match kind {
        Kind::Good | Kind::ScopeMissing => keys.sign(algorithm, token.as_bytes())?,
        Kind::Forged => invented(algorithm, nth),
    };
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

/// A number that could be a signature: below the modulus of RSA, the order of both curves.
fn invented(algorithm: Algorithm, nth: u64) -> Vec<u8> {
    let mut random = Shuffle::new(nth);
    let mut signature: Vec<u8> = (0..algorithm.signature_bytes()).map(|_| random.draw() as u8).collect();
    match algorithm {
        // Big end first: the whole number, and `s`.
        Algorithm::Rs256 => signature[0] = 0,
        Algorithm::Es256 => (signature[0], signature[32]) = (0x7f, 0x7f),
        // Little end first: `s` is in the second half.
        Algorithm::EdDsa => signature[63] &= 0x0f,
    }
    signature
}

/// Seconds since 1970.
pub fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_the_wanted_length_and_a_signature_that_holds_if_it_should() {
        let keys = Keys::generate().unwrap();
        for algorithm in Algorithm::ALL {
            let good = mint(&keys, algorithm, Kind::Good, 1, now()).unwrap();
            assert!((TOKEN_BYTES - 20..=TOKEN_BYTES + 20).contains(&good.len()), "{algorithm:?}: {}", good.len());
            let forged = mint(&keys, algorithm, Kind::Forged, 1, now()).unwrap();
            for (token, holds) in [(&good, true), (&forged, false)] {
                let (signed, signature) = token.rsplit_once('.').unwrap();
                let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
                let key = keys.verifier(algorithm).unwrap();
                assert_eq!(key.verify_sig(signed.as_bytes(), &signature).is_ok(), holds, "{algorithm:?}");
            }
        }
    }

    #[test]
    fn no_two_tokens_are_alike() {
        let keys = Keys::generate().unwrap();
        let one = mint(&keys, Algorithm::EdDsa, Kind::Good, 1, 1).unwrap();
        let two = mint(&keys, Algorithm::EdDsa, Kind::Good, 2, 1).unwrap();
        assert_ne!(one.split('.').nth(1), two.split('.').nth(1));
        assert_ne!(one.split('.').nth(2), two.split('.').nth(2));
    }
}
