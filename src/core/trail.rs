//! How a decision came about: what an audit log says beside the answer itself.

use std::sync::Arc;

/// How a decision came about.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    /// The generation of the configuration that decided, from one; zero where none was asked.
    pub generation: u64,
    /// The request's token, where one was read.
    pub token: Option<TokenId>,
    /// What it took.
    pub work: Work,
    /// The token that the gate obtained, or was to obtain.
    pub obtained: Option<Obtained>,
}

/// Names a token without telling it: the first 128 bits of SHA-256 over the whole of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenId(pub u128);

/// What a decision took, each more than the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Work {
    /// No token had a part in it, or it was refused unread.
    #[default]
    None,
    /// The token was known.
    Cached,
    /// The token was verified by the keys at hand.
    Verified,
    /// An identity provider had to be waited for: for keys, for its word on a token, or for another token.
    CalledOut,
}

impl Work {
    /// All of them, in their order.
    pub const ALL: [Self; 4] = [Self::None, Self::Cached, Self::Verified, Self::CalledOut];

    /// The label value used in metrics and in the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Cached => "cached",
            Self::Verified => "verified",
            Self::CalledOut => "called_out",
        }
    }
}

/// A token that a rule attaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obtained {
    /// Its name in the configuration.
    pub token: Arc<str>,
    /// How it is obtained.
    pub kind: ObtainedKind,
}

/// How a token is obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObtainedKind {
    /// In exchange for the caller's (RFC 8693).
    Exchange,
    /// As the gate's own (RFC 6749 §4.4).
    ClientCredentials,
}

impl ObtainedKind {
    /// Its name in the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::ClientCredentials => "client_credentials",
        }
    }
}
