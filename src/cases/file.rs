//! A file of cases as it is written. These types say what may be there; what it means is judged in [`super::read`].

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use serde_json::{Map, Value};

use super::text;
use crate::clock::Timestamp;
use crate::config::value::{ByShape, Never, Ordered, True};
use crate::core::request::Direction;

/// Cases for `tollgate test`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Tollgate test cases")]
#[expect(dead_code, reason = "the sections are read one by one; this type is their schema")]
pub(super) struct CasesFile {
    /// What every case of the file has, unless it says otherwise.
    defaults: Option<DefaultsFile>,
    /// The cases.
    #[schemars(required, length(min = 1))]
    cases: Option<Vec<CaseFile>>,
}

/// The keys of [`CasesFile`].
pub(super) const FILE_KEYS: &[&str] = &["defaults", "cases"];

/// What every case of the file has, unless it says otherwise.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DefaultsFile {
    /// The host of requests that name none.
    pub(super) host: Option<String>,
    /// Request headers, by name. A case's own of the same name replaces it.
    #[serde(default)]
    pub(super) headers: Ordered<String>,
    /// The listener that is asked. Default: `inbound`.
    pub(super) direction: Option<Direction>,
    /// The calling workload's SPIFFE id.
    pub(super) caller: Option<String>,
    /// What the route says, by key. A case's own of the same key replaces it.
    #[serde(default)]
    pub(super) context_extensions: Ordered<String>,
    /// Whose tokens they are.
    pub(super) issuer: Option<String>,
    /// What tokens say. A case's own claim of the same name replaces it.
    pub(super) claims: Option<Map<String, Value>>,
    /// As of when it is decided. Default: now.
    pub(super) at: Option<When>,
}

/// A request, who sends it, and what is expected.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CaseFile {
    /// Unique in the file. Default: the request.
    pub(super) name: Option<String>,
    /// `GET /orders/7`, `POST shop.example/orders`, `/orders`; or several, each a case of its own.
    pub(super) request: Option<ByShape<String, Vec<String>, Never>>,
    /// Instead of `request`: the file, relative to this one, of a recorded `CheckRequest`, as JSON or as protobuf.
    pub(super) recorded: Option<String>,
    /// Request headers, by name.
    #[serde(default)]
    pub(super) headers: Ordered<String>,
    /// The listener that is asked. Default: `inbound`.
    pub(super) direction: Option<Direction>,
    /// The calling workload's SPIFFE id, or `none`.
    pub(super) caller: Option<String>,
    /// What the route says, by key.
    #[serde(default)]
    pub(super) context_extensions: Ordered<String>,
    /// Whose token it is.
    pub(super) issuer: Option<String>,
    /// What the token says, laid over the defaults; or `none`, for a request that carries what it carries itself.
    pub(super) claims: Option<ByShape<NoneFile, Never, Map<String, Value>>>,
    /// Instead of `claims`: the file, relative to this one, of a token.
    pub(super) token: Option<String>,
    /// As of when it is decided. Default: now.
    pub(super) at: Option<When>,
    /// `allow`, `deny`, a reason; or all that is expected, by name.
    #[schemars(required)]
    pub(super) expect: Option<ByShape<String, Never, ExpectFile>>,
}

/// What is expected; of what is not said, anything.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectFile {
    /// Whether the request is let through.
    pub(super) decision: Option<DecisionFile>,
    /// The reason's code.
    pub(super) reason: Option<String>,
    /// The name of the rule that answers, or `none`.
    pub(super) rule: Option<String>,
    /// The HTTP status of a denial; 200 for an allowed request.
    #[schemars(range(min = 200, max = 599))]
    pub(super) status: Option<u16>,
    /// Headers of the request as the upstream gets it, by name: their value, or `absent: true` for one that is removed
    /// whatever the client sends.
    #[serde(default)]
    pub(super) headers: Ordered<ByShape<String, Never, AbsentFile>>,
    /// Headers of the response that the client gets, by name: their value, or `absent: true`.
    #[serde(default)]
    pub(super) response_headers: Ordered<ByShape<String, Never, AbsentFile>>,
    /// The name of the token that the upstream gets in the place of the caller's, or `none`.
    pub(super) upstream_token: Option<String>,
}

/// Whether a request is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum DecisionFile {
    /// It is.
    Allow,
    /// It is not.
    Deny,
}

/// A header that is not there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AbsentFile {
    /// It is not there.
    #[schemars(required)]
    pub(super) absent: Option<True>,
}

/// The word `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(super) enum NoneFile {
    /// Nothing.
    None,
}

impl<'de> Deserialize<'de> for NoneFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "none" => Ok(Self::None),
            _ => Err(de::Error::custom("expected `none` or a map, such as `{ sub: alice }`")),
        }
    }
}

/// A time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct When(pub(super) Timestamp);

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WhenVisitor;
        impl Visitor<'_> for WhenVisitor {
            type Value = When;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time such as `2026-05-01T12:00:00Z`, or seconds since 1970")
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<When, E> {
                let seconds = i64::try_from(seconds).map_err(|_| E::custom("too far in the future"))?;
                Ok(When(Timestamp::from_unix_seconds(seconds)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<When, E> {
                text::time(text).map(When).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(WhenVisitor)
    }
}

impl JsonSchema for When {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A time such as `2026-05-01T12:00:00Z`, or seconds since 1970.",
            "anyOf": [{ "type": "string" }, { "type": "integer", "minimum": 0 }]
        })
    }
}
