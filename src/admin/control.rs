//! `/status`, `/config`, `/reload` and `/log-level`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::guard::guard;
use super::window::Window;
use super::{page, render};
use crate::engine::Engine;
use crate::secret::Secret;
use crate::telemetry::{LogLevel, Recorder};

/// Longest time for which a level may be changed and then come back.
const LONGEST_CHANGE: Duration = Duration::from_secs(24 * 3600);

/// What is shown and changed.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) engine: Arc<Engine>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) window: Arc<Window>,
    pub(super) level: LogLevel,
}

impl Shown {
    /// A message about the configuration may quote what is in it: it is for who showed the token. Others see where.
    fn status(&self, may_see: bool) -> Value {
        let now = self.engine.status();
        let mut status = render::status(&now);
        if !may_see
            && let Some(error) = now.last_reload.and_then(|reload| reload.error)
            && let Some(last) = status.get_mut("last_reload").and_then(Value::as_object_mut)
        {
            last.insert("errors".to_owned(), json!(error.places()));
        }
        if let Some(members) = status.as_object_mut() {
            members.insert("reasons".to_owned(), render::reasons(&self.window.reasons(Instant::now())));
            members.insert("slowest_providers".to_owned(), render::latencies(&self.recorder.latencies()));
            members.insert("log_level".to_owned(), render::level(&self.level.status()));
        }
        status
    }
}

pub(super) fn router(shown: Shown, token: Secret) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/config", get(config))
        .route("/reload", post(reload))
        .route("/log-level", get(level).put(set_level))
        .with_state(shown)
        .layer(middleware::from_fn_with_state(Arc::new(token), guard))
}

async fn status(State(shown): State<Shown>, headers: HeaderMap) -> Response {
    let vary = (VARY, "accept, authorization");
    // A wrong one does not come here.
    let status = shown.status(headers.contains_key(AUTHORIZATION));
    if !wants_page(&headers) {
        return ([vary], Json(status)).into_response();
    }
    let security = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, page::security_policy()),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        vary,
    ];
    (security, page::page(&status)).into_response()
}

/// Whether this is a browser: it names HTML, and no JSON before it.
fn wants_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepted.flat_map(|value| value.split(',')).map(|item| item.split(';').next().unwrap_or("").trim());
    kinds.find(|kind| ["text/html", "application/json"].contains(kind)) == Some("text/html")
}

async fn config(State(shown): State<Shown>) -> Response {
    Json(render::config(&shown.engine.snapshot())).into_response()
}

async fn reload(State(shown): State<Shown>) -> Response {
    match shown.engine.reload().await {
        Ok(_) => Json(shown.status(true)).into_response(),
        Err(_) => (StatusCode::UNPROCESSABLE_ENTITY, Json(shown.status(true))).into_response(),
    }
}

async fn level(State(shown): State<Shown>) -> Response {
    Json(render::level(&shown.level.status())).into_response()
}

/// What is asked of `PUT /log-level`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    filter: String,
    r#for: Option<String>,
}

async fn set_level(State(shown): State<Shown>, change: Result<Query<Change>, QueryRejection>) -> Response {
    let refused = |why: String| (StatusCode::BAD_REQUEST, Json(json!({ "error": why }))).into_response();
    let Ok(Query(change)) = change else {
        return refused("write `?filter=FILTER`, and `&for=10m` where it is to end by itself".to_owned());
    };
    let time = match change.r#for.as_deref().map(humantime::parse_duration) {
        Some(Err(error)) => return refused(format!("`for` is not a time such as `10m`: {error}")),
        Some(Ok(time)) if time.is_zero() || time > LONGEST_CHANGE => {
            return refused("`for` has to be more than nothing and at most a day".to_owned());
        }
        Some(Ok(time)) => Some(time),
        None => None,
    };
    if let Err(error) = shown.level.set(&change.filter, time) {
        return refused(format!("`filter` is {error}"));
    }
    tracing::info!(filter = change.filter, for_seconds = time.map(|time| time.as_secs()), "the log level was changed");
    Json(render::level(&shown.level.status())).into_response()
}
