//! `/healthz`, `/readyz` and `/metrics`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio_util::sync::CancellationToken;

use super::render;
use crate::engine::{Engine, Readiness};
use crate::telemetry::{Exposition, Recorder};

#[derive(Clone)]
struct Shared {
    engine: Arc<Engine>,
    recorder: Arc<Recorder>,
    draining: CancellationToken,
}

pub(super) fn router(engine: Arc<Engine>, recorder: Arc<Recorder>, draining: CancellationToken) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Shared { engine, recorder, draining })
}

async fn readyz(State(shared): State<Shared>) -> Response {
    let status = shared.engine.status();
    let draining = shared.draining.is_cancelled();
    let ready = !draining && status.readiness == Readiness::Ready;
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(render::readiness(&status, ready, draining))).into_response()
}

async fn metrics(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let open_metrics = accept.map(Exposition::accepted).any(|format| format == Exposition::OpenMetrics);
    let format = if open_metrics { Exposition::OpenMetrics } else { Exposition::Prometheus };
    ([(CONTENT_TYPE, format.content_type())], shared.recorder.exposition_with(&shared.engine.status(), format))
        .into_response()
}
