//! How the gate shows a provider who it is. Everything is read anew for each call, so that what rotates is used at once.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::assertion::Assertion;
use super::spec::{ClientAuth, ClientSpec};
use crate::clock::Timestamp;
use crate::net::spec::Identity;
use crate::net::{Form, urlencoded};
use crate::secret::{Secret, SecretError, read_text};

/// RFC 7523 §2.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What goes with a call.
#[derive(Debug)]
pub(super) enum Proof {
    /// For `Authorization: Basic`.
    Basic(Secret),
    /// Fields of the form.
    Fields(Vec<(&'static str, Secret)>),
    /// For the TLS handshake; and fields of the form.
    Certificate(Identity, Vec<(&'static str, Secret)>),
}

impl Proof {
    /// Reads what the client needs; `audience` is whom an assertion is for where the configuration does not say. The
    /// error names the file or variable, and what to do.
    pub(super) async fn read(client: &ClientSpec, audience: &str, now: Timestamp) -> Result<Self, String> {
        let (client, audience) = (client.clone(), audience.to_owned());
        let read = tokio::task::spawn_blocking(move || Self::read_now(&client, &audience, now));
        // It fails where the process ends.
        read.await.unwrap_or_else(|_| Err("not read: the process ends".to_owned()))
    }

    fn read_now(client: &ClientSpec, audience: &str, now: Timestamp) -> Result<Self, String> {
        let id = || ("client_id", Secret::new(&*client.id));
        let explain = |error: SecretError| error.to_string();
        match &client.auth {
            ClientAuth::SecretBasic(source) => {
                let secret = source.read().map_err(explain)?;
                Ok(Self::Basic(basic(&client.id, &secret)))
            }
            ClientAuth::SecretPost(source) => {
                Ok(Self::Fields(vec![id(), ("client_secret", source.read().map_err(explain)?)]))
            }
            ClientAuth::PrivateKeyJwt { key, algorithm, key_id, audience: configured } => {
                let audience = configured.as_deref().unwrap_or(audience);
                let (algorithm, key_id) = (*algorithm, key_id.as_deref());
                let assertion = Assertion { client: &client.id, audience, key, algorithm, key_id }.sign(now)?;
                Ok(Self::Fields(vec![id(), assertion_type(), ("client_assertion", assertion)]))
            }
            ClientAuth::AssertionFile(file) => {
                let assertion = read_text(file).map_err(explain)?;
                Ok(Self::Fields(vec![id(), assertion_type(), ("client_assertion", assertion)]))
            }
            ClientAuth::Tls { certificate, key } => {
                let identity = Identity { certificate: certificate.clone(), key: key.clone() };
                Ok(Self::Certificate(identity, vec![id()]))
            }
        }
    }

    /// Takes it apart: for the header, for the handshake; its fields go into the form.
    pub(super) fn apply(self, form: &mut Form) -> (Option<Secret>, Option<Identity>) {
        let (fields, identity) = match self {
            Self::Basic(secret) => return (Some(secret), None),
            Self::Fields(fields) => (fields, None),
            Self::Certificate(identity, fields) => (fields, Some(identity)),
        };
        for (name, value) in fields {
            form.add(name, value.expose());
        }
        (None, identity)
    }
}

fn assertion_type() -> (&'static str, Secret) {
    ("client_assertion_type", Secret::new(ASSERTION_TYPE))
}

/// RFC 6749 §2.3.1: id and secret are encoded as in a form before they are joined, so that a colon stays what it is.
fn basic(id: &str, secret: &Secret) -> Secret {
    let (id, secret) = (urlencoded(id), urlencoded(secret.expose()));
    let mut pair = Zeroizing::new(String::with_capacity(id.len() + 1 + secret.len()));
    pair.push_str(&id);
    pair.push(':');
    pair.push_str(&secret);
    let encoded = Zeroizing::new(STANDARD.encode(&**pair));
    Secret::new(&**encoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_and_secret_are_encoded_before_they_are_joined() {
        let joined = |id, secret| {
            let encoded = basic(id, &Secret::new(secret));
            String::from_utf8(STANDARD.decode(encoded.expose()).unwrap()).unwrap()
        };
        assert_eq!(joined("service-b", "s3cret"), "service-b:s3cret");
        assert_eq!(joined("https://a:b", "c:d+e f%&ü"), "https%3A%2F%2Fa%3Ab:c%3Ad%2Be+f%25%26%C3%BC");
    }
}
