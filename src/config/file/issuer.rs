//! Section `issuers`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::provider::{IntrospectionFile, ProviderFile};
use super::token::OneOrMore;
use crate::authn::spec::Algorithm;
use crate::config::value::{ByShape, Never, Ordered, Size, Time, TrueOr};

/// An issuer of tokens. Exactly one of `issuer` and `issuer_claim` is needed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct IssuerFile {
    /// What its tokens say in `iss`, to the letter.
    pub(in crate::config) issuer: Option<String>,
    /// `absent`: its tokens carry no `iss`; the key names the issuer.
    pub(in crate::config) issuer_claim: Option<IssuerClaimFile>,
    /// What its tokens look like. Default: `jwt`.
    pub(in crate::config) tokens: Option<TokensFile>,
    /// Where its keys come from. Required but for `tokens: opaque`.
    pub(in crate::config) keys: Option<KeysFile>,
    /// What it signs with. Default: `[RS256, ES256]`. MACs (`HS256` …) and `none` do not exist here.
    #[schemars(with = "Option<Vec<Algorithm>>", length(min = 1))]
    pub(in crate::config) algorithms: Option<Vec<String>>,
    /// Whether a token must name its key. Default: `required`; PEM keys have no ids, there it is always `optional`.
    pub(in crate::config) kid: Option<KidFile>,
    /// `string` also accepts times that are written as strings. Default: `number`.
    pub(in crate::config) times: Option<TimesFile>,
    /// How far clocks may differ, at most `5m`. Default: `30s`.
    pub(in crate::config) leeway: Option<Time>,
    /// Refuse tokens that live longer than this, counted from `iat`, or from now where there is none. Default: no bound.
    pub(in crate::config) max_lifetime: Option<Time>,
    /// `rfc9068`: tokens must follow that profile (`typ: at+jwt`, and seven claims). Default: no profile.
    pub(in crate::config) profile: Option<ProfileFile>,
    /// Where identity is found in the claims: the name of a preset, or a map.
    pub(in crate::config) claims: Option<ByShape<PresetFile, Never, ClaimsFile>>,
    /// The scope that stands for every scope. Default: none.
    pub(in crate::config) wildcard_scope: Option<String>,
    /// Where requests carry its tokens. Default: `Authorization: Bearer`.
    pub(in crate::config) credential: Option<CredentialFile>,
    /// Longest token that is looked at. Default: `8KiB`; at most 256 KiB.
    pub(in crate::config) max_token_bytes: Option<Size>,
    /// The cache of validated tokens.
    pub(in crate::config) cache: Option<CacheFile>,
    /// How its endpoints are found and called, for introspection and for obtaining tokens.
    pub(in crate::config) provider: Option<ProviderFile>,
    /// How it is asked whether a token is still good. Required with `tokens: opaque` and `both`.
    pub(in crate::config) introspection: Option<IntrospectionFile>,
    /// What holds while the issuer cannot be reached.
    pub(in crate::config) outage: Option<OutageFile>,
}

/// What an issuer's tokens look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum TokensFile {
    /// JSON Web Tokens.
    Jwt,
    /// Texts that only the issuer can read: they are introspected.
    Opaque,
    /// Either. What decodes as a JOSE header with one of the `algorithms` is a JWT.
    Both,
}

/// The claim `iss`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum IssuerClaimFile {
    /// There is none.
    Absent,
}

/// Whether a token must name its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum KidFile {
    /// A token without `kid` is refused.
    Required,
    /// A token without `kid` is tried against the keys that fit its algorithm.
    Optional,
}

/// How times are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum TimesFile {
    /// As numbers, with or without a fraction.
    Number,
    /// As numbers, or as strings that hold one.
    String,
}

/// A profile of access tokens.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum ProfileFile {
    /// RFC 9068.
    Rfc9068,
}

/// Where keys come from: exactly one of `pem`, `jwks_file`, `jwks` and `discovery`. The other keys say how `jwks` and
/// `discovery` are fetched.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct KeysFile {
    /// PEM files with public keys or X.509 certificates. Read again when they change.
    #[schemars(length(min = 1))]
    pub(in crate::config) pem: Option<Vec<String>>,
    /// A file that holds a JWKS (RFC 7517 §5). Read again when it changes.
    pub(in crate::config) jwks_file: Option<String>,
    /// The URL of a JWKS.
    pub(in crate::config) jwks: Option<String>,
    /// `true` for `{issuer}/.well-known/openid-configuration`, or the URL of the metadata document, which may be on
    /// another host. Its `issuer` must equal `issuer` to the letter.
    pub(in crate::config) discovery: Option<TrueOr>,
    /// Hosts that the metadata's `jwks_uri` may name, beside the metadata's own and the issuer's. With `discovery`.
    pub(in crate::config) allowed_hosts: Option<Vec<String>>,
    /// Time between refreshes where the answer has no usable `Cache-Control`. Default: `10m`.
    pub(in crate::config) refresh: Option<Time>,
    /// Shortest time between refreshes that `Cache-Control` can ask for. Default: `30s`.
    pub(in crate::config) refresh_min: Option<Time>,
    /// Longest time between refreshes that `Cache-Control` can ask for. Default: `1h`.
    pub(in crate::config) refresh_max: Option<Time>,
    /// Time for one fetch, at most `1m`. Default: `5s`.
    pub(in crate::config) timeout: Option<Time>,
    /// Least time between two fetches for unknown key ids, at least `1s`. Default: `15s`.
    pub(in crate::config) unknown_kid_cooldown: Option<Time>,
    /// Allow `http:` to hosts other than loopback. Default: `false`.
    pub(in crate::config) allow_insecure_http: Option<bool>,
    /// Trust these authorities (PEM) instead of the system's.
    pub(in crate::config) ca_file: Option<String>,
    /// Send this file's content as bearer token: a Kubernetes API server asks for it. Read at each fetch.
    pub(in crate::config) bearer_token_file: Option<String>,
    /// The HTTP proxy to go through. Default: none; the environment's variables are ignored.
    pub(in crate::config) proxy: Option<String>,
    /// Addresses that may be connected to although they are link-local or a metadata service's. Default: none.
    pub(in crate::config) allowed_addresses: Option<Vec<String>>,
    /// Time for name resolution, connection and TLS, within `timeout`. Default: `timeout`.
    pub(in crate::config) connect_timeout: Option<Time>,
}

