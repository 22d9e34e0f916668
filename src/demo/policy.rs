//! The demo's copy of the shipped example policy.

use std::path::{Path, PathBuf};

use super::DemoError;

/// The files of a running demo.
#[derive(Clone, Debug)]
pub(super) struct Files {
    /// The policy, for the reader to edit.
    pub(super) policy: PathBuf,
    /// Where Envoy asks.
    pub(super) socket: PathBuf,
    /// Passport's public key.
    pub(super) public_key: PathBuf,
}

/// Writes `examples/demo/policy.yaml` into `directory`, with the issuer's URL and files of that directory in place of
/// those that are shipped. Port 0 for the probes is a free one.
pub(super) fn write(directory: &Path, issuer: &str, probes_port: u16) -> Result<Files, DemoError> {
    let files = Files {
        policy: directory.join("policy.yaml"),
        socket: directory.join("inbound.sock"),
        public_key: directory.join("oauth-public.key"),
    };
    let text = instantiate(include_str!("../../examples/demo/policy.yaml"), issuer, probes_port, &files)?;
    std::fs::write(&files.policy, text).map_err(|error| DemoError::File { path: files.policy.clone(), error })?;
    Ok(files)
}

fn instantiate(shipped: &str, issuer: &str, probes_port: u16, files: &Files) -> Result<String, DemoError> {
    let replacements = [
        ("http://127.0.0.1:9000/development-only", issuer.to_owned()),
        ("127.0.0.1:9100", format!("127.0.0.1:{probes_port}")),
        ("/run/tollgate/inbound.sock", files.socket.display().to_string()),
        ("/run/tollgate/oauth-public.key", files.public_key.display().to_string()),
    ];
    replacements.iter().try_fold(shipped.to_owned(), |text, (from, to)| {
        if text.matches(from).count() == 1 {
            Ok(text.replace(from, to))
        } else {
            Err(DemoError::Shipped((*from).to_owned()))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_keeps_nothing_of_the_shipped_places() {
        let directory = tempfile::tempdir().unwrap();
        let files = write(directory.path(), "http://127.0.0.1:4711/development-only", 0).unwrap();
        let text = std::fs::read_to_string(&files.policy).unwrap();
        assert!(text.contains("issuer: http://127.0.0.1:4711/development-only\n"));
        for shipped in ["/run/tollgate", ":9000", ":9100"] {
            assert!(!text.contains(shipped), "{shipped}");
        }
    }
}
