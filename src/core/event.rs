//! What the parts below the recorder report to it. They know this trait and not who listens.

use std::fmt;
use std::time::Duration;

use super::audit::Selection;
use crate::clock::Timestamp;

/// Something that happened outside of a decision, or inside it beside its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A validated token was found in an issuer's cache (`hit`), or was not.
    TokenCache {
        /// The issuer's name in the configuration.
        issuer: &'a str,
        /// Whether it was found.
        hit: bool,
    },
    /// An issuer's key set was read or fetched.
    KeyRefresh {
        /// The issuer's name in the configuration.
        issuer: &'a str,
        /// How it ended.
        outcome: RefreshOutcome,
        /// Usable keys afterwards.
        keys: usize,
    },
    /// A document that keys are in, or that tells where they are, was fetched from an issuer, or was not. What it holds is
    /// told by the refresh that it was fetched for.
    KeyFetch {
        /// The issuer's name in the configuration.
        issuer: &'a str,
        /// `jwks` or `discovery`.
        document: &'static str,
        /// How it ended.
        outcome: RefreshOutcome,
        /// How long it took.
        took: Duration,
        /// The call itself.
        http: HttpCall<'a>,
    },
    /// A published key was not usable, or held a private part.
    KeyRefused {
        /// The issuer's name in the configuration.
        issuer: &'a str,
        /// What was wrong, as a fixed text: never the key's own words.
        why: &'static str,
    },
    /// A token named a key that the issuer's set does not hold.
    UnknownKid {
        /// The issuer's name in the configuration.
        issuer: &'a str,
        /// Whether the set was fetched again because of it (or the fetch was refused by the rate limit).
        refetched: bool,
    },
    /// A configuration was compiled and put into service, or was not.
    Reload {
        /// Whether it is in service.
        applied: bool,
        /// The generation in service afterwards, counted from one.
        generation: u64,
        /// When.
        at: Timestamp,
    },
    /// What a configuration that was put into service says about the audit log.
    Audit {
        /// What is written, where there is a log at all.
        selection: Option<&'a Selection>,
    },
    /// A call to a provider's endpoint ended, or was not made: told once for each call, however many attempts it had.
    /// One that was given up by who made it is not told.
    ProviderCall {
        /// The provider's name: that of its issuer or token in the configuration.
        provider: &'a str,
        /// `introspection`, `token_exchange`, `client_credentials` or `metadata`: `token` where a call asks for neither.
        endpoint: &'static str,
        /// How it ended.
        outcome: CallOutcome,
        /// How long it took, waiting for a place and retries included; zero where it was not made.
        took: Duration,
        /// The last attempt of it.
        http: HttpCall<'a>,
    },
    /// Calls to a provider that are under way have become more or fewer. A call counts from when it has a place to when
    /// it has ended or was given up, its retries and the pauses between them included; those that wait for a place do
    /// not count, and fetches of metadata never do. The last number told is the right one.
    ProviderInFlight {
        /// The provider's name.
        provider: &'a str,
        /// How many there are now.
        calls: usize,
    },
    /// A provider's breaker changed, or came into being (closed). An open one stays open until a call comes after its
    /// pause: that one probes, and while it is under way the breaker is half open. A probe that tells nothing (it was
    /// given up, or could not be sent) opens it again, and the next call probes. The last state told is the right one.
    Breaker {
        /// The provider's name.
        provider: &'a str,
        /// What it is now.
        state: BreakerState,
    },
    /// An introspection answer was found in an issuer's cache (`hit`), or was not.
    IntrospectionCache {
        /// The issuer's name in the configuration.
        issuer: &'a str,
        /// Whether it was found.
        hit: bool,
    },
    /// A token's standing was told by its issuer, or was not.
    Introspected {
        /// The issuer's name in the configuration.
        issuer: &'a str,
        /// What it said.
        outcome: IntrospectionOutcome,
    },
    /// An exchanged token was found in the cache (`hit`), or was not.
    ExchangeCache {
        /// The token's name in the configuration.
        token: &'a str,
        /// Whether it was found.
        hit: bool,
    },
    /// A token was obtained, or was not.
    TokenObtained {
        /// The token's name in the configuration.
        token: &'a str,
        /// Whether it was.
        obtained: bool,
        /// When it expires, as far as it is known.
        expires_at: Option<Timestamp>,
    },
    /// A decision panicked. It was answered with a denial.
    Panic,
}

/// What is known of a call as one of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpCall<'a> {
    /// The host that was to be called, as far as that was found out.
    pub host: Option<&'a str>,
    /// Its port.
    pub port: Option<u16>,
    /// The status that it answered with.
    pub status: Option<u16>,
}

/// How an attempt to get an issuer's keys ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefreshOutcome {
    /// New keys, or the same again.
    Fresh,
    /// The source could not be reached, or answered with an error.
    Unreachable,
    /// The source answered with something that is not a usable key set.
    Invalid,
}

impl RefreshOutcome {
    /// The label value used in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Unreachable => "unreachable",
            Self::Invalid => "invalid",
        }
    }
}

/// How a call to a provider ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallOutcome {
    /// A status below 400.
    Answered,
    /// Another status below 500.
    Refused,
    /// A status of 5xx or 429.
    Failed,
    /// No whole answer: transport, timeout, limits.
    Broken,
    /// Not made: no place was free.
    Busy,
    /// Not made: the breaker is open.
    Open,
    /// Not made: the gate's own configuration or credentials do not allow it.
    Unsendable,
}

impl CallOutcome {
    /// The label value used in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Broken => "broken",
            Self::Busy => "busy",
            Self::Open => "open",
            Self::Unsendable => "unsendable",
        }
    }
}

/// What a breaker lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Everything.
    Closed,
    /// One probe.
    HalfOpen,
    /// Nothing.
    Open,
}

impl BreakerState {
    /// The label value used in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

/// What an issuer said of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IntrospectionOutcome {
    /// It is good.
    Active,
    /// It is not.
    Inactive,
    /// Nothing that could be used.
    Failed,
    /// It could not be asked; an older answer served.
    Stale,
    /// It was not asked: the budget for unknown tokens was used up.
    Limited,
}

impl IntrospectionOutcome {
    /// The label value used in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Failed => "failed",
            Self::Stale => "stale",
            Self::Limited => "limited",
        }
    }
}

/// Listens to events. Implementations must not block.
pub trait Events: fmt::Debug + Send + Sync {
    /// Called once for each event.
    fn report(&self, event: Event<'_>);
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Events for Silent {
    fn report(&self, _: Event<'_>) {}
}
