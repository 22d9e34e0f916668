//! An issuer for development: its keys are made at its start, its clients are written below for everyone to read, and
//! whoever reaches it gets a token.
//!
//! It must not be mistaken for one to rely on. It listens on loopback alone, its issuer URL ends in
//! [`PATH`], every token says `"dev": true`, and nothing but `tollgate demo` (and tests) can start it: the
//! configuration has no word for it.

mod endpoints;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::DemoError;
use super::keys::SigningKey;
use crate::clock::{Clock, SystemClock};

/// The issuer URL's path.
pub const PATH: &str = "/development-only";

/// How long tokens live, in seconds.
pub const LIFETIME_SECONDS: i64 = 900;

/// A client of the issuer: a service of the demo's imaginary shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// `client_id`.
    pub id: &'static str,
    /// `client_secret`: no secret at all.
    pub secret: &'static str,
    /// `custom_claims.service_name`.
    pub service: &'static str,
    /// `oid`, the organisation it works for.
    pub tenant: &'static str,
    /// `aud`.
    pub audience: &'static str,
    /// What it may ask for, and gets where it asks for nothing.
    pub scopes: &'static [&'static str],
}

/// Every client there is.
pub const CLIENTS: [Client; 3] = [
    Client {
        id: "demo-orders",
        secret: "not-a-secret-orders",
        service: "order-service",
        tenant: "acme",
        audience: "shop",
        scopes: &["read:orders", "write:orders", "write:payments"],
    },
    Client {
        id: "demo-reports",
        secret: "not-a-secret-reports",
        service: "report-service",
        tenant: "globex",
        audience: "shop",
        scopes: &["read:orders"],
    },
    Client {
        id: "demo-billing",
        secret: "not-a-secret-billing",
        service: "billing-service",
        tenant: "acme",
        audience: "billing",
        scopes: &["read:orders", "write:orders"],
    },
];

impl Client {
    /// The client with this id.
    pub fn by_id(id: &str) -> Option<&'static Self> {
        CLIENTS.iter().find(|client| client.id == id)
    }
}

/// A running development issuer. It ends when it is dropped.
#[derive(Debug)]
pub struct DevIssuer {
    shared: Arc<Shared>,
    address: SocketAddr,
    task: AbortHandle,
}

/// What the endpoints answer from.
#[derive(Debug)]
struct Shared {
    issuer: String,
    rsa: SigningKey,
    ec: SigningKey,
}

impl DevIssuer {
    /// Starts on loopback, on `port` or a free one where that is 0.
    ///
    /// # Errors
    /// Where the port is taken, or no key can be made.
    pub async fn start(port: u16) -> Result<Self, DemoError> {
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let fail = |error| DemoError::Listen { what: "the development issuer", address: wanted, error };
        let listener = TcpListener::bind(wanted).await.map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        // The random part keeps the keys of two runs apart in whatever remembers keys by their id.
        let run = rand::random::<u32>();
        let shared = Arc::new(Shared {
            issuer: format!("http://{address}{PATH}"),
            rsa: SigningKey::rs256(Some(&format!("dev-rsa-{run:08x}")))?,
            ec: SigningKey::es256(Some(&format!("dev-ec-{run:08x}")))?,
        });
        let router = endpoints::router(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            // Ends with the process or with the drop of the handle.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { shared, address, task: task.abort_handle() })
    }

    /// The issuer URL: `iss` of its tokens.
    pub fn url(&self) -> &str {
        &self.shared.issuer
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The token endpoint.
    pub fn token_endpoint(&self) -> String {
        format!("{}/token", self.shared.issuer)
    }

    /// The key set as it is published.
    pub fn jwks(&self) -> Value {
        self.shared.jwks()
    }

    /// The claims of a token that `client` would get now with all of its scopes, to be changed and signed by
    /// [`DevIssuer::sign`].
    pub fn claims(&self, client: &Client) -> Value {
        self.shared.claims(client, client.scopes)
    }

    /// A token for `client` with all of its scopes.
    ///
    /// # Errors
    /// Where signing fails.
    pub fn token(&self, client: &Client) -> Result<String, DemoError> {
        self.sign(&self.claims(client))
    }

    /// An RS256 token with claims of the caller's choice.
    ///
    /// # Errors
    /// Where signing fails.
    pub fn sign(&self, claims: &Value) -> Result<String, DemoError> {
        self.shared.rsa.sign(claims)
    }

    /// An ES256 token with claims of the caller's choice.
    ///
    /// # Errors
    /// Where signing fails.
    pub fn sign_es256(&self, claims: &Value) -> Result<String, DemoError> {
        self.shared.ec.sign(claims)
    }
}

impl Drop for DevIssuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn jwks(&self) -> Value {
        json!({ "keys": [self.rsa.jwk(), self.ec.jwk()] })
    }

    fn claims(&self, client: &Client, scopes: &[&str]) -> Value {
        let now = SystemClock.now().as_unix_seconds();
        json!({
            "iss": self.issuer,
            "sub": client.id,
            "client_id": client.id,
            "aud": [client.audience],
            "oid": client.tenant,
            "scopes": scopes,
            "custom_claims": { "service_name": client.service, "environment": "development" },
            "iat": now,
            "nbf": now,
            "exp": now + LIFETIME_SECONDS,
            "jti": format!("{:032x}", rand::random::<u128>()),
            "dev": true,
        })
    }
}
