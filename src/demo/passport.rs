//! Tokens as Laravel Passport makes them: RS256, no `iss`, no `kid`, the calling client's id in `aud`, an array of
//! `scopes`, times with a fraction. Verified with `oauth-public.key`, a PEM file that services share.

use std::path::Path;

use serde_json::{Value, json};

use super::DemoError;
use super::keys::SigningKey;
use crate::clock::Timestamp;

/// A stand-in for Passport's authorization server.
#[derive(Debug)]
pub struct Passport {
    key: SigningKey,
}

impl Passport {
    /// With a new key.
    ///
    /// # Errors
    /// Where no key can be made.
    pub fn new() -> Result<Self, DemoError> {
        Ok(Self { key: SigningKey::rs256(None)? })
    }

    /// Puts `oauth-public.key` at `path`, in place of what is there, in one step.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write_public_key(&self, path: &Path) -> Result<(), DemoError> {
        let fail = |error| DemoError::File { path: path.to_owned(), error };
        let aside = path.with_extension("new");
        std::fs::write(&aside, self.key.public_pem()?).map_err(fail)?;
        std::fs::rename(&aside, path).map_err(fail)
    }

    /// A token for `client`, a client's id, good for `seconds` from `now`.
    ///
    /// # Errors
    /// Where signing fails.
    pub fn token(&self, client: &str, scopes: &[&str], now: Timestamp, seconds: i64) -> Result<String, DemoError> {
        let start = now.as_unix_seconds();
        #[expect(clippy::cast_precision_loss, reason = "seconds of this millennium are exact in a double")]
        let fractional = |seconds: i64| json!(seconds as f64 + 0.25);
        self.sign(&json!({
            "aud": client,
            "jti": format!("{:032x}", rand::random::<u128>()),
            "iat": fractional(start - 1),
            "nbf": fractional(start - 1),
            "exp": fractional(start + seconds),
            "sub": "",
            "scopes": scopes,
        }))
    }

    /// A token with claims of the caller's choice.
    ///
    /// # Errors
    /// Where signing fails.
    pub fn sign(&self, claims: &Value) -> Result<String, DemoError> {
        self.key.sign(claims)
    }
}
