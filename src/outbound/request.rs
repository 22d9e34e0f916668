//! What is asked of a token endpoint. Every word of it is the operator's, but the subject and the actor tokens: a caller
//! chooses neither audience nor scope (RFC 9700 §2.3).

use super::spec::{Grant, TokenSpec, TokenType};
use crate::provider::TOKEN_EXCHANGE;

/// The form of a token request. The client's authentication comes on top.
pub(super) struct Form<'f> {
    pairs: Vec<(&'static str, &'f str)>,
    scope: String,
}

impl<'f> Form<'f> {
    /// `subject` and `actor` are the tokens of an exchange.
    pub(super) fn new(spec: &'f TokenSpec, subject: Option<&'f str>, actor: Option<(&'f str, TokenType)>) -> Self {
        let mut pairs = Vec::new();
        match &spec.grant {
            Grant::ClientCredentials(_) => pairs.push(("grant_type", "client_credentials")),
            Grant::Exchange(exchange) => {
                pairs.push(("grant_type", TOKEN_EXCHANGE));
                pairs.push(("subject_token", subject.unwrap_or_default()));
                pairs.push(("subject_token_type", exchange.subject_token_type.urn()));
                if let Some(wanted) = exchange.requested_token_type {
                    pairs.push(("requested_token_type", wanted.urn()));
                }
                if let Some((token, kind)) = actor {
                    pairs.push(("actor_token", token));
                    pairs.push(("actor_token_type", kind.urn()));
                }
            }
        }
        pairs.extend(spec.audience.iter().map(|audience| ("audience", &**audience)));
        pairs.extend(spec.resources.iter().map(|resource| ("resource", &**resource)));
        Self { pairs, scope: spec.scopes.join(" ") }
    }

    /// Names and values, not yet encoded.
    pub(super) fn pairs(&self) -> Vec<(&str, &str)> {
        let mut pairs: Vec<(&str, &str)> = self.pairs.clone();
        // An empty `scope` is an error to some providers.
        if !self.scope.is_empty() {
            pairs.push(("scope", &self.scope));
        }
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{client_credentials, exchange};
    use super::*;

    #[test]
    fn an_exchange_asks_for_what_is_configured_and_nothing_else() {
        let mut spec = exchange();
        let form = Form::new(&spec, Some("the-subject"), None);
        let base = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", "the-subject"),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("audience", "payments"),
            ("scope", "payments.charge"),
        ];
        assert_eq!(form.pairs(), base);

        spec.audience.push("ledger".into());
        spec.scopes = vec!["a".into(), "b".into()];
        spec.resources = vec!["https://one.example".into(), "https://two.example/x".into()];
        let Grant::Exchange(grant) = &mut spec.grant else { panic!() };
        grant.requested_token_type = Some(TokenType::Jwt);
        let form = Form::new(&spec, Some("the-subject"), Some(("the-actor", TokenType::Jwt)));
        let jwt = "urn:ietf:params:oauth:token-type:jwt";
        assert_eq!(
            form.pairs()[3..],
            [
                ("requested_token_type", jwt),
                ("actor_token", "the-actor"),
                ("actor_token_type", jwt),
                ("audience", "payments"),
                ("audience", "ledger"),
                ("resource", "https://one.example"),
                ("resource", "https://two.example/x"),
                ("scope", "a b"),
            ]
        );
    }

    #[test]
    fn an_empty_scope_is_not_sent() {
        let mut spec = client_credentials();
        spec.scopes.clear();
        spec.audience.clear();
        assert_eq!(Form::new(&spec, None, None).pairs(), [("grant_type", "client_credentials")]);
    }
}
