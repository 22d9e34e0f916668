//! The run that decides on requests, watched, for people.

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::accepted::Accepted;
use super::authenticate::LONGEST_WAIT;
use super::error::AuthnError;
use super::jwt::Checked;
use super::select::{self, Selected};
use super::trace::{Check, Course, Failure, Outcome, Recorder, Trace as _};
use super::verified::Verified;
use crate::clock::Timestamp;
use crate::core::caller::Caller;
use crate::core::principal::Principal;
use crate::core::reason::Reason;

/// What the checks said of a token: the same run that decides on requests, watched.
#[derive(Debug)]
pub struct Report {
    /// The issuer whose checks ran, where one claimed the token.
    pub issuer: Option<Arc<str>>,
    /// Every check in the order in which they run.
    pub steps: Vec<(Check, Outcome)>,
    /// The JOSE header, unverified, where it can be read.
    pub header: Option<Map<String, Value>>,
    /// The claims, unverified, where they can be read.
    pub claims: Option<Map<String, Value>>,
    /// What its issuer said of it when asked, where it called it active.
    pub introspected: Option<Map<String, Value>>,
    /// Whether it is to be understood by its issuer alone.
    pub opaque: bool,
    /// How it ended.
    pub result: Result<Arc<Principal>, AuthnError>,
}

/// Runs the checks on a token as [`super::authenticate`] does, for people. The cache is neither asked nor filled. Where
/// two issuers read different headers, the caller names the one that is meant by passing it alone.
pub async fn explain(issuers: Accepted<'_>, token: &str, caller: &Caller<'_>, now: Timestamp) -> Report {
    let mut run = Run { trace: Recorder::default(), course: Course::Jwt, report: Seen::default() };
    let result = run.judge(issuers, token, now).await;
    let result = result.and_then(|verified| {
        let proven = verified.prove(caller).map_err(|error| Failure { check: Check::Possession, error })?;
        let proof = if proven.bound_to().is_some() { "the caller's certificate is the one" } else { "none needed" };
        run.trace.passed(Check::Possession, format_args!("{proof}"));
        Ok(proven)
    });
    let Run { trace, course, report } = run;
    let steps = trace.steps(course, result.as_ref().err());
    let (header, claims) = report.parts.unzip();
    Report {
        issuer: report.issuer,
        steps,
        header,
        claims,
        introspected: report.introspected,
        opaque: course == Course::Opaque,
        result: result.map_err(AuthnError::from),
    }
}

struct Run {
    trace: Recorder,
    course: Course,
    report: Seen,
}

/// What came to light on the way.
#[derive(Default)]
struct Seen {
    issuer: Option<Arc<str>>,
    parts: Option<(Map<String, Value>, Map<String, Value>)>,
    introspected: Option<Map<String, Value>>,
}

impl Run {
    async fn judge(&mut self, issuers: Accepted<'_>, token: &str, now: Timestamp) -> Result<Verified, Failure> {
        let trace = &mut self.trace;
        let parts = &mut self.report.parts;
        let selected = select::select_watched(issuers, token, trace, |jwt| {
            *parts = Some((jwt.header().clone(), jwt.claims().clone()));
        })?;
        let (issuer, own) = match selected {
            Selected::Opaque(issuer) => {
                self.course = Course::Opaque;
                self.report.issuer = Some(Arc::clone(&issuer.spec().name));
                (issuer, None)
            }
            Selected::Jwt(issuer, jwt) => {
                let spec = issuer.spec();
                self.report.issuer = Some(Arc::clone(&spec.name));
                if spec.introspects_jwts() {
                    self.course = Course::IntrospectedJwt;
                }
                let checked = Checked::check(spec, jwt, now, trace)?;
                let keys = issuer.keys_for(&checked, &mut None, Instant::now() + LONGEST_WAIT).await?;
                let signed = checked.verify(&keys, trace)?;
                if !spec.introspects_jwts() {
                    return signed.alone(spec, issuer.origin());
                }
                (issuer, Some(signed))
            }
        };
        let Some(introspector) = issuer.introspector() else {
            let detail = "the issuer has no introspection, which such tokens need";
            return Err(Check::Introspection.fails(Reason::InternalError, detail));
        };
        let (said, verdict) = introspector.explain(token, own.as_ref(), now, trace).await;
        self.report.introspected = said;
        verdict
    }
}
