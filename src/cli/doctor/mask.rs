//! Keeps tokens and secrets out of what is shown, should a provider repeat them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::net::urlencoded;
use crate::provider::Refusal;
use crate::provider::spec::{ClientAuth, ClientSpec};
use crate::secret::{Secret, read_text};

/// Longest text of a provider's that is shown, in characters.
const MAX_SHOWN: usize = 240;
/// What looks like a JWT and is longer than this is taken for one.
const MIN_JWT: usize = 24;

/// What must not be shown.
#[derive(Debug, Default)]
pub(super) struct Mask(Vec<(Secret, &'static str)>);

impl Mask {
    /// Hides a token that was given.
    pub(super) fn token(&mut self, token: &str) {
        self.0.push((Secret::new(token), "(the token)"));
    }

    /// Hides what a client authenticates with, where that can be repeated by who has seen it.
    pub(super) fn client(&mut self, client: &ClientSpec) {
        let secret = match &client.auth {
            ClientAuth::SecretBasic(source) | ClientAuth::SecretPost(source) => source.read(),
            ClientAuth::AssertionFile(path) => read_text(path),
            ClientAuth::PrivateKeyJwt { .. } | ClientAuth::Tls { .. } => return,
        };
        // One that cannot be read is not sent either.
        let Ok(secret) = secret else { return };
        let encoded = urlencoded(secret.expose());
        let pair = Zeroizing::new(format!("{}:{}", &*urlencoded(&client.id), &*encoded));
        let basic = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
        for form in [basic.as_str(), secret.expose(), encoded.as_ref()] {
            self.0.push((Secret::new(form), "(the secret)"));
        }
    }

    /// A text of others: without what is to be hidden, and cut short.
    pub(super) fn text(&self, text: &str) -> String {
        let mut shown = self.hide(text);
        if let Some((end, _)) = shown.char_indices().nth(MAX_SHOWN) {
            shown.truncate(end);
            shown.push('…');
        }
        shown
    }

    /// Claims of others, names and values, however deep.
    pub(super) fn claims(&self, claims: &Map<String, Value>) -> Map<String, Value> {
        claims.iter().map(|(name, value)| (self.hide(name), self.value(value))).collect()
    }

    fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.hide(text)),
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::Object(members) => Value::Object(self.claims(members)),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    /// What an endpoint said, in words.
    pub(super) fn refusal(&self, refusal: &Refusal) -> String {
        let mut words = format!("status {}", refusal.status);
        match (&refusal.error, &refusal.content_type) {
            (Some(error), _) => {
                words.push_str(&format!(", `{}`", self.text(error)));
                if let Some(description) = &refusal.description {
                    words.push_str(&format!(": \"{}\"", self.text(description)));
                }
            }
            (None, Some(kind)) => words.push_str(&format!(", no error code, content type `{}`", self.text(kind))),
            (None, None) => words.push_str(", no error code"),
        }
        words
    }

    fn hide(&self, text: &str) -> String {
        let mut shown = text.to_owned();
        for (secret, instead) in &self.0 {
            if !secret.expose().is_empty() {
                shown = shown.replace(secret.expose(), instead);
            }
        }
        without_jwts(&shown)
    }
}

/// Tokens that nobody told of: every JWT's first part begins with `eyJ`.
fn without_jwts(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("eyJ") {
        let (before, from) = rest.split_at(at);
        let end = from.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.=".contains(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        shown.push_str(before);
        shown.push_str(if word.len() >= MIN_JWT { "(a token)" } else { word });
        rest = after;
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::secret::SecretSource;

    #[test]
    fn secrets_and_tokens_are_hidden_wherever_they_stand() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "hunter 2\n").unwrap();
        let auth = ClientAuth::SecretBasic(SecretSource::File(file));
        let mut mask = Mask::default();
        mask.client(&ClientSpec { id: "gate".into(), auth });
        mask.token("opaque-token");
        let basic = STANDARD.encode("gate:hunter+2");
        let text = format!("[hunter 2] [hunter+2] [{basic}] opaque-token");
        assert_eq!(mask.text(&text), "[(the secret)] [(the secret)] [(the secret)] (the token)");
        let jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl";
        assert_eq!(mask.text(&format!("no {jwt}, eyJ")), "no (a token), eyJ");
        let claims = json!({ "sub": jwt, "opaque-token": [{ "x": "hunter 2" }, 7] });
        let shown = Value::Object(mask.claims(claims.as_object().unwrap()));
        assert_eq!(shown, json!({ "sub": "(a token)", "(the token)": [{ "x": "(the secret)" }, 7] }));
        assert_eq!(mask.text(&"é".repeat(500)).chars().count(), MAX_SHOWN + 1);
        assert!(!format!("{mask:?}").contains("hunter"));
    }
}
