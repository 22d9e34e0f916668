//! `tollgate schema`: the configuration's JSON Schema.

use std::io::Write;

use clap::Args;

use super::exit::{Exit, Failure};
use crate::config;

/// Print the JSON Schema of the configuration file
///
/// Made from the types that read the file, so it is never behind. Editors complete and check with it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  tollgate schema > tollgate.schema.json
  # then, as the first line of a configuration, for editors with a YAML language server:
  # yaml-language-server: $schema=./tollgate.schema.json

Exit codes:
  0  always")]
pub(super) struct SchemaArgs {}

pub(super) fn run(_: &SchemaArgs, out: &mut impl Write) -> Result<Exit, Failure> {
    writeln!(out, "{:#}", config::schema())?;
    Ok(Exit::Yes)
}
