//! The run that decides on requests, watched, for people.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::accepted::Accepted;
use super::authenticate::LONGEST_WAIT;
use super::credential;
use super::error::AuthnError;
use super::jwt::Checked;
use super::select::{self, Selected};
use super::trace::{Check, Course, Failure, Outcome, Recorder, Trace as _};
use super::verified::Verified;
use crate::clock::Timestamp;
use crate::core::caller::Caller;
use crate::core::principal::Principal;
use crate::core::reason::Reason;
use crate::core::request::Headers;

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

/// As [`explain`], and waits for keys, at most this long, where the issuer that claims the token has none yet. A fetch for
/// an unknown key id is bounded by the issuer's own time limit.
pub async fn explain_patiently(
    issuers: Accepted<'_>,
    token: &str,
    caller: &Caller<'_>,
    now: Timestamp,
    timeout: Duration,
) -> Report {
    let report = explain(issuers, token, caller, now).await;
    let claiming = issuers.iter().find(|issuer| report.issuer.as_ref() == Some(&issuer.spec().name));
    match (claiming, &report.result) {
        (Some(issuer), Err(error)) if error.reason == Reason::KeysUnavailable => {
            if issuer.keys().wait(timeout).await {
                explain(issuers, token, caller, now).await
            } else {
                with_cause(report, issuer.keys().status().last_error)
            }
        }
        _ => report,
    }
}

/// Adds why there are no keys to the check that wanted one.
fn with_cause(mut report: Report, cause: Option<String>) -> Report {
    let cause = cause.unwrap_or_else(|| "no answer in time".to_owned());
    let failed = report.steps.iter_mut().filter_map(|(_, outcome)| match outcome {
        Outcome::Failed(error) => Some(error),
        Outcome::Passed(_) | Outcome::NotReached => None,
    });
    for error in failed.chain(report.result.as_mut().err()) {
        error.detail = format!("{}: {cause}", error.detail);
    }
    report
}

/// A request's credential, watched.
#[derive(Debug)]
pub enum Credential {
    /// The request carries none.
    Absent,
    /// It carries something that cannot be read, or more than one.
    Unreadable(AuthnError),
    /// A token, and what came of it.
    Judged {
        /// The request header that carried it, lower case.
        header: Arc<str>,
        /// What the checks said.
        report: Box<Report>,
    },
}

/// Looks for a request's credential as [`super::look_up`] does, and has `judge` say what comes of it, among the issuers
/// whose tokens come in its header.
pub async fn explain_request<'i, 'h, F: Future<Output = Report>>(
    accepted: Accepted<'i>,
    headers: &Headers<'h>,
    judge: impl FnOnce(Accepted<'i>, &'h str) -> F,
) -> Credential {
    let sources = accepted.iter().map(|issuer| &issuer.spec().credential);
    match credential::extract(sources, headers) {
        Ok(None) => Credential::Absent,
        Err(error) => Credential::Unreadable(error),
        Ok(Some(found)) => {
            let header = credential::header_name(found.source).into();
            let report = judge(accepted.read_from(found.source), found.token).await;
            Credential::Judged { header, report: Box::new(report) }
        }
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
