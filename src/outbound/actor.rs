//! Who acts for the subject (RFC 8693 §2.1 `actor_token`): the gate itself, by a token of its own.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::own::Own;
use super::spec::TokenType;
use crate::authn::AuthnError;
use crate::clock::Timestamp;
use crate::core::reason::Reason;
use crate::secret::Secret;

/// A file is read again when it was last read this long ago.
const READ_EVERY: Duration = Duration::from_secs(1);
/// Largest token file.
const MAX_BYTES: u64 = 64 << 10;

/// Where actor tokens come from.
#[derive(Debug)]
pub(super) enum Actor {
    /// A client_credentials token.
    Own(Arc<Own>),
    /// A file.
    File(TokenFile),
    /// A token that the configuration names and that is not there: a defect, and no reason to do without.
    Missing,
}

impl Actor {
    pub(super) async fn token(&self, now: Timestamp) -> Result<(Secret, TokenType), AuthnError> {
        match self {
            Self::Own(own) => own.obtain(now).await.map(|token| (token, TokenType::AccessToken)),
            Self::File(file) => file.token().await.map(|token| (token, file.kind)),
            Self::Missing => Err(AuthnError::new(Reason::InternalError, "the actor's token is not there")),
        }
    }
}

/// A token that somebody else writes and renews.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    kind: TokenType,
    read: Mutex<Option<(Instant, Secret)>>,
}

impl TokenFile {
    pub(super) fn new(path: PathBuf, kind: TokenType) -> Self {
        Self { path, kind, read: Mutex::new(None) }
    }

    async fn token(&self) -> Result<Secret, AuthnError> {
        let last = self.read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, token)) = last.filter(|(at, _)| at.elapsed() < READ_EVERY) {
            return Ok(token);
        }
        let token = read(&self.path).await.map_err(|error| {
            let detail = format!("the actor's token file `{}`: {error}", self.path.display());
            AuthnError::new(Reason::UpstreamTokenUnavailable, detail)
        })?;
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), token.clone()));
        Ok(token)
    }
}

async fn read(path: &Path) -> io::Result<Secret> {
    let mut text = Zeroizing::new(String::new());
    let file = tokio::fs::File::open(path).await?;
    file.take(MAX_BYTES + 1).read_to_string(&mut text).await?;
    let token = text.trim();
    let fits = !token.is_empty() && text.len() as u64 <= MAX_BYTES && token.bytes().all(|b| b.is_ascii_graphic());
    if !fits {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not hold a token"));
    }
    Ok(Secret::new(token))
}
