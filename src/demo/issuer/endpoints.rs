//! The development issuer's HTTP: discovery, keys, tokens.

use std::sync::Arc;

use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::{Client, LIFETIME_SECONDS, PATH, Shared};

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route(PATH, get(banner))
        .route(&format!("{PATH}/.well-known/openid-configuration"), get(discovery))
        .route(&format!("{PATH}/jwks"), get(jwks))
        .route(&format!("{PATH}/token"), post(token))
        .with_state(shared)
}

async fn banner() -> &'static str {
    "Tollgate's development issuer. Its clients and their secrets are public: never trust its tokens outside of a demo.\n"
}

async fn discovery(State(shared): State<Arc<Shared>>) -> Response {
    let issuer = &shared.issuer;
    Json(json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/jwks"),
        "token_endpoint": format!("{issuer}/token"),
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "response_types_supported": ["none"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        "service_documentation": "for development only",
    }))
    .into_response()
}

async fn jwks(State(shared): State<Arc<Shared>>) -> Response {
    ([(header::CACHE_CONTROL, "max-age=300")], Json(shared.jwks())).into_response()
}

#[derive(Deserialize)]
struct TokenRequest {
    #[serde(default)]
    grant_type: String,
    client_id: Option<String>,
    client_secret: Option<String>,
    scope: Option<String>,
}

/// RFC 6749 §4.4.
async fn token(State(shared): State<Arc<Shared>>, headers: HeaderMap, Form(request): Form<TokenRequest>) -> Response {
    let Some(client) = authenticate(&headers, &request) else {
        let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"development only\"")];
        return (StatusCode::UNAUTHORIZED, challenge, Json(json!({ "error": "invalid_client" }))).into_response();
    };
    if request.grant_type != "client_credentials" {
        return refused("unsupported_grant_type", "only `client_credentials` is supported");
    }
    let wanted: Vec<&str> = request.scope.as_deref().unwrap_or("").split(' ').filter(|s| !s.is_empty()).collect();
    let scopes = if wanted.is_empty() { client.scopes.to_vec() } else { wanted };
    if !scopes.iter().all(|scope| client.scopes.contains(scope)) {
        return refused("invalid_scope", "this client may not ask for that scope");
    }
    match shared.rsa.sign(&shared.claims(client, &scopes)) {
        Ok(token) => (
            [(header::CACHE_CONTROL, "no-store")],
            Json(json!({
                "access_token": token,
                "token_type": "Bearer",
                "expires_in": LIFETIME_SECONDS,
                "scope": scopes.join(" "),
            })),
        )
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn refused(error: &str, description: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": error, "error_description": description }))).into_response()
}

/// By HTTP Basic or by the form, not by both (RFC 6749 §2.3). The client's secret is no secret: nothing is lost by a
/// comparison that takes measurable time.
fn authenticate(headers: &HeaderMap, request: &TokenRequest) -> Option<&'static Client> {
    let basic = headers.get(header::AUTHORIZATION).map(|value| {
        let packed = value.to_str().ok()?.strip_prefix("Basic ")?;
        let plain = String::from_utf8(STANDARD.decode(packed).ok()?).ok()?;
        plain.split_once(':').map(|(id, secret)| (id.to_owned(), secret.to_owned()))
    });
    let (id, secret) = match (basic, &request.client_secret) {
        (Some(pair), None) => pair?,
        (None, Some(secret)) => (request.client_id.clone()?, secret.clone()),
        (Some(_), Some(_)) | (None, None) => return None,
    };
    Client::by_id(&id).filter(|client| client.secret == secret)
}
