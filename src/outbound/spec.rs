//! What the configuration says about tokens that the gate obtains.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::core::rule::{IssuerIndex, TokenIndex};
use crate::provider::spec::{ClientSpec, ProviderSpec};

/// The claim that a token which was exchanged must share with the one that it was exchanged for.
pub const SUB: &str = "sub";
/// The claim that tells how often a token was exchanged (RFC 8693 §4.1).
pub const ACT: &str = "act";

/// A token that rules attach to requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSpec {
    /// Its name in the configuration; a metric label.
    pub name: Arc<str>,
    /// Who issues it.
    pub provider: ProviderRef,
    /// The gate as that provider's client.
    pub client: ClientSpec,
    /// How it is obtained.
    pub grant: Grant,
    /// `audience`, once for each.
    pub audience: Vec<Box<str>>,
    /// `scope`, joined by spaces; empty: not sent.
    pub scopes: Vec<Box<str>>,
    /// `resource` (RFC 8707), once for each: absolute URIs, as they were written, since providers compare them so.
    pub resources: Vec<Box<str>>,
    /// Longest token that is accepted from the provider.
    pub max_token_bytes: usize,
    /// Scopes that the provider may grant beside those that were asked for.
    pub also_granted: Vec<Box<str>>,
    /// What the `aud` of a new JWT of a known issuer must hold; `None` where the operator wrote `unchecked`.
    pub expect_audience: Option<Vec<Box<str>>>,
}

/// Whose token endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderRef {
    /// That of an issuer, which has a `provider`.
    Issuer(IssuerIndex),
    /// One of its own.
    Own(Box<ProviderSpec>),
}

/// How a token is obtained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// RFC 8693: for the caller's token.
    Exchange(ExchangeSpec),
    /// RFC 6749 §4.4: the client's own.
    ClientCredentials(ClientCredentialsSpec),
}

/// RFC 8693 §2.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeSpec {
    /// `subject_token_type`.
    pub subject_token_type: TokenType,
    /// `requested_token_type`, where it is sent.
    pub requested_token_type: Option<TokenType>,
    /// `actor_token`.
    pub actor: Option<ActorSpec>,
    /// The cache of exchanged tokens.
    pub cache: ExchangeCacheSpec,
}

/// A token type identifier (RFC 8693 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenType {
    /// `urn:ietf:params:oauth:token-type:access_token`.
    AccessToken,
    /// `urn:ietf:params:oauth:token-type:jwt`.
    Jwt,
}

impl TokenType {
    /// The identifier.
    pub const fn urn(self) -> &'static str {
        match self {
            Self::AccessToken => "urn:ietf:params:oauth:token-type:access_token",
            Self::Jwt => "urn:ietf:params:oauth:token-type:jwt",
        }
    }
}

/// Where the actor's token comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActorSpec {
    /// One that the gate obtains by client_credentials.
    Token(TokenIndex),
    /// A file, read again for each exchange.
    File {
        /// Where.
        path: PathBuf,
        /// `actor_token_type`.
        kind: TokenType,
    },
}

/// The cache of exchanged tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeCacheSpec {
    /// A hit is at most this old.
    pub max_age: Duration,
    /// A hit has at least this long to live, by its own expiry and its subject token's.
    pub margin: Duration,
    /// Room for entries, in bytes. Zero switches the cache off.
    pub max_bytes: u64,
}

/// RFC 6749 §4.4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCredentialsSpec {
    /// The next token is fetched this long before the current one expires (a third of its lifetime at most, and by
    /// chance a little earlier).
    pub refresh_ahead: Duration,
}
