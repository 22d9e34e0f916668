//! The gate as an OAuth client.

use std::path::PathBuf;

use url::Url;

use super::{Files, Surroundings, io_reason};
use crate::config::file::provider::{ClientAuthFile, ClientFile};
use crate::config::names::{listed, shown};
use crate::config::place::At;
use crate::core::algorithm::Algorithm;
use crate::provider::spec::{ClientAuth, ClientSpec};
use crate::secret::SecretSource;

/// Longest secret or assertion that is read.
const MAX_SECRET: usize = 64 << 10;

/// Judges a `client`.
pub(in crate::config) fn build(at: &At<'_>, file: &ClientFile, around: Surroundings<'_>) -> Option<ClientSpec> {
    let id = at.required("id", file.id.as_ref(), "the `client_id` that the provider knows the gate by");
    if let Some(id) = id
        && !is_visible(id)
    {
        at.key("id").error("expected 1 to 2048 visible characters of ASCII (RFC 6749 §A.1)");
    }
    let auth = auth(at, file, around);
    Some(ClientSpec { id: id?.as_str().into(), auth: auth? })
}

/// Refuses a certificate for an endpoint without TLS, where it could not be shown.
pub(in crate::config) fn expect_tls(at: &At<'_>, client: &ClientSpec, endpoint: Option<&Url>) {
    if matches!(client.auth, ClientAuth::Tls { .. }) && endpoint.is_some_and(|url| url.scheme() != "https") {
        at.key("auth").error("a certificate is shown over TLS alone: give the endpoint an `https:` URL");
    }
}

/// RFC 6749 §A.1: VSCHAR.
fn is_visible(text: &str) -> bool {
    (1..=2048).contains(&text.len()) && text.bytes().all(|b| (b' '..=b'~').contains(&b))
}

fn auth(at: &At<'_>, file: &ClientFile, around: Surroundings<'_>) -> Option<ClientAuth> {
    let there = [
        ("secret_file", file.secret_file.is_some()),
        ("secret_env", file.secret_env.is_some()),
        ("key_file", file.key_file.is_some()),
        ("algorithm", file.algorithm.is_some()),
        ("key_id", file.key_id.is_some()),
        ("audience", file.audience.is_some()),
        ("assertion_file", file.assertion_file.is_some()),
        ("certificate_file", file.certificate_file.is_some()),
    ];
    let method = match file.auth {
        Some(method) => method,
        None if file.certificate_file.is_some() => {
            at.missing("`auth` is missing: write `auth: tls_client_auth` to authenticate by a certificate");
            return None;
        }
        None if file.assertion_file.is_some() || file.key_file.is_some() => {
            at.missing("`auth` is missing: write `auth: private_key_jwt` to authenticate by an assertion");
            return None;
        }
        None => ClientAuthFile::ClientSecretBasic,
    };
    let (name, of_use): (&str, &[&str]) = match method {
        ClientAuthFile::ClientSecretBasic => ("client_secret_basic", &["secret_file", "secret_env"]),
        ClientAuthFile::ClientSecretPost => ("client_secret_post", &["secret_file", "secret_env"]),
        ClientAuthFile::PrivateKeyJwt if file.assertion_file.is_some() && file.key_file.is_none() => {
            ("private_key_jwt` by `assertion_file", &["assertion_file"])
        }
        ClientAuthFile::PrivateKeyJwt => {
            ("private_key_jwt", &["key_file", "algorithm", "key_id", "audience", "assertion_file"])
        }
        ClientAuthFile::TlsClientAuth => ("tls_client_auth", &["certificate_file", "key_file"]),
    };
    let mut sound = true;
    for (key, _) in there.iter().filter(|(key, there)| *there && !of_use.contains(key)) {
        at.key(key).error(format!("is of no use with `{name}`, which goes by {}", listed(of_use.iter().copied())));
        sound = false;
    }
    let made = match method {
        ClientAuthFile::ClientSecretBasic => secret(at, file, around).map(ClientAuth::SecretBasic),
        ClientAuthFile::ClientSecretPost => secret(at, file, around).map(ClientAuth::SecretPost),
        ClientAuthFile::PrivateKeyJwt => assertion(at, file, around),
        ClientAuthFile::TlsClientAuth => {
            let file_at = |key: &'static str, value: Option<&String>, what| {
                at.required(key, value, what).and_then(|name| around.file(&at.key(key), name))
            };
            let certificate =
                file_at("certificate_file", file.certificate_file.as_ref(), "the PEM file of the certificate chain");
            let key = file_at("key_file", file.key_file.as_ref(), "the PEM file of the certificate's private key");
            certificate.zip(key).map(|(certificate, key)| ClientAuth::Tls { certificate, key })
        }
    };
    made.filter(|_| sound)
}

