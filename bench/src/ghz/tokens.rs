//! Tokens of every kind that the mix has, from the development issuer.

use anyhow::Context as _;
use serde_json::{Value, json};
use tollgate::demo::issuer::{CLIENTS, Client, DevIssuer};

/// The issuer of a run, and what it signs.
pub(super) struct Tokens {
    issuer: DevIssuer,
    client: &'static Client,
}

impl Tokens {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let client = Client::by_id("demo-orders").unwrap_or(&CLIENTS[0]);
        Ok(Self { issuer: DevIssuer::start(0).await?, client })
    }

    pub(super) fn issuer(&self) -> &DevIssuer {
        &self.issuer
    }

    /// So many tokens that the gate allows, all different.
    pub(super) fn good(&self, count: usize) -> anyhow::Result<Vec<String>> {
        (0..count).map(|number| self.sign(|claims| set(claims, "sub", json!(format!("service-{number}"))))).collect()
    }

    /// A good token that expired ten minutes ago.
    pub(super) fn expired(&self) -> anyhow::Result<String> {
        self.sign(|claims| {
            for name in ["iat", "nbf", "exp"] {
                let earlier = claims.get(name).and_then(Value::as_i64).map(|time| time - 1500);
                set(claims, name, json!(earlier));
            }
        })
    }

    /// A good token without the scope that the policy asks for.
    pub(super) fn without_scope(&self) -> anyhow::Result<String> {
        self.sign(|claims| set(claims, "scopes", json!(["read:weather"])))
    }

    fn sign(&self, change: impl FnOnce(&mut Value)) -> anyhow::Result<String> {
        let mut claims = self.issuer.claims(self.client);
        change(&mut claims);
        self.issuer.sign(&claims).context("signing a token")
    }
}

fn set(claims: &mut Value, name: &str, value: Value) {
    if let Some(claims) = claims.as_object_mut() {
        claims.insert(name.to_owned(), value);
    }
}
