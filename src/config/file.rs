//! The file as it is written. These types say what may be there, and the JSON Schema is made from them; what it
//! means together is judged in [`super::build`]. Nothing is required here, so that one reading finds everything
//! that is missing.

pub(super) mod audit;
pub(super) mod issuer;
pub(super) mod lint;
pub(super) mod provider;
pub(super) mod rule;
pub(super) mod server;
pub(super) mod token;

use schemars::JsonSchema;
use serde::Deserialize;

use super::value::Ordered;
use audit::AuditFile;
use issuer::IssuerFile;
use lint::LintFile;
use rule::{DenialFile, RequireFile, RuleFile};
use server::ServerFile;
use token::TokenFile;

/// Tollgate's configuration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Tollgate configuration")]
#[expect(dead_code, reason = "the sections are read one by one; this type is their schema")]
pub(super) struct ConfigFile {
    /// Listeners and limits.
    #[schemars(required)]
    server: Option<ServerFile>,
    /// A line for each decision. Default: none.
    audit: Option<AuditFile>,
    /// Whose tokens are accepted, by a name of your choice, which metrics and logs use.
    #[serde(default)]
    issuers: Ordered<IssuerFile>,
    /// Tokens that the gate can obtain, by a name of your choice, for rules' `upstream_token`.
    #[serde(default)]
    tokens: Ordered<TokenFile>,
    /// Names of headers that only the gate may set, beside those that any rule injects: removed from every
    /// request that is let through, in every folded spelling.
    #[serde(default)]
    identity_headers: Vec<String>,
    /// What denials look like, unless a rule says otherwise.
    denial: Option<DenialFile>,
    /// What `tollgate lint` is to leave unsaid.
    lint: Option<LintFile>,
    /// Requirements by name, to be shared by rules.
    #[serde(default)]
    requirements: Ordered<RequireFile>,
    /// A directory, relative to this file: every `*.yaml` or `*.yml` in it holds further rules under `rules`.
    rules_dir: Option<String>,
    /// The policy table. Their order means nothing. No rules at all must be said: `rules: []` denies everything.
    rules: Option<Vec<RuleFile>>,
}

/// The keys of [`ConfigFile`].
pub(super) const CONFIG_KEYS: &[&str] = &[
    "server",
    "audit",
    "issuers",
    "tokens",
    "identity_headers",
    "denial",
    "lint",
    "requirements",
    "rules_dir",
    "rules",
];

/// The keys of a file in `rules_dir`.
pub(super) const RULES_FILE_KEYS: &[&str] = &["rules"];
