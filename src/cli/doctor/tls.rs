//! TLS files: a listener's, and how they are judged.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::finding::Finding;
use crate::clock::Timestamp;
use crate::config::server::TlsSpec;

/// A certificate that ends sooner is worth a word.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// Reads a listener's certificate, key and client authorities.
pub(super) fn examine(spec: &TlsSpec, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    let chain = certificates(&spec.certificate, "certificate", now, &mut findings);
    if let Some(key) = key(&spec.key, &mut findings)
        && !chain.is_empty()
    {
        findings.extend(pair(chain, &key));
    }
    match &spec.client_ca {
        Some(path) => drop(certificates(path, "client authority", now, &mut findings)),
        None => findings.push(Finding::warning(
            "any client is served: `client_ca` is not set",
            "set `client_ca` and `allowed_peers`, or rules that trust caller identity do not load for this listener",
        )),
    }
    if spec.client_ca.is_some() && spec.allowed_peers.is_empty() {
        findings.push(Finding::warning(
            "any client with a certificate of `client_ca` is served: `allowed_peers` is empty",
            "list the SANs of your Envoys in `allowed_peers`",
        ));
    }
    findings
}

pub(super) fn certificates(
    path: &Path,
    what: &str,
    now: Timestamp,
    findings: &mut Vec<Finding>,
) -> Vec<CertificateDer<'static>> {
    let shown = path.display();
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(chain) if chain.is_empty() => {
            findings.push(Finding::fault(format!("{what} `{shown}`: no certificate in it"), "it must hold PEM"));
            Vec::new()
        }
        Ok(chain) => {
            findings.extend(chain.iter().map(|certificate| validity(certificate, what, path, now)));
            chain
        }
        Err(error) => {
            findings.push(Finding::fault(format!("{what} `{shown}`: {error}"), "check path, permissions and content"));
            Vec::new()
        }
    }
}

fn validity(certificate: &CertificateDer<'_>, what: &str, path: &Path, now: Timestamp) -> Finding {
    let shown = path.display();
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return Finding::fault(format!("{what} `{shown}`: not an X.509 certificate"), "replace it");
    };
    let subject = parsed.subject().to_string();
    let validity = parsed.validity();
    let at = |time: x509_parser::time::ASN1Time| Timestamp::from_unix_seconds(time.timestamp());
    let text = |when: String| format!("{what} `{shown}` ({subject}) {when}");
    if at(validity.not_before) > now {
        return Finding::fault(
            text(format!("is not valid before {}", validity.not_before)),
            "compare the clocks, or wait; peers refuse it until then",
        );
    }
    let left = at(validity.not_after).since(now);
    if left.is_zero() {
        let ended = text(format!("ended at {}", validity.not_after));
        return Finding::fault(ended, "replace the file; it is read again without a restart");
    }
    let ends = text(format!("ends at {}, in {} days", validity.not_after, left.as_secs() / (24 * 3600)));
    if left < SOON { Finding::warning(ends, "have it renewed") } else { Finding::fine(ends) }
}

pub(super) fn key(path: &Path, findings: &mut Vec<Finding>) -> Option<PrivateKeyDer<'static>> {
    let shown = path.display();
    let key = match PrivateKeyDer::from_pem_file(path) {
        Ok(key) => key,
        Err(error) => {
            let remedy = "check path, permissions and content; it must be an unencrypted private key in PEM";
            findings.push(Finding::fault(format!("key `{shown}`: {error}"), remedy));
            return None;
        }
    };
    let mode = fs::metadata(path).map_or(0, |found| found.permissions().mode());
    if mode & 0o004 != 0 {
        findings.push(Finding::warning(
            format!("key `{shown}` can be read by every user (mode {:03o})", mode & 0o777),
            "chmod 640, and the gate's group",
        ));
    }
    Some(key)
}

pub(super) fn pair(chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'static>) -> Option<Finding> {
    let signing = match any_supported_type(key) {
        Ok(signing) => signing,
        Err(error) => return Some(Finding::fault(format!("key: {error}"), "use an RSA, ECDSA or Ed25519 key")),
    };
    match CertifiedKey::new(chain, signing).keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => Some(Finding::fault(
            "the key is not that of the first certificate",
            "put the leaf first in the certificate file, and its key in the key file",
        )),
        Ok(()) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Mark;
    use super::*;

    fn marks(findings: &[Finding]) -> Vec<Mark> {
        findings.iter().map(|finding| finding.mark).collect()
    }

    #[test]
    fn files_are_judged_by_content_and_time() {
        let folder = tempfile::tempdir().unwrap();
        let pair = |name: &str| {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            let (certificate, key) =
                (folder.path().join(format!("{name}.crt")), folder.path().join(format!("{name}.key")));
            fs::write(&certificate, made.cert.pem()).unwrap();
            fs::write(&key, made.signing_key.serialize_pem()).unwrap();
            fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
            (certificate, key)
        };
        let (certificate, key) = pair("one");
        let (_, other_key) = pair("other");
        let spec = |key: &Path| TlsSpec {
            certificate: certificate.clone(),
            key: key.to_owned(),
            client_ca: Some(certificate.clone()),
            allowed_peers: vec!["localhost".into()],
        };
        let at = Timestamp::from_unix_seconds;
        let now = at(1_777_636_800);
        assert_eq!(marks(&examine(&spec(&key), now)), [Mark::Fine, Mark::Fine]);
        assert_eq!(marks(&examine(&spec(&other_key), now)), [Mark::Fine, Mark::Fault, Mark::Fine], "another key");
        assert_eq!(marks(&examine(&spec(&key), at(0))), [Mark::Fault, Mark::Fault], "before it is valid");
        // rcgen's certificates end with the year 4095.
        let end = 70_000_000_000;
        assert_eq!(marks(&examine(&spec(&key), at(end))), [Mark::Fault, Mark::Fault], "after its end");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(marks(&examine(&spec(&key), now)), [Mark::Fine, Mark::Warning, Mark::Fine], "everybody's key");
        assert_eq!(marks(&examine(&spec(&folder.path().join("no")), now)), [Mark::Fine, Mark::Fault, Mark::Fine]);
        assert_eq!(marks(&examine(&spec(&certificate), now)), [Mark::Fine, Mark::Fault, Mark::Fine], "no key in it");
        let open = TlsSpec { client_ca: None, ..spec(&other_key) };
        assert!(marks(&examine(&open, now)).contains(&Mark::Warning));
    }
}
