//! `tollgate schema`: the JSON Schema of the configuration, or of test cases.

use std::io::Write;

use clap::Args;

use super::exit::{Exit, Failure};
use crate::cases;
use crate::config;

/// Print the JSON Schema of the configuration file, or of files of test cases
///
/// Made from the types that read the file, so it is never behind. Editors complete and check with it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  tollgate schema > tollgate.schema.json
  tollgate schema --cases > cases.schema.json
  # then, as the first line of a configuration, for editors with a YAML language server:
  # yaml-language-server: $schema=./tollgate.schema.json

Exit codes:
  0  always")]
pub(super) struct SchemaArgs {
    /// That of a file of cases for `tollgate test`
    #[arg(long)]
    cases: bool,
}

pub(super) fn run(arguments: &SchemaArgs, out: &mut impl Write) -> Result<Exit, Failure> {
    let schema = if arguments.cases { cases::read::schema() } else { config::schema() };
    writeln!(out, "{schema:#}")?;
    Ok(Exit::Yes)
}
