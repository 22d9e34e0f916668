//! The guided tour: requests that show what the gate is for, each with what must come of it.

mod ask;
mod stops;

use std::fmt::Write as _;

use super::paint::Paint;
pub(super) use ask::Way;
pub(super) use stops::Tokens;
use stops::{Expected, Stop};

/// The headers that tell the service who is asking.
const IDENTITY: [&str; 4] = ["x-service-name", "x-service-scopes", "x-tenant", "x-user-id"];

/// What came of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// The HTTP status that the client got.
    status: u16,
    /// The gRPC status, where the request was gRPC.
    grpc_status: Option<String>,
    /// The gate's reason.
    reason: String,
    /// The identity headers that the service saw; `None` where the request did not get there.
    saw: Option<Vec<(String, String)>>,
}

/// Goes on the tour and shows each stop. Whether all was as expected.
pub(super) async fn go(way: &Way<'_>, tokens: &Tokens, paint: Paint, show: &mut (dyn FnMut(&str) + Send)) -> bool {
    let head = row("", "what", "request", "status", "reason", way.identity_column());
    show(&paint.faint(head.trim_end()));
    let mut all_well = true;
    for Stop { what, call, expected } in stops::stops(tokens) {
        let request = format!("{} {}", call.method, call.path);
        let outcome = way.ask(call).await;
        let (faults, outcome) = match outcome {
            Ok(outcome) => (expected.faults(&outcome), outcome),
            Err(error) => (vec![error.to_string()], Outcome::default()),
        };
        let status = match &outcome.grpc_status {
            Some(grpc) => format!("{} grpc {grpc}", outcome.status),
            None => outcome.status.to_string(),
        };
        let line = row("ok", what, &request, &status, &outcome.reason, &identity(&outcome));
        if faults.is_empty() {
            show(&line.trim_end().replacen("ok", &paint.good("ok"), 1));
        } else {
            all_well = false;
            let line = line.replacen("ok", "no", 1);
            show(&line.trim_end().replacen("no", &paint.bad("no"), 1));
            for fault in faults {
                show(&paint.bad(&format!("       expected {fault}")));
            }
        }
    }
    all_well
}

fn row(mark: &str, what: &str, request: &str, status: &str, reason: &str, saw: &str) -> String {
    format!("  {mark:<3} {what:<30} {request:<33} {status:<11} {reason:<19} {saw}")
}

fn identity(outcome: &Outcome) -> String {
    let Some(saw) = &outcome.saw else { return "-".to_owned() };
    if saw.is_empty() {
        return "none".to_owned();
    }
    let mut text = String::new();
    for (index, (name, value)) in saw.iter().enumerate() {
        let comma = if index == 0 { "" } else { "; " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{name}: {value}");
    }
    text
}

impl Expected {
    /// What is not as expected.
    fn faults(&self, outcome: &Outcome) -> Vec<String> {
        let mut faults = Vec::new();
        if outcome.status != self.status {
            faults.push(format!("status {}", self.status));
        }
        if outcome.reason != self.reason {
            faults.push(format!("reason {}", self.reason));
        }
        if outcome.grpc_status.as_deref() != self.grpc_status {
            faults.push(format!("grpc-status {}", self.grpc_status.unwrap_or("none")));
        }
        match (&outcome.saw, &self.saw) {
            (None, None) => {}
            (Some(_), None) => faults.push("the request to be kept from the service".to_owned()),
            (None, Some(_)) => faults.push("the request to reach the service".to_owned()),
            (Some(saw), Some(want)) => {
                for name in IDENTITY {
                    let value = saw.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
                    let wanted = want.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
                    if value != wanted {
                        faults.push(format!("{name}: {}", wanted.unwrap_or("removed")));
                    }
                }
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_can_be_no() {
        let expected =
            Expected { status: 200, reason: "allowed", grpc_status: None, saw: Some(vec![("x-tenant", "a")]) };
        let tenant = |value: &str| Some(vec![("x-tenant".to_owned(), value.to_owned())]);
        let good = Outcome { status: 200, grpc_status: None, reason: "allowed".to_owned(), saw: tenant("a") };
        assert_eq!(expected.faults(&good), Vec::<String>::new());
        let forged = Some(vec![("x-tenant".to_owned(), "a".to_owned()), ("x-user-id".to_owned(), "root".to_owned())]);
        for bad in [
            Outcome { status: 503, ..good.clone() },
            Outcome { reason: "no_rule".to_owned(), ..good.clone() },
            Outcome { grpc_status: Some("7".to_owned()), ..good.clone() },
            Outcome { saw: None, ..good.clone() },
            Outcome { saw: tenant("b"), ..good.clone() },
            Outcome { saw: Some(Vec::new()), ..good.clone() },
            Outcome { saw: forged, ..good.clone() },
        ] {
            assert_eq!(expected.faults(&bad).len(), 1, "{bad:?}");
        }
        let denied = Expected { status: 401, reason: "missing_token", grpc_status: None, saw: None };
        let leaked = Outcome { status: 401, reason: "missing_token".to_owned(), ..good };
        assert_eq!(denied.faults(&leaked).len(), 1);
    }
}
