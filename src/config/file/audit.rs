//! Section `audit`.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::Visitor;

use crate::config::value::{ByShape, Never, Ordered, Size};

/// A line of JSON for each decision.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct AuditFile {
    /// Where lines go: `stdout`, `otlp`, or a file.
    #[schemars(required)]
    pub(in crate::config) to: Option<ByShape<NamedFile, Never, DestinationFile>>,
    /// The part of allows that are written, 0 to 1. Denials always are. Default: 1.
    pub(in crate::config) sample_allows: Option<Share>,
    /// What becomes of fields: `omit` leaves one out, `hash` puts a keyed digest in its place.
    #[serde(default)]
    pub(in crate::config) mask: Ordered<MaskFile>,
    /// A file that holds the key of the digests. White space around it does not count.
    pub(in crate::config) hash_key_file: Option<String>,
    /// An environment variable that holds the key of the digests.
    pub(in crate::config) hash_key_env: Option<String>,
    /// Room for lines that wait to be written; more are dropped. Default: `8MiB`; 64 KiB to 1 GiB.
    pub(in crate::config) buffer: Option<Size>,
}

/// A part of a whole.
#[derive(Clone, Copy, Debug, PartialEq, JsonSchema)]
pub(in crate::config) struct Share(#[schemars(range(min = 0, max = 1))] pub(in crate::config) f64);

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ShareVisitor;
        impl Visitor<'_> for ShareVisitor {
            type Value = Share;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number from 0 to 1, such as `0.1`")
            }

            fn visit_f64<E>(self, share: f64) -> Result<Share, E> {
                Ok(Share(share))
            }

            fn visit_u64<E: serde::de::Error>(self, share: u64) -> Result<Share, E> {
                // One that is not in the range is told with its place.
                Ok(Share(f64::from(u32::try_from(share).unwrap_or(u32::MAX))))
            }
        }
        deserializer.deserialize_any(ShareVisitor)
    }
}

/// A destination that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(in crate::config) enum NamedFile {
    /// Lines go to standard output.
    Stdout,
    /// Lines go, as log records, to the OpenTelemetry collector that the standard `OTEL_*` variables name.
    Otlp,
}

impl<'de> Deserialize<'de> for NamedFile {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "stdout" => Ok(Self::Stdout),
            "otlp" => Ok(Self::Otlp),
            other => Err(serde::de::Error::custom(format_args!(
                "expected `stdout`, `otlp` or a map with `file`, found `{}`; for a file write `{{ file: /var/log/tollgate/audit.jsonl }}`",
                crate::config::names::shown(other)
            ))),
        }
    }
}

/// A file that lines are appended to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct DestinationFile {
    /// Its path. The directory must be there. SIGUSR1 opens it anew.
    #[schemars(required)]
    pub(in crate::config) file: Option<String>,
    /// Permission bits of the file where it is made, octal, in quotes. Default: `"0640"`.
    pub(in crate::config) mode: Option<String>,
    /// Put the file aside when it has a size. Default: never.
    pub(in crate::config) rotate: Option<RotateFile>,
}

/// Rotation by size: `audit.jsonl` becomes `audit.jsonl.1`, that one `audit.jsonl.2`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RotateFile {
    /// Most bytes of a file: 4 KiB to 1 TiB.
    #[schemars(required)]
    pub(in crate::config) size: Option<Size>,
    /// How many older files are kept. Default: 5.
    #[schemars(range(min = 1, max = 1000))]
    pub(in crate::config) keep: Option<u32>,
}

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum MaskFile {
    /// It is left out.
    Omit,
    /// A keyed digest stands for it.
    Hash,
}
