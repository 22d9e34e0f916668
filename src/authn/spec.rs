//! What the configuration says about an issuer. Two equal specs may share one running [`super::Issuer`], with
//! its keys and caches warm, across a reload.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

pub use crate::core::algorithm::Algorithm;
use crate::core::principal::ClaimPath;
pub use crate::core::principal::KeptClaims;
use crate::net::spec::Transport;
use crate::provider::spec::{ClientSpec, ProviderSpec};

/// One issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerSpec {
    /// Its name in the configuration; a metric label.
    pub name: Arc<str>,
    /// What its tokens say in `iss`.
    pub issuer: IssuerClaim,
    /// Where its keys come from.
    pub keys: KeySource,
    /// What it signs with; never empty.
    pub algorithms: Vec<Algorithm>,
    /// Whether tokens without `kid` are tried against the keys that fit their algorithm. With
    /// [`KeySource::Pem`] keys have no ids, and a token's `kid` says nothing.
    pub kid_optional: bool,
    /// Accept a NumericDate in a string (older Passport releases).
    pub times_in_strings: bool,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// Refuse tokens whose `exp` lies further than this from `iat` (or from now, where there is no `iat`).
    pub max_lifetime: Option<Duration>,
    /// Require the RFC 9068 profile: `typ: at+jwt` and its seven claims.
    pub rfc9068: bool,
    /// Where identity is found in the claims.
    pub claims: ClaimMapping,
    /// Which claims are kept of a token that was verified: all that rules look at by themselves.
    pub kept: KeptClaims,
    /// The scope that stands for every scope.
    pub wildcard_scope: Option<Box<str>>,
    /// Which request header carries the token.
    pub credential: CredentialSource,
    /// Longest token looked at.
    pub max_token_bytes: usize,
    /// The cache of validated tokens.
    pub cache: TokenCacheSpec,
    /// What its tokens look like.
    pub tokens: TokenFormat,
    /// How the issuer is asked whether a token is still good; always there where tokens may be opaque.
    pub introspection: Option<IntrospectionSpec>,
    /// The issuer's endpoints, for introspection and for obtaining tokens; always there with `introspection`.
    pub provider: Option<ProviderSpec>,
    /// Whether the process is ready without this issuer's keys; its tokens are refused until they are there.
    pub ready_without_keys: bool,
}

impl IssuerSpec {
    /// Whether JWTs that passed the local checks are introspected.
    pub fn introspects_jwts(&self) -> bool {
        self.introspection.as_ref().is_some_and(|introspection| introspection.jwts)
    }
}

/// What an issuer's tokens look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenFormat {
    /// JWTs only (RFC 7519).
    Jwt,
    /// Texts without meaning, whatever they look like; introspection says what they stand for.
    Opaque,
    /// Either. What decodes as a JOSE header with one of the issuer's algorithms is a JWT.
    Both,
}

/// How an issuer is asked whether a token is still good (RFC 7662).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntrospectionSpec {
    /// JWTs that passed the local checks are introspected, too.
    pub jwts: bool,
    /// The gate as the issuer's client.
    pub client: ClientSpec,
    /// An active answer is used for this long, and never at or after its `exp`.
    pub active_for: Duration,
    /// An inactive answer is used for this long.
    pub inactive_for: Duration,
    /// What an opaque token must look like to be asked about.
    pub filter: OpaqueFilter,
    /// How often the issuer is asked about opaque texts that it never called active.
    pub unknown: UnknownBudget,
    /// For how long after its age an active answer may serve while the issuer cannot be reached or answers 5xx; zero:
    /// never.
    pub stale_for: Duration,
}

/// What an opaque token must look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpaqueFilter {
    /// Shortest, in bytes.
    pub min_bytes: usize,
    /// Longest, in bytes.
    pub max_bytes: usize,
    /// What it begins with; may be empty. Two issuers that one rule accepts are told apart by it.
    pub prefix: Box<str>,
    /// What follows is made of these.
    pub alphabet: OpaqueAlphabet,
}

/// What opaque tokens are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpaqueAlphabet {
    /// RFC 6750 §2.1 `b64token`: letters, digits, `-._~+/`, and `=` at the end.
    Token68,
    /// Letters, digits, `-` and `_`.
    Base64Url,
    /// `0-9a-fA-F`.
    Hex,
    /// Letters and digits.
    Alphanumeric,
}

/// How often an issuer is asked about texts that it never called active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownBudget {
    /// Sustained.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
    /// At one time.
    pub max_in_flight: usize,
}

