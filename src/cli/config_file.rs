//! Which configuration file a command reads.

use std::path::PathBuf;

use clap::Args;

const VARIABLE: &str = "TOLLGATE_CONFIG";
const DEFAULT: &str = "/etc/tollgate/policy.yaml";

/// Which configuration file to read.
#[derive(Debug, Args)]
pub(super) struct ConfigFile {
    /// The configuration [env: TOLLGATE_CONFIG] [default: /etc/tollgate/policy.yaml]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    /// The file's path.
    pub(super) fn path(&self) -> PathBuf {
        let from_environment = || std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
        self.config.clone().or_else(from_environment).unwrap_or_else(|| PathBuf::from(DEFAULT))
    }
}
