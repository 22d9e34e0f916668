//! How the tour asks: through Envoy, or the gate itself where there is no Envoy.

use super::super::DemoError;
use super::super::client::Call;
use super::super::envoy::Envoy;
use super::super::upstream::Upstream;
use super::{IDENTITY, Outcome};

/// How the tour asks.
#[derive(Debug)]
pub(in super::super) enum Way<'a> {
    /// As a client does: through Envoy, to the service.
    Envoy(&'a Envoy, &'a Upstream),
}

impl Way<'_> {
    /// What the last column shows.
    pub(super) fn identity_column(&self) -> &'static str {
        match self {
            Self::Envoy(..) => "identity headers that the service saw",
        }
    }

    pub(super) async fn ask(&self, call: Call) -> Result<Outcome, DemoError> {
        match self {
            Self::Envoy(envoy, upstream) => through_envoy(call, envoy, upstream).await,
        }
    }
}

async fn through_envoy(call: Call, envoy: &Envoy, upstream: &Upstream) -> Result<Outcome, DemoError> {
    let is_grpc = call.headers.iter().any(|(name, value)| name == "content-type" && value == "application/grpc");
    let logged = envoy.access_log().len();
    drop(upstream.take_seen());
    let reply = call.send(envoy.address()).await?;
    let saw = upstream.take_seen().pop().map(|seen| {
        IDENTITY.into_iter().filter_map(|name| Some((name.to_owned(), seen.header(name)?))).collect()
    });
    // The reason of an allowed request is in Envoy's access log only, where the gate's metadata put it.
    let entry = envoy.access_log_entry(logged).await.unwrap_or_default();
    let reason = entry.get("reason").and_then(|reason| reason.as_str()).unwrap_or("?").to_owned();
    let grpc_status = if is_grpc { Some(reply.header("grpc-status").unwrap_or("none").to_owned()) } else { None };
    Ok(Outcome { status: reply.status.as_u16(), grpc_status, reason, saw })
}