/// What an issuer's tokens say in `iss`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum IssuerClaim {
    /// Exactly this.
    Exact(Arc<str>),
    /// Nothing: the key names the issuer. A token that has an `iss` is not this issuer's.
    Absent,
}

/// Which request header carries an issuer's tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CredentialSource {
    /// `Authorization: Bearer …` (RFC 6750 §2.1).
    Authorization,
    /// A named header (lower case) that holds the bare token.
    Header(Arc<str>),
}

/// Where identity is found in an issuer's claims. A path that leads nowhere yields no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimMapping {
    /// A string; `sub` unless configured.
    pub subject: ClaimPath,
    /// A string; `client_id`, then `azp`, unless configured. For Passport it is `aud`, whose single value counts.
    pub client: Vec<ClaimPath>,
    /// A string of space-delimited scopes or an array of strings; `scope`, then `scp`, then `scopes`, unless configured.
    pub scopes: Vec<ClaimPath>,
    /// Arrays of strings, joined.
    pub roles: Vec<ClaimPath>,
    /// A string.
    pub service: Option<ClaimPath>,
    /// A string.
    pub tenant: Option<ClaimPath>,
    /// Further claims by names of the operator's choice, for templates.
    pub extra: Vec<(Arc<str>, ClaimPath)>,
    /// Where the audience is found; `aud` unless configured.
    pub audience: ClaimPath,
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// Nowhere: its tokens are opaque.
    None,
    /// PEM files: SPKI or PKCS#1 public keys, or X.509 certificates; one key a block. Re-read on change.
    Pem(Vec<PathBuf>),
    /// A JWKS file (RFC 7517 §5). Re-read on change.
    JwksFile(PathBuf),
    /// A JWKS behind a URL.
    JwksUrl {
        /// Where.
        url: Url,
        /// How.
        fetch: FetchSpec,
    },
    /// OIDC Discovery 1.0 or RFC 8414 metadata, whose `issuer` must equal the issuer's `iss` to the letter.
    Discovery {
        /// The metadata document. It may be on another host than the issuer.
        url: Url,
        /// Hosts that `jwks_uri` may name beside the metadata's own and the issuer's.
        allowed_hosts: Vec<Box<str>>,
        /// How.
        fetch: FetchSpec,
    },
}

/// How keys are fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchSpec {
    /// Time between refreshes where the answer has no usable `Cache-Control`.
    pub refresh: Duration,
    /// `Cache-Control: max-age` is clamped to this range.
    pub refresh_bounds: (Duration, Duration),
    /// Time for one fetch, connect to last byte.
    pub timeout: Duration,
    /// How long after the last success keys may be used.
    pub stale_keys: Duration,
    /// Least time between two fetches for unknown key ids.
    pub unknown_kid_cooldown: Duration,
    /// How the source is reached.
    pub transport: Transport,
    /// Send this file's content as bearer token (a Kubernetes API server asks for it). Re-read at each fetch.
    pub bearer_token_file: Option<PathBuf>,
}

/// The cache of validated tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenCacheSpec {
    /// A hit is at most this old.
    pub max_age: Duration,
    /// Room for entries, in bytes. Zero switches the cache off.
    pub max_bytes: u64,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An issuer of JWTs, with something in every place of its mapping.
    pub(in crate::authn) fn spec() -> IssuerSpec {
        let path = |text: &str| ClaimPath::dotted(text).unwrap();
        IssuerSpec {
            name: "shop".into(),
            issuer: IssuerClaim::Exact("https://shop.example".into()),
            keys: KeySource::None,
            algorithms: vec![Algorithm::RS256],
            kid_optional: false,
            times_in_strings: false,
            leeway: Duration::from_secs(30),
            max_lifetime: None,
            rfc9068: false,
            claims: ClaimMapping {
                subject: path("sub"),
                client: vec![path("client_id"), path("azp")],
                scopes: vec![path("scope"), path("scp")],
                roles: vec![path("realm_access.roles"), path("resource_access.b.roles")],
                service: Some(path("service")),
                tenant: Some(path("org.id")),
                extra: vec![("plan".into(), path("plan")), ("granted".into(), path("scope"))],
                audience: path("aud"),
            },
            kept: KeptClaims::All,
            wildcard_scope: None,
            credential: CredentialSource::Authorization,
            max_token_bytes: 8192,
            cache: TokenCacheSpec { max_age: Duration::from_secs(300), max_bytes: 1 << 20 },
            tokens: TokenFormat::Jwt,
            introspection: None,
            provider: None,
            ready_without_keys: false,
        }
    }
}
