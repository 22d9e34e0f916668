//! Before the tour: what is running. After it: what to try, and reloads as they happen.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::envoy::Envoy;
use super::gate::LocalGate;
use super::issuer::{CLIENTS, DevIssuer};
use super::paint::Paint;
use super::policy::Files;
use super::tour::Tokens;
use super::upstream::Upstream;
use crate::engine::Reload;

/// Between two looks at whether something was reloaded.
const PAUSE: Duration = Duration::from_millis(200);

/// What is running.
pub(super) struct Place<'a> {
    pub(super) issuer: &'a DevIssuer,
    pub(super) upstream: &'a Upstream,
    pub(super) envoy: Option<&'a Envoy>,
    pub(super) gate: &'a LocalGate,
    pub(super) files: &'a Files,
}

impl Place<'_> {
    /// What is running, and where.
    pub(super) fn introduction(&self, paint: Paint) -> Vec<String> {
        let Files { policy, socket, .. } = self.files;
        let mut lines = vec![
            paint.strong("Tollgate demo. For development only: everything here ends with this command."),
            format!("  issuer   {}  (its clients and their secrets are public)", self.issuer.url()),
            format!("  service  http://{}  (answers with what it saw)", self.upstream.address()),
            format!("  policy   {}", policy.display()),
            format!("  gate     unix:{}", socket.display()),
        ];
        match self.envoy {
            Some(envoy) => lines.push(format!("  Envoy    http://{}  (envoy/inbound.yaml)", envoy.address())),
            None => {
                lines.push("  Envoy    none: the gate is asked over gRPC, as Envoy would ask it".to_owned());
                lines.push("           `make envoy` fetches one, or name yours in TOLLGATE_ENVOY".to_owned());
            }
        }
        lines.push(String::new());
        lines
    }
}

/// Shows what to try and then every reload, until Ctrl-C or SIGTERM.
pub(super) async fn until_interrupted(
    place: &Place<'_>,
    tokens: &Tokens,
    paint: Paint,
    show: &mut (dyn FnMut(&str) + Send),
) {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    for line in invitation(place, tokens) {
        show(&line);
    }
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
        () = show_reloads(place.gate, paint, show) => {}
    }
}

fn invitation(place: &Place<'_>, tokens: &Tokens) -> Vec<String> {
    let mut lines = vec![String::new()];
    if let Some(envoy) = place.envoy {
        let base = format!("http://{}", envoy.address());
        lines.push("Try it yourself. These tokens live for 15 minutes:".to_owned());
        lines.push(String::new());
        lines.push(format!("  curl -i {base}/healthz"));
        lines.push(format!("  curl -i {base}/orders/17"));
        lines.push(format!("  curl -i {base}/orders/17 -H 'Authorization: Bearer {}'", tokens.reports));
        lines.push(format!("  curl -i {base}/orgs/acme/orders/17 -H 'Authorization: Bearer {}'", tokens.reports));
        lines.push(format!("  curl -i {base}/doctors/api/x -H 'Authorization: Bearer {}'", tokens.passport));
        lines.push(String::new());
    }
    lines.push("New tokens come from the development issuer:".to_owned());
    lines.push(String::new());
    for client in CLIENTS {
        lines.push(format!(
            "  curl -s -u {}:{} -d grant_type=client_credentials {}",
            client.id,
            client.secret,
            place.issuer.token_endpoint()
        ));
    }
    lines.push(String::new());
    if let Some(probes) = place.gate.probes_address() {
        lines.push(format!("Metrics: http://{probes}/metrics"));
    }
    lines.push(format!("Edit {} and watch it being reloaded here. Ctrl-C ends.", place.files.policy.display()));
    lines
}

/// One line for each reload, or the errors of one that was refused.
async fn show_reloads(gate: &LocalGate, paint: Paint, show: &mut (dyn FnMut(&str) + Send)) {
    let mut shown: Option<Reload> = gate.engine().status().last_reload;
    let mut generation = gate.engine().status().generation;
    loop {
        tokio::time::sleep(PAUSE).await;
        let Some(reload) = gate.engine().status().last_reload else { continue };
        let before = shown.as_ref().and_then(|reload| reload.error.as_ref());
        let news = reload.generation != generation || reload.error.as_ref() != before;
        if news {
            match &reload.error {
                Some(error) => {
                    show(&paint.bad(&format!("refused; generation {} goes on serving:", reload.generation)));
                    for message in error.messages() {
                        show(&format!("  {message}"));
                    }
                }
                None if reload.generation == generation => show("the policy is again as it is served"),
                None => show(&paint.good(&format!("reloaded: generation {} serves now", reload.generation))),
            }
        }
        generation = reload.generation;
        shown = Some(reload);
    }
}
