//! The decision itself: pure and total.

use super::answer::{Answer, DecisionId, DeniedResponse, Verdict};
use super::reason::Reason;

/// A denial that no rule had a part in: a malformed request, shed load, a missed deadline, a panic.
/// `grpc` says whether the client speaks gRPC and wants plain text.
pub fn refuse(reason: Reason, _grpc: bool, decision_id: DecisionId) -> Answer {
    let denied = DeniedResponse { http_status: reason.http_status(), headers: Vec::new(), body: String::new() };
    Answer { decision_id, reason, rule: None, principal: None, caller: None, verdict: Verdict::Deny(denied) }
}
