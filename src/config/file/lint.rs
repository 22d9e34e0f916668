//! Section `lint`.

use schemars::JsonSchema;
use serde::Deserialize;

/// What `tollgate lint` is to leave unsaid. It changes no decision.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "lint reads it where it stands, to tell the place of a code that silences nothing")]
pub(in crate::config) struct LintFile {
    /// Codes of findings that are accepted in all files, such as `audience-unchecked`. For one rule write a comment
    /// above it: `# tollgate: allow(audience-unchecked) why`.
    pub(in crate::config) allow: Option<Vec<String>>,
}
