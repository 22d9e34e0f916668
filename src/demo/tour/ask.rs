//! How the tour asks: through Envoy, or the gate itself where there is no Envoy.

use super::super::DemoError;
use super::super::client::Call;
use super::super::envoy::Envoy;
use super::super::gate::Asker;
use super::super::upstream::Upstream;
use super::{IDENTITY, Outcome};

/// How the tour asks.
#[derive(Debug)]
pub(in super::super) enum Way<'a> {
    /// As a client does: through Envoy, to the service.
    Envoy(&'a Envoy, &'a Upstream),
    /// As Envoy does, without the service.
    Gate(Asker),
}

impl Way<'_> {
    /// What the last column shows.
    pub(super) fn identity_column(&self) -> &'static str {
        match self {
            Self::Envoy(..) => "identity headers that the service saw",
            Self::Gate(_) => "identity headers that the service would see",
        }
    }

    pub(super) async fn ask(&self, call: Call) -> Result<Outcome, DemoError> {
        match self {
            Self::Envoy(envoy, upstream) => through_envoy(call, envoy, upstream).await,
            Self::Gate(asker) => of_the_gate(&call, asker).await,
        }
    }
}

async fn through_envoy(call: Call, envoy: &Envoy, upstream: &Upstream) -> Result<Outcome, DemoError> {
    let is_grpc = is_grpc(&call);
    let logged = envoy.access_log().len();
    drop(upstream.take_seen());
    let reply = call.send(envoy.address()).await?;
    let saw = upstream
        .take_seen()
        .pop()
        .map(|seen| IDENTITY.into_iter().filter_map(|name| Some((name.to_owned(), seen.header(name)?))).collect());
    // The reason of an allowed request is in Envoy's access log only, where the gate's metadata put it.
    let entry = envoy.access_log_entry(logged).await.unwrap_or_default();
    let reason = entry.pointer("/tollgate/reason").and_then(|reason| reason.as_str()).unwrap_or("?").to_owned();
    let grpc_status = if is_grpc { Some(reply.header("grpc-status").unwrap_or("none").to_owned()) } else { None };
    Ok(Outcome { status: reply.status.as_u16(), grpc_status, reason, saw })
}

async fn of_the_gate(call: &Call, asker: &Asker) -> Result<Outcome, DemoError> {
    let decision = asker.ask(call).await?;
    let saw = decision.headers.map(|headers| {
        let identity = IDENTITY.into_iter().filter_map(|name| headers.iter().find(|(known, _)| known == name));
        identity.cloned().collect()
    });
    if !is_grpc(call) {
        return Ok(Outcome { status: decision.status, grpc_status: None, reason: decision.reason, saw });
    }
    // What Envoy makes of a denial for a gRPC client.
    let grpc_status = match decision.status {
        200 => "0",
        400 => "13",
        401 => "16",
        403 => "7",
        503 => "14",
        _ => "2",
    };
    Ok(Outcome { status: 200, grpc_status: Some(grpc_status.to_owned()), reason: decision.reason, saw })
}

fn is_grpc(call: &Call) -> bool {
    call.headers.iter().any(|(name, value)| name == "content-type" && value == "application/grpc")
}