fn secret(at: &At<'_>, file: &ClientFile, around: Surroundings<'_>) -> Option<SecretSource> {
    match (&file.secret_file, &file.secret_env) {
        (Some(name), None) => filled_file(&at.key("secret_file"), name, around).map(SecretSource::File),
        (None, Some(name)) => variable(&at.key("secret_env"), name, around).map(SecretSource::Env),
        (Some(_), Some(_)) => {
            at.error("`secret_file` and `secret_env` are both there; keep one");
            None
        }
        (None, None) => {
            at.missing("`secret_file` or `secret_env` is missing: the client's secret is never in the file itself; `auth` names the ways to do without one");
            None
        }
    }
}

fn assertion(at: &At<'_>, file: &ClientFile, around: Surroundings<'_>) -> Option<ClientAuth> {
    let text = |key: &'static str, value: &Option<String>| {
        if let Some(text) = value
            && !is_visible(text)
        {
            at.key(key).error("expected 1 to 2048 visible characters of ASCII");
        }
        value.as_deref().map(Box::from)
    };
    match (&file.key_file, &file.assertion_file) {
        (Some(name), None) => Some(ClientAuth::PrivateKeyJwt {
            key: filled_file(&at.key("key_file"), name, around)?,
            algorithm: file.algorithm.unwrap_or(Algorithm::RS256),
            key_id: text("key_id", &file.key_id),
            audience: text("audience", &file.audience),
        }),
        (None, Some(name)) => filled_file(&at.key("assertion_file"), name, around).map(ClientAuth::AssertionFile),
        (Some(_), Some(_)) => {
            at.error("`key_file` and `assertion_file` are both there: an assertion is signed here or by somebody else; keep one");
            None
        }
        (None, None) => {
            at.missing("`key_file` or `assertion_file` is missing: `private_key_jwt` needs a key to sign with, or an assertion that somebody else signs");
            None
        }
    }
}

/// A file that holds something. What it holds is read by whoever uses it.
pub(super) fn filled_file(at: &At<'_>, name: &str, around: Surroundings<'_>) -> Option<PathBuf> {
    use std::io::Read as _;
    let path = around.file(at, name)?;
    let mut content = zeroize::Zeroizing::new(Vec::new());
    let limit = u64::try_from(MAX_SECRET + 1).unwrap_or(u64::MAX);
    let read = std::fs::File::open(&path).and_then(|file| file.take(limit).read_to_end(&mut content));
    let shown_path = || shown(&path.to_string_lossy());
    let problem = match read {
        Err(_) if around.files == Files::Elsewhere => return Some(path),
        Err(error) => format!("the file `{}` cannot be read: {}", shown_path(), io_reason(&error)),
        Ok(_) if content.iter().all(u8::is_ascii_whitespace) => format!("the file `{}` is empty", shown_path()),
        Ok(_) if content.len() > MAX_SECRET => format!("the file `{}` is longer than 64 KiB", shown_path()),
        Ok(_) => return Some(path),
    };
    at.error(problem);
    None
}

fn variable(at: &At<'_>, name: &str, around: Surroundings<'_>) -> Option<Box<str>> {
    // What does not look like a name may be the secret itself, and is not shown.
    let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    let named = if name.bytes().all(plain) { format!(" `{}`", shown(name)) } else { String::new() };
    if name.is_empty() || name.contains(['=', '\0']) {
        at.error("expected the name of an environment variable");
        return None;
    }
    match std::env::var(name).map(zeroize::Zeroizing::new) {
        Ok(text) if text.trim().is_empty() => {
            at.error(format!("the environment variable{named} is empty"));
            None
        }
        Ok(_) => Some(name.into()),
        Err(_) if around.files == Files::Elsewhere => Some(name.into()),
        Err(_) => {
            at.error(format!("the environment variable{named} is not set, or not text"));
            None
        }
    }
}
