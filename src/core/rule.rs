//! One row of the policy table, as the decision uses it. The matching half is in [`super::table`].

use std::sync::Arc;

use super::caller::SpiffePattern;
use super::condition::ClaimCondition;
use super::inject::Template;

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Unique in the table; a metric label.
    pub name: Arc<str>,
    /// What it does. Shared between rules that do the same: of many rules, few differ in more than what they match.
    pub effect: Arc<Effect>,
}

/// What a rule does with a request that it matches, and what the upstream learns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Effect {
    /// What happens.
    pub action: Action,
    /// Headers for the upstream, and for the client, of an allowed request.
    pub injection: Injection,
    /// What a denial looks like.
    pub denial: Arc<DenialStyle>,
    /// The token that an allowed request carries instead of the caller's.
    pub upstream_token: Option<TokenIndex>,
}

/// The position of an obtained token in the snapshot's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenIndex(pub usize);

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Refuse it.
    Deny,
    /// Allow it without looking at a credential.
    Anonymous {
        /// The workload that must be calling, where the rule names any.
        caller: Option<CallerRequirement>,
    },
    /// Allow it without a credential; one that is sent must be valid and meet the requirements.
    Optional(Arc<Requirements>),
    /// Allow it with a token that meets the requirements.
    Require(Arc<Requirements>),
    /// Allow a CORS preflight. The compiler makes these from `cors_preflight: allow`.
    Preflight {
        /// The workload that must be calling, where the rule names any: it is named for preflights, too.
        caller: Option<CallerRequirement>,
    },
}

impl Action {
    /// The workload that must be calling, where the rule names any.
    pub fn caller(&self) -> Option<&CallerRequirement> {
        match self {
            Self::Deny => None,
            Self::Anonymous { caller } | Self::Preflight { caller } => caller.as_ref(),
            Self::Optional(wanted) | Self::Require(wanted) => wanted.caller.as_ref(),
        }
    }
}

/// The position of an issuer in the snapshot's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IssuerIndex(pub usize);

/// What a request must show. Named sets are shared between rules.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirements {
    /// The issuers whose tokens are looked at; never empty.
    pub issuers: Vec<IssuerIndex>,
    /// For whom the token must be meant.
    pub audience: AudienceRequirement,
    /// Alternatives, of which one must be granted; empty where scopes do not matter.
    pub scopes: Vec<AnyAll>,
    /// Alternatives, of which one must be held; empty where roles do not matter.
    pub roles: Vec<AnyAll>,
    /// Conditions, all of which must hold.
    pub claims: Vec<ClaimCondition>,
    /// The workload that must be calling.
    pub caller: Option<CallerRequirement>,
}

/// For whom a token must be meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AudienceRequirement {
    /// The operator wrote `audience: unchecked`.
    Unchecked,
    /// The token's audience holds one of `any` (if there are any) and every one of `all`.
    Checked(AnyAll),
}

/// Holds where one of `any` is there (or `any` is empty) and every one of `all` is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AnyAll {
    /// One of these.
    pub any: Vec<Box<str>>,
    /// Each of these.
    pub all: Vec<Box<str>>,
}

impl AnyAll {
    /// Judges with a membership test.
    pub fn holds(&self, has: impl Fn(&str) -> bool) -> bool {
        (self.any.is_empty() || self.any.iter().any(|name| has(name))) && self.all.iter().all(|name| has(name))
    }

    /// Every name mentioned, `all` first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().chain(&self.any).map(|name| &**name)
    }
}

/// Which workloads may call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CallerRequirement {
    /// One of these must match the peer's SPIFFE id; never empty.
    pub spiffe: Vec<SpiffePattern>,
}

/// What an allowed request carries on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Injection {
    /// Request headers to set; names are unique and lower case.
    pub headers: Vec<InjectedHeader>,
    /// Response headers for the client; fixed values.
    pub response_headers: Arc<[(Arc<str>, Arc<str>)]>,
    /// Whether the header that carried a verified token is removed before the upstream.
    pub remove_token: bool,
}

/// One identity header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InjectedHeader {
    /// Lower case; never a pseudo-header, `host` or a hop-by-hop header.
    pub name: Arc<str>,
    /// Makes the value.
    pub template: Template,
    /// Refuse the request, instead of removing the header, where the template has no value.
    pub required: bool,
}

/// What a denial looks like, as far as the operator chose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DenialStyle {
    /// The `realm` of challenges.
    pub realm: Option<Box<str>>,
    /// RFC 9728 §5.1: the URL of the protected resource's metadata, for challenges.
    pub resource_metadata: Option<Box<str>>,
    /// Instead of the reason's own 401 or 403: 400–599, as far as Envoy knows the status.
    pub status: Option<u16>,
    /// Instead of problem details: a content type and a body. `{reason}` and `{decision_id}` are filled in.
    pub body: Option<(Box<str>, Box<str>)>,
    /// More response headers.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
}
