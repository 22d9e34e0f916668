//! Sections `rules`, `requirements` and `denial`.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::VariantAccess;

use crate::config::file::issuer::ClaimPathFile;
use crate::config::value::{ByShape, Never, Ordered, Scalar, Shape, True};
use crate::core::request::Direction;

/// A rule: which requests it is for, and what it does with them. It says one of `allow: anonymous`, `allow: optional`
/// with `require`, `require` alone, and `deny: true`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RuleFile {
    /// Unique; metrics, logs and denials' metadata use it.
    #[schemars(required)]
    pub(in crate::config) name: Option<String>,
    /// Which requests it is for. Default: all.
    #[serde(rename = "match")]
    pub(in crate::config) matching: Option<MatchFile>,
    /// Allow requests without a token.
    pub(in crate::config) allow: Option<AllowFile>,
    /// Refuse requests, whatever other rules say.
    pub(in crate::config) deny: Option<True>,
    /// What a request must show: here, or the name of a set under `requirements`.
    pub(in crate::config) require: Option<ByShape<String, Never, RequireFile>>,
    /// Request headers for the upstream, by name.
    #[serde(default)]
    pub(in crate::config) inject: Ordered<ByShape<String, Never, InjectFile>>,
    /// Headers for the response to the client, by name; fixed values.
    #[serde(default)]
    pub(in crate::config) response_headers: Ordered<String>,
    /// Remove the header that carried the token before the upstream. Default: `false` on inbound rules, `true` on
    /// outbound ones.
    pub(in crate::config) remove_token: Option<bool>,
    /// The token, one of `tokens`, that the request carries on instead of its own credentials.
    pub(in crate::config) upstream_token: Option<ByShape<String, Never, UpstreamTokenFile>>,
    /// `allow`: answer CORS preflights for the same hosts and paths without a token. Default: they need what every
    /// request needs.
    pub(in crate::config) cors_preflight: Option<PreflightFile>,
    /// Settles a tie between two rules that match equally closely: the greater one answers. Default: 0.
    pub(in crate::config) priority: Option<i32>,
    /// You know that a caller may choose this rule by leaving headers out that another rule asks for. Default: `false`.
    pub(in crate::config) fallback: Option<bool>,
    /// What this rule's denials look like: keys that are there replace those of the file's `denial`.
    pub(in crate::config) denial: Option<DenialFile>,
}

/// The token that a request carries on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct UpstreamTokenFile {
    /// One of the `tokens`.
    #[serde(rename = "use")]
    #[schemars(required)]
    pub(in crate::config) base: Option<String>,
    /// You know that the token goes to the upstream of an inbound rule. For exchanges alone.
    pub(in crate::config) inbound: Option<True>,
}

/// Requests without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum AllowFile {
    /// No credential is looked at.
    Anonymous,
    /// A token need not be sent; one that is must be valid and meet `require`.
    Optional,
}

/// CORS preflights.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum PreflightFile {
    /// Are allowed.
    Allow,
}

/// Which requests a rule is for: all that is said must hold; of each list one.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct MatchFile {
    /// Requests that are asked about on listeners of this direction. Default: `inbound`.
    pub(in crate::config) direction: Option<Direction>,
    /// `api.example.com`, or `*.example.com` for every host below. Default: every host.
    #[schemars(length(min = 1))]
    pub(in crate::config) hosts: Option<Vec<String>>,
    /// `/a/b`, `/a/{name}/b`, `/a/**` for `/a` and everything below. Default: every path.
    #[schemars(length(min = 1))]
    pub(in crate::config) paths: Option<Vec<String>>,
    /// Methods; they are case-sensitive. Default: every method.
    #[schemars(length(min = 1))]
    pub(in crate::config) methods: Option<Vec<String>>,
    /// A gRPC service, instead of `paths` and `methods`.
    pub(in crate::config) grpc: Option<GrpcFile>,
    /// Conditions on request headers, all of which must hold. Callers choose headers: see `fallback`.
    #[schemars(length(min = 1))]
    pub(in crate::config) headers: Option<Vec<HeaderFile>>,
    /// Keys and values that you set on Envoy's routes.
    #[serde(default)]
    pub(in crate::config) context_extensions: Ordered<String>,
}

/// A gRPC service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct GrpcFile {
    /// With its package: `shop.v1.Payments`.
    #[schemars(required)]
    pub(in crate::config) service: Option<String>,
    /// Its methods. Default: all.
    #[schemars(length(min = 1))]
    pub(in crate::config) methods: Option<Vec<String>>,
}

/// A condition on a request header; exactly one test.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct HeaderFile {
    /// The header.
    #[schemars(required)]
    pub(in crate::config) name: Option<String>,
    /// It has this value; lines that repeat the name count as one value, joined by commas.
    pub(in crate::config) equals: Option<String>,
    /// It has another value, or is not there.
    pub(in crate::config) not_equals: Option<String>,
    /// It is there.
    pub(in crate::config) present: Option<True>,
    /// It is not there.
    pub(in crate::config) absent: Option<True>,
}