/// A claim: names with dots between them (`realm_access.roles`), or a list of names that are taken whole
/// (`["https://acme.com/roles"]`).
pub(in crate::config) type ClaimPathFile = ByShape<String, Vec<String>, Never>;

/// A claim, or several.
pub(in crate::config) type ClaimPathsFile = ByShape<String, Vec<String>, CombinedFile>;

/// Several claims; exactly one of the keys.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct CombinedFile {
    /// The first of these that the token has.
    #[schemars(length(min = 1))]
    pub(in crate::config) first_of: Option<Vec<ClaimPathFile>>,
    /// All of these together; for `roles`.
    #[schemars(length(min = 1))]
    pub(in crate::config) all_of: Option<Vec<ClaimPathFile>>,
}

/// Where identity is found in the claims.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ClaimsFile {
    /// Start from this preset; the other keys replace what it says, one by one.
    pub(in crate::config) preset: Option<PresetFile>,
    /// Clients whose roles count, too (`resource_access.NAME.roles`). With `preset: keycloak`.
    pub(in crate::config) client_roles: Option<OneOrMore>,
    /// Who the token is about. Default: `sub`.
    pub(in crate::config) subject: Option<ClaimPathFile>,
    /// The OAuth client that obtained it. Default: `client_id`, then `azp`.
    pub(in crate::config) client: Option<ClaimPathsFile>,
    /// Space-delimited text, or a list of texts. Default: `scope`, then `scp`, then `scopes`.
    pub(in crate::config) scopes: Option<ClaimPathsFile>,
    /// Lists of texts. Default: none.
    pub(in crate::config) roles: Option<ClaimPathsFile>,
    /// The calling service's name. Default: none.
    pub(in crate::config) service: Option<ClaimPathFile>,
    /// The tenant or organisation. Default: none.
    pub(in crate::config) tenant: Option<ClaimPathFile>,
    /// Whom the token is meant for. Default: `aud`.
    pub(in crate::config) audience: Option<ClaimPathFile>,
    /// Further claims by names of your choice, for `{claim.NAME}` in headers.
    #[serde(default)]
    pub(in crate::config) extra: Ordered<ClaimPathFile>,
}

/// Where a kind of issuer puts what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum PresetFile {
    /// Laravel Passport.
    Passport,
    /// Keycloak.
    Keycloak,
    /// Scalekit.
    Scalekit,
    /// RFC 9068.
    Rfc9068,
    /// Auth0.
    Auth0,
    /// Okta.
    Okta,
    /// Microsoft Entra ID, v1 and v2.
    Entra,
    /// Google.
    Google,
    /// Kubernetes ServiceAccounts.
    Kubernetes,
}

/// Where requests carry tokens.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct CredentialFile {
    /// A header that holds the bare token.
    #[schemars(required)]
    pub(in crate::config) header: Option<String>,
}

/// The cache of validated tokens.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct CacheFile {
    /// A hit is at most this old, and never past the token's `exp`. Default: `5m`.
    pub(in crate::config) max_age: Option<Time>,
    /// Room for entries; 0 switches the cache off. Default: `64MiB`.
    pub(in crate::config) max_bytes: Option<Size>,
}

/// What holds while an issuer cannot be reached.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct OutageFile {
    /// How long after the last successful fetch keys may be used. Default: `1h`.
    pub(in crate::config) stale_keys: Option<Time>,
    /// How long past its age an active answer of introspection serves, where the issuer cannot be reached or answers
    /// 5xx; never past its `exp`. Default: `0s`, never.
    pub(in crate::config) stale_introspection: Option<Time>,
    /// Whether the process is ready before the first keys are there. Default: `wait`.
    pub(in crate::config) cold_start: Option<ColdStartFile>,
}

/// A start without an issuer's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum ColdStartFile {
    /// Not ready until they are there.
    Wait,
    /// Ready; the issuer's tokens are refused with 503 until they are there.
    Serve,
}
