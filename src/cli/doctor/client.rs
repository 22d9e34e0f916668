//! What the gate authenticates with as a provider's client: files, variables, certificates.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::finding::Finding;
use super::tls;
use crate::clock::Timestamp;
use crate::provider::spec::{ClientAuth, ClientSpec};
use crate::secret::{MAX_SECRET_BYTES, SecretSource, read_bytes, read_text};

/// Reads everything that a client authenticates with.
pub(super) fn examine(client: &ClientSpec, now: Timestamp) -> Vec<Finding> {
    let id = &client.id;
    match &client.auth {
        ClientAuth::SecretBasic(source) => secret(&format!("client `{id}` by client_secret_basic"), source),
        ClientAuth::SecretPost(source) => secret(&format!("client `{id}` by client_secret_post"), source),
        ClientAuth::PrivateKeyJwt { key, algorithm, .. } => {
            let read = read_bytes(key, MAX_SECRET_BYTES).map(drop).map_err(|error| error.to_string());
            let what = format!("client `{id}` by private_key_jwt ({algorithm:?}), key");
            file(&what, key, read)
        }
        ClientAuth::AssertionFile(path) => {
            let read = read_text(path).map(drop).map_err(|error| error.to_string());
            file(&format!("client `{id}` by private_key_jwt, assertion"), path, read)
        }
        ClientAuth::Tls { certificate, key } => {
            let mut findings = Vec::new();
            let what = format!("client `{id}` by tls_client_auth, certificate");
            let chain = tls::certificates(certificate, &what, now, &mut findings);
            if let Some(key) = tls::key(key, &mut findings)
                && !chain.is_empty()
            {
                findings.extend(tls::pair(chain, &key));
            }
            findings
        }
    }
}

/// Whether a file with something secret in it is there, and nobody else's to read.
pub(super) fn file(what: &str, path: &Path, read: Result<(), String>) -> Vec<Finding> {
    if let Err(error) = read {
        return vec![Finding::fault(format!("{what}: {error}"), "mend that; it is read again for each call")];
    }
    let shown = path.display();
    let mode = fs::metadata(path).map_or(0, |found| found.permissions().mode());
    let mut findings = vec![Finding::fine(format!("{what} in `{shown}`"))];
    if mode & 0o004 != 0 {
        findings.push(Finding::warning(
            format!("`{shown}` can be read by every user (mode {:03o})", mode & 0o777),
            "chmod 640, and the gate's group (Kubernetes: `defaultMode: 0440` and `fsGroup`)",
        ));
    }
    findings
}

fn secret(what: &str, source: &SecretSource) -> Vec<Finding> {
    let read = source.read().map(drop).map_err(|error| error.to_string());
    match source {
        SecretSource::File(path) => file(&format!("{what}, secret"), path, read),
        SecretSource::Env(name) => vec![match read {
            Ok(()) => Finding::fine(format!("{what}, secret in the variable `{name}`")),
            Err(error) => Finding::fault(format!("{what}: {error}"), "set it where the gate is started"),
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Mark;
    use super::*;

    fn marks(auth: ClientAuth) -> Vec<Mark> {
        let findings = examine(&ClientSpec { id: "gate".into(), auth }, Timestamp::from_unix_seconds(1_777_636_800));
        for finding in &findings {
            assert!(!format!("{finding:?}").contains("hunter2"), "{finding:?}");
        }
        findings.iter().map(|finding| finding.mark).collect()
    }

    #[test]
    fn secrets_must_be_there_filled_and_our_own() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str, mode: u32| {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let basic = |path| ClientAuth::SecretBasic(SecretSource::File(path));
        assert_eq!(marks(basic(write("good", "hunter2", 0o640))), [Mark::Fine]);
        assert_eq!(marks(basic(write("open", "hunter2", 0o644))), [Mark::Fine, Mark::Warning]);
        assert_eq!(marks(basic(write("empty", " \n", 0o640))), [Mark::Fault]);
        assert_eq!(marks(basic(folder.path().join("nowhere"))), [Mark::Fault]);
        assert_eq!(marks(ClientAuth::AssertionFile(write("sa", "hunter2", 0o604))), [Mark::Fine, Mark::Warning]);
        let unset = SecretSource::Env("TOLLGATE_TEST_NO_SUCH_VARIABLE".into());
        assert_eq!(marks(ClientAuth::SecretPost(unset)), [Mark::Fault]);

        let made = rcgen::generate_simple_self_signed(["gate".to_owned()]).unwrap();
        let certificate = write("tls.crt", &made.cert.pem(), 0o644);
        let key = write("tls.key", &made.signing_key.serialize_pem(), 0o640);
        let by_certificate = |key| ClientAuth::Tls { certificate: certificate.clone(), key };
        assert_eq!(marks(by_certificate(key)), [Mark::Fine]);
        assert_eq!(marks(by_certificate(folder.path().join("nowhere"))), [Mark::Fine, Mark::Fault]);
        let other = rcgen::generate_simple_self_signed(["other".to_owned()]).unwrap();
        let other = write("other.key", &other.signing_key.serialize_pem(), 0o644);
        assert_eq!(marks(by_certificate(other)), [Mark::Fine, Mark::Warning, Mark::Fault]);
    }
}
