//! Specs for the tests of this module.

use std::sync::Arc;
use std::time::Duration;

use super::spec::{ClientCredentialsSpec, ExchangeCacheSpec, ExchangeSpec, Grant, ProviderRef, TokenSpec, TokenType};
use crate::core::rule::IssuerIndex;
use crate::provider::spec::{ClientAuth, ClientSpec};
use crate::secret::SecretSource;

/// For `payments`, with the scope `payments.charge`.
pub(super) fn exchange() -> TokenSpec {
    let cache =
        ExchangeCacheSpec { max_age: Duration::from_secs(300), margin: Duration::from_secs(10), max_bytes: 1 << 20 };
    spec(Grant::Exchange(ExchangeSpec {
        subject_token_type: TokenType::AccessToken,
        requested_token_type: None,
        actor: None,
        cache,
    }))
}

/// The same, as the client's own.
pub(super) fn client_credentials() -> TokenSpec {
    spec(Grant::ClientCredentials(ClientCredentialsSpec { refresh_ahead: Duration::from_secs(60) }))
}

fn spec(grant: Grant) -> TokenSpec {
    TokenSpec {
        name: Arc::from("next-hop"),
        provider: ProviderRef::Issuer(IssuerIndex(0)),
        client: ClientSpec {
            id: "orders".into(),
            auth: ClientAuth::SecretBasic(SecretSource::File("/secrets/orders".into())),
        },
        grant,
        audience: vec!["payments".into()],
        scopes: vec!["payments.charge".into()],
        resources: Vec::new(),
        max_token_bytes: 8192,
        also_granted: vec!["profile".into()],
        expect_audience: Some(vec!["payments".into()]),
    }
}
