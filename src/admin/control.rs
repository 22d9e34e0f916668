//! `/status`, `/config` and `/reload`, for who has the token.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use super::render;
use crate::engine::Engine;
use crate::secret::Secret;

pub(super) fn router(engine: Arc<Engine>, token: Secret) -> Router {
    Router::new()
        .route(
            "/status",
            get(|State(engine): State<Arc<Engine>>| async move { Json(render::status(&engine.status())) }),
        )
        .route("/config", get(config))
        .route("/reload", post(reload))
        .with_state(engine)
        .layer(middleware::from_fn_with_state(Arc::new(token), guard))
}

async fn config(State(engine): State<Arc<Engine>>) -> Response {
    Json(render::config(&engine.snapshot())).into_response()
}

async fn reload(State(engine): State<Arc<Engine>>) -> Response {
    match engine.reload().await {
        Ok(_) => Json(render::status(&engine.status())).into_response(),
        Err(_) => (StatusCode::UNPROCESSABLE_ENTITY, Json(render::status(&engine.status()))).into_response(),
    }
}

/// Stands before every route and before what is no route.
async fn guard(State(token): State<Arc<Secret>>, request: Request, next: Next) -> Response {
    // A web page can make a browser on this machine send requests here, and can give loopback a name of its own
    // (DNS rebinding). Neither gets as far as the token.
    if request.headers().contains_key(ORIGIN) {
        return (StatusCode::FORBIDDEN, "requests from web pages are refused\n").into_response();
    }
    if !names_this_host(&request) {
        return (StatusCode::FORBIDDEN, "ask for `localhost` or a loopback address\n").into_response();
    }
    if !holds_token(request.headers(), &token) {
        let challenge = [(WWW_AUTHENTICATE, "Bearer realm=\"tollgate control\"")];
        return (StatusCode::UNAUTHORIZED, challenge, "the control token is required\n").into_response();
    }
    next.run(request).await
}

/// Whether every name that the request gives its server is loopback's, and there is exactly one `Host`.
fn names_this_host(request: &Request) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let host = Authority::try_from(host.as_bytes()).ok();
    host.as_ref().is_some_and(is_loopback) && request.uri().authority().is_none_or(is_loopback)
}

fn is_loopback(authority: &Authority) -> bool {
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let user = authority.as_str().contains('@');
    !user && (host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()))
}

/// Whether there is exactly one credential and it is the token, compared in constant time.
fn holds_token(headers: &HeaderMap, token: &Secret) -> bool {
    let mut credentials = headers.get_all(AUTHORIZATION).iter();
    let (Some(credential), None) = (credentials.next(), credentials.next()) else { return false };
    let Some((scheme, presented)) = credential.to_str().ok().and_then(|text| text.split_once(' ')) else {
        return false;
    };
    scheme.eq_ignore_ascii_case("bearer") && !presented.is_empty() && Secret::new(presented) == *token
}