/// What a request must show.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RequireFile {
    /// A set under `requirements` to start from. A key that is in both is an error; `claims` add up.
    #[serde(rename = "use")]
    pub(in crate::config) base: Option<String>,
    /// The issuers whose tokens are looked at. Default: all.
    #[schemars(length(min = 1))]
    pub(in crate::config) issuers: Option<Vec<String>>,
    /// Whom the token must be meant for, or `unchecked`. Required wherever a token is looked at.
    pub(in crate::config) audience: Option<ByShape<UncheckedFile, NoList, AnyAllFile>>,
    /// What the token must grant.
    pub(in crate::config) scopes: Option<GrantFile>,
    /// What its subject must hold.
    pub(in crate::config) roles: Option<GrantFile>,
    /// Conditions on claims, all of which must hold.
    #[schemars(length(min = 1))]
    pub(in crate::config) claims: Option<Vec<ConditionFile>>,
    /// The workload that must be calling, as Envoy authenticated it.
    pub(in crate::config) caller: Option<CallerFile>,
}

/// The word `unchecked`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(in crate::config) enum UncheckedFile {
    /// Tokens for any audience are accepted.
    Unchecked,
}

impl<'de> Deserialize<'de> for UncheckedFile {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "unchecked" => Ok(Self::Unchecked),
            other => Err(serde::de::Error::custom(format_args!(
                "expected `unchecked` or a map, such as `{{ any: [{}] }}`",
                crate::config::names::shown(other)
            ))),
        }
    }
}

/// A list where one would be ambiguous: one of them, or each?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum NoList {}

impl Shape for NoList {
    fn read<'de, A: VariantAccess<'de>>(_: A) -> Result<Self, A::Error> {
        Err(serde::de::Error::custom(
            "expected `unchecked` or a map, found a list; write it under `any` or `all`, such as `{ any: [orders] }`",
        ))
    }

    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }
}

/// One of `any`, and every one of `all`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct AnyAllFile {
    /// One of these.
    #[schemars(length(min = 1))]
    pub(in crate::config) any: Option<Vec<String>>,
    /// Each of these.
    #[schemars(length(min = 1))]
    pub(in crate::config) all: Option<Vec<String>>,
}

/// `any` and `all`, or alternatives of both under `any_of`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct GrantFile {
    /// One of these.
    #[schemars(length(min = 1))]
    pub(in crate::config) any: Option<Vec<String>>,
    /// Each of these.
    #[schemars(length(min = 1))]
    pub(in crate::config) all: Option<Vec<String>>,
    /// One of these alternatives, instead of `any` and `all`.
    #[schemars(length(min = 1))]
    pub(in crate::config) any_of: Option<Vec<AnyAllFile>>,
}

/// A condition on a claim: `path` and exactly one test. Values are typed: `"1"` is not `1`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ConditionFile {
    /// The claim.
    #[schemars(required)]
    pub(in crate::config) path: Option<ClaimPathFile>,
    /// It is this.
    pub(in crate::config) equals: Option<Scalar>,
    /// It is one of these.
    #[serde(rename = "in")]
    #[schemars(length(min = 1))]
    pub(in crate::config) one_of: Option<Vec<Scalar>>,
    /// It is there and none of these.
    #[schemars(length(min = 1))]
    pub(in crate::config) not_in: Option<Vec<Scalar>>,
    /// It is a list that holds this.
    pub(in crate::config) contains: Option<Scalar>,
    /// It is there, and not null.
    pub(in crate::config) present: Option<True>,
    /// It is not there, or null.
    pub(in crate::config) absent: Option<True>,
    /// It is a text that matches this regular expression as a whole. Linear time: no look-around, no back-references.
    pub(in crate::config) pattern: Option<String>,
    /// It equals the path segment that every path of the rule calls by this name.
    pub(in crate::config) equals_path: Option<String>,
    /// It equals the host's label at this position, counted from the left, from zero.
    pub(in crate::config) equals_host_label: Option<u8>,
    /// It equals the query parameter of this name, which must be there exactly once.
    pub(in crate::config) equals_query: Option<String>,
}

/// Which workloads may call.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct CallerFile {
    /// SPIFFE ids; `spiffe://domain/ns/x/**` for every id below by whole path segments.
    #[schemars(required, length(min = 1))]
    pub(in crate::config) spiffe: Option<Vec<String>>,
}

/// A request header for the upstream.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct InjectFile {
    /// A template.
    #[schemars(required)]
    pub(in crate::config) value: Option<String>,
    /// Refuse the request, instead of removing the header, where the template has no value. Default: `false`.
    pub(in crate::config) required: Option<bool>,
}

/// What denials look like.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct DenialFile {
    /// The `realm` of challenges. Default: none.
    pub(in crate::config) realm: Option<String>,
    /// The URL of the protected resource's metadata (RFC 9728 §5.1), for challenges. Default: none.
    pub(in crate::config) resource_metadata: Option<String>,
    /// Instead of the reason's own 401 or 403. Default: the reason's own.
    #[schemars(range(min = 400, max = 599))]
    pub(in crate::config) status: Option<u16>,
    /// Instead of problem details.
    pub(in crate::config) body: Option<BodyFile>,
    /// More response headers, by name.
    #[serde(default)]
    pub(in crate::config) headers: Option<Ordered<String>>,
}

/// The body of denials.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct BodyFile {
    /// `text/plain`, `text/html; charset=utf-8` …
    #[schemars(required)]
    pub(in crate::config) content_type: Option<String>,
    /// The text; `{reason}` and `{decision_id}` are filled in.
    #[schemars(required)]
    pub(in crate::config) text: Option<String>,
}
