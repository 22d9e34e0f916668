//! Section `tokens`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::provider::{ClientFile, ProviderFile};
use crate::config::names::shown;
use crate::config::value::{ByShape, Never, Size, Time};

/// A text, or a list of texts.
pub(in crate::config) type OneOrMore = ByShape<String, Vec<String>, Never>;

/// A token that the gate can obtain. Exactly one of the keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct TokenFile {
    /// For the caller's token (RFC 8693).
    pub(in crate::config) exchange: Option<ExchangeFile>,
    /// The gate's own (RFC 6749 §4.4).
    pub(in crate::config) client_credentials: Option<ClientCredentialsFile>,
}

/// Exchange of the caller's token for another (RFC 8693). Exactly one of `issuer` and `provider`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ExchangeFile {
    /// The issuer whose token endpoint is asked.
    pub(in crate::config) issuer: Option<String>,
    /// A provider that is none of the `issuers`.
    pub(in crate::config) provider: Option<ProviderFile>,
    /// The gate as the provider's client.
    #[schemars(required)]
    pub(in crate::config) client: Option<ClientFile>,
    /// For whom the new token is meant; sent as `audience`.
    pub(in crate::config) audience: Option<OneOrMore>,
    /// What the new token should grant. Default: not sent.
    pub(in crate::config) scopes: Option<Vec<String>>,
    /// Absolute URIs of where it will be used (RFC 8707); sent as `resource`.
    pub(in crate::config) resource: Option<OneOrMore>,
    /// Default: not sent.
    pub(in crate::config) requested_token_type: Option<TokenTypeFile>,
    /// What the caller's token is. Default: `access_token`.
    pub(in crate::config) subject_token_type: Option<TokenTypeFile>,
    /// A token of who acts for the caller. Default: none.
    pub(in crate::config) actor: Option<ActorFile>,
    /// What the new JWT's `aud` must hold, or `unchecked`. Default: `audience`, else `resource`.
    pub(in crate::config) expect_audience: Option<ExpectAudienceFile>,
    /// Scopes that the provider may grant beside `scopes`; others are refused. Default: none.
    pub(in crate::config) also_granted: Option<Vec<String>>,
    /// Longest token that is accepted. Default: `8KiB`.
    pub(in crate::config) max_token_bytes: Option<Size>,
    /// The cache of exchanged tokens.
    pub(in crate::config) cache: Option<ExchangeCacheFile>,
}

/// A token of the gate's own (RFC 6749 §4.4). Exactly one of `issuer` and `provider`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ClientCredentialsFile {
    /// The issuer whose token endpoint is asked.
    pub(in crate::config) issuer: Option<String>,
    /// A provider that is none of the `issuers`.
    pub(in crate::config) provider: Option<ProviderFile>,
    /// The gate as the provider's client.
    #[schemars(required)]
    pub(in crate::config) client: Option<ClientFile>,
    /// Sent as `audience` (Auth0, Scalekit). Default: not sent.
    pub(in crate::config) audience: Option<OneOrMore>,
    /// What the token should grant. Default: not sent.
    pub(in crate::config) scopes: Option<Vec<String>>,
    /// Absolute URIs of where it will be used (RFC 8707); sent as `resource`. Default: not sent.
    pub(in crate::config) resource: Option<OneOrMore>,
    /// What the JWT's `aud` must hold, or `unchecked`. Default: `audience`, else `resource`, else unchecked.
    pub(in crate::config) expect_audience: Option<ExpectAudienceFile>,
    /// Scopes that the provider may grant beside `scopes`; others are refused. Default: none.
    pub(in crate::config) also_granted: Option<Vec<String>>,
    /// Longest token that is accepted. Default: `8KiB`.
    pub(in crate::config) max_token_bytes: Option<Size>,
    /// When it is fetched anew.
    pub(in crate::config) refresh: Option<RefreshFile>,
}

/// A token type (RFC 8693 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum TokenTypeFile {
    /// `urn:ietf:params:oauth:token-type:access_token`.
    AccessToken,
    /// `urn:ietf:params:oauth:token-type:jwt`.
    Jwt,
}

/// Where the actor's token comes from: exactly one of `token` and `file`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ActorFile {
    /// One of the `tokens`, of the kind `client_credentials`.
    pub(in crate::config) token: Option<String>,
    /// A file that holds it. Read anew for each exchange.
    pub(in crate::config) file: Option<String>,
    /// What the file holds. Default: `jwt`.
    #[serde(rename = "type")]
    pub(in crate::config) kind: Option<TokenTypeFile>,
}

/// Audiences, or the word `unchecked`.
pub(in crate::config) type ExpectAudienceFile = ByShape<AnyAudienceFile, Vec<String>, Never>;

/// The word `unchecked`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(in crate::config) enum AnyAudienceFile {
    /// The new token's audience is not looked at.
    Unchecked,
}

impl<'de> Deserialize<'de> for AnyAudienceFile {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "unchecked" => Ok(Self::Unchecked),
            other => Err(serde::de::Error::custom(format_args!(
                "expected `unchecked` or a list, such as `[{}]`",
                shown(other)
            ))),
        }
    }
}

/// The cache of exchanged tokens.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ExchangeCacheFile {
    /// A hit is at most this old. Default: `5m`.
    pub(in crate::config) max_age: Option<Time>,
    /// A hit, and the caller's token that it was exchanged for, have at least this long to live. Default: `10s`.
    pub(in crate::config) margin: Option<Time>,
    /// Room for entries; 0 switches the cache off. Default: `16MiB`.
    pub(in crate::config) max_bytes: Option<Size>,
}

/// When a token of the gate's own is fetched anew.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RefreshFile {
    /// This long before it expires, in the background; at most a third of its lifetime before. Default: `60s`.
    pub(in crate::config) ahead: Option<Time>,
}
