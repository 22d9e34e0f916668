//! The realm `shop`: its text, and what a person would do there by hand.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::Value;
use url::form_urlencoded;

use super::super::DemoError;
use super::super::client::{Call, Reply};

/// `examples/keycloak/realm.json`.
pub const REALM: &str = include_str!("../../../examples/keycloak/realm.json");

/// Below the realm's URL, where its endpoints are.
const ENDPOINTS: &str = "/realms/shop/protocol/openid-connect";

/// The realm on a running Keycloak, or on what stands in front of it.
#[derive(Clone, Copy, Debug)]
pub struct Realm {
    address: SocketAddr,
}

/// What a login gives.
#[derive(Clone)]
pub struct Login {
    /// For services.
    pub access_token: String,
    /// For the next login, and for logging out.
    pub refresh_token: String,
}

impl Realm {
    /// The realm at this address.
    pub fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// `iss` of the tokens that are had by way of this address.
    pub fn issuer(&self) -> String {
        format!("http://{}/realms/shop", self.address)
    }

    /// The URL of an endpoint: `token`, `logout`, `token/introspect`, `revoke`.
    pub fn endpoint(&self, name: &str) -> String {
        format!("http://{}{ENDPOINTS}/{name}", self.address)
    }

    /// Whether it is there.
    pub(super) async fn answers(&self) -> bool {
        let call = Call::get(&self.address.to_string(), "/realms/shop/.well-known/openid-configuration");
        call.send(self.address).await.is_ok_and(|reply| reply.status == 200)
    }

    /// Sends a form to an endpoint.
    ///
    /// # Errors
    /// Where there is no answer.
    pub async fn post(&self, endpoint: &str, form: &[(&str, &str)]) -> Result<Reply, DemoError> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let call =
            Call { body: body.into(), ..Call::get(&self.address.to_string(), &format!("{ENDPOINTS}/{endpoint}")) };
        let call = call.method(Method::POST).header("content-type", "application/x-www-form-urlencoded");
        Ok(call.send(self.address).await?)
    }

    /// Logs a user in: the password is what `examples/keycloak/realm.json` says.
    ///
    /// # Errors
    /// Where Keycloak refuses.
    pub async fn log_in(&self, client: &str, user: &str) -> Result<Login, DemoError> {
        let password = password(user);
        let form = [("grant_type", "password"), ("client_id", client), ("username", user), ("password", &*password)];
        let reply = self.post("token", &form).await?;
        let body = reply.json();
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        match (text("access_token"), text("refresh_token")) {
            (Some(access_token), Some(refresh_token)) => Ok(Login { access_token, refresh_token }),
            _ => Err(refused(&format!("a login as `{user}`"), &reply)),
        }
    }

    /// Logs a user out, and with that ends the session that the login began.
    ///
    /// # Errors
    /// Where Keycloak refuses.
    pub async fn log_out(&self, client: &str, login: &Login) -> Result<(), DemoError> {
        let form = [("client_id", client), ("refresh_token", &*login.refresh_token)];
        let reply = self.post("logout", &form).await?;
        if reply.status.is_success() { Ok(()) } else { Err(refused("the logout", &reply)) }
    }
}

/// A user's password in the realm, or a client's secret: none at all.
pub fn password(name: &str) -> String {
    format!("not-a-secret-{name}")
}

/// The claims of a JWT, unverified; null where it is none.
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).and_then(|payload| URL_SAFE_NO_PAD.decode(payload).ok());
    payload.and_then(|payload| serde_json::from_slice(&payload).ok()).unwrap_or_default()
}

fn refused(what: &str, reply: &Reply) -> DemoError {
    let why = format!("it refuses {what}: {}", reply.status);
    DemoError::Keycloak { why, log: reply.json().get("error_description").map(Value::to_string).unwrap_or_default() }
}
