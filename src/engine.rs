//! One Check from facts to answer, on an immutable snapshot; building, reusing and replacing snapshots.

use tokio::time::Instant;

use crate::core::answer::{Answer, DecisionId};
use crate::core::decide;
use crate::core::reason::Reason;
use crate::core::request::RawRequest;

/// Decides. Cheap to share behind an `Arc`.
#[derive(Debug)]
pub struct Engine {}

impl Engine {
    /// Decides on a request. The answer comes before `deadline`, be it a 503 denial.
    pub async fn check(&self, _request: RawRequest<'_>, _deadline: Instant) -> Answer {
        decide::refuse(Reason::InternalError, false, DecisionId(0))
    }
}
