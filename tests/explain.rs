//! `tollgate explain` and `tollgate serve` say the same: on the corpus, and on policies, requests and tokens of every kind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "explain/command.rs"]
mod command;
#[path = "support/corpus.rs"]
mod corpus;
#[path = "explain/documented.rs"]
mod documented;
#[path = "support/gate.rs"]
mod gate;
#[path = "support/mint.rs"]
mod mint;
#[path = "explain/policies.rs"]
mod policies;
#[path = "support/program.rs"]
mod program;

use std::time::Duration;

use corpus::{Corpus, Decided};
use serde_json::Map;
use tollgate::authn::credential::header_name;
use tollgate::authn::explain::Credential;
use tollgate::authn::spec::CredentialSource;
use tollgate::authn::stated::Stated;
use tollgate::authn::trace::{Check, Outcome as Checked};
use tollgate::clock::Timestamp;
use tollgate::core::reason::Reason;
use tollgate::core::request::{Header, Headers, RawRequest};
use tollgate::core::table::Standing;
use tollgate::engine::explain::{Explainer, Explanation, Outcome};

/// As a decision, but for what names it, and for a token that only the engine obtains.
fn comparable(mut decided: Decided) -> String {
    decided.body = String::new();
    if let Some(bearer) = decided.set.get_mut("authorization").filter(|value| value.starts_with("Bearer ")) {
        *bearer = "Bearer".to_owned();
    }
    format!("{decided:?}")
}

/// Holds what is told of a decision to the decision itself.
fn holds_together(explanation: &Explanation, title: &str) {
    let answer = &explanation.answer;
    let settles =
        explanation.considered.iter().filter(|told| matches!(told.standing, Standing::Answers | Standing::Unjudgeable));
    assert_eq!(settles.count(), usize::from(answer.rule.is_some()), "{title}: one rule answers, or none");
    let unmet: Vec<Reason> = explanation
        .requirements
        .iter()
        .filter_map(|judged| match judged.outcome {
            Outcome::NotMet(reason) => Some(reason),
            Outcome::Met | Outcome::NotReached => None,
        })
        .collect();
    assert!(unmet.len() <= 1, "{title}: {unmet:?}");
    assert!(unmet.iter().all(|reason| *reason == answer.reason), "{title}: {unmet:?}");
    let mut outcomes = explanation.requirements.iter().map(|judged| judged.outcome);
    outcomes.by_ref().find(|outcome| *outcome != Outcome::Met);
    assert!(outcomes.all(|outcome| outcome == Outcome::NotReached), "{title}: judged after the end");
    if answer.reason == Reason::Allowed {
        let met = explanation.requirements.iter().filter(|judged| judged.outcome == Outcome::Met).count();
        // With an optional token, a header that it alone could fill.
        assert!(met == explanation.requirements.len(), "{title}: allowed without {:?}", explanation.requirements);
    }
    let judged = matches!(answer.reason, Reason::WrongAudience | Reason::InsufficientScope | Reason::InsufficientRole);
    let judged = judged || matches!(answer.reason, Reason::ClaimMismatch | Reason::CallerNotAllowed);
    assert!(!judged || unmet.len() == 1, "{title}: nothing says why: {:?}", explanation.requirements);
}

const STAND_IN: &str = "the-claims";

/// The same request with claims in the place of its token, where the claims alone settle what the token comes to.
fn stated_instead<'a>(
    explanation: &Explanation,
    request: RawRequest<'a>,
    source: &'a CredentialSource,
    value: &'a str,
) -> Option<(Stated, RawRequest<'a>)> {
    let Some(Credential::Judged { report, .. }) = &explanation.credential else { return None };
    if report.opaque || report.introspected.is_some() {
        return None;
    }
    const OF_CLAIMS: [Check; 8] = [
        Check::Issuer,
        Check::Expiry,
        Check::NotBefore,
        Check::IssuedAt,
        Check::Lifetime,
        Check::Claims,
        Check::Binding,
        Check::Possession,
    ];
    let failed = report.steps.iter().find(|(_, outcome)| matches!(outcome, Checked::Failed(_)));
    if failed.is_some_and(|(check, _)| !OF_CLAIMS.contains(check)) {
        return None;
    }
    let stated = Stated { issuer: None, claims: report.claims.clone()?, added: Vec::new() };
    let others = request.headers.iter().filter(|line| !line.is(header_name(source))).copied();
    let line = Header { name: header_name(source), value: value.as_bytes() };
    let headers = Headers::new(others.chain([line]).collect());
    Some((stated, RawRequest { headers, ..request }))
}

/// Explains, with the token and with its claims alone, and holds both to each other. Whether both could be done.
async fn explained(explainer: &Explainer, request: RawRequest<'_>, now: Timestamp, title: &str) -> (Explanation, bool) {
    let explanation = explainer.explain(request.clone(), None, now).await.unwrap();
    holds_together(&explanation, title);
    let source = match &explanation.credential {
        Some(Credential::Judged { header, .. }) if **header == *"authorization" => CredentialSource::Authorization,
        Some(Credential::Judged { header, .. }) => CredentialSource::Header(header.clone()),
        Some(Credential::Absent | Credential::Unreadable(_)) | None => return (explanation, false),
    };
    let value = match &source {
        CredentialSource::Authorization => format!("Bearer {STAND_IN}"),
        CredentialSource::Header(_) => STAND_IN.to_owned(),
    };
    let Some((stated, request)) = stated_instead(&explanation, request, &source, &value) else {
        return (explanation, false);
    };
    let by_claims = explainer.explain(request, Some((&stated, STAND_IN)), now).await.unwrap();
    holds_together(&by_claims, title);
    let of = |explanation: &Explanation| comparable(Decided::of_answer(&explanation.answer));
    assert_eq!(of(&by_claims), of(&explanation), "{title}: claims alone come to something else");
    (explanation, true)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_and_the_engine_agree_on_the_corpus() {
    let (mut cases, mut by_claims) = (0, 0);
    for corpus in Corpus::all() {
        let engine = corpus.engine().await;
        let explainer = Explainer::new(corpus.config(), corpus.deps(), Duration::from_secs(10)).unwrap();
        let now = corpus.clock().now();
        for case in corpus.cases().filter(|case| case.by_core()) {
            let asked = case.asked();
            let (explanation, both) = explained(&explainer, asked.raw_request(), now, &case.title()).await;
            let decided = case.decided_by_engine(&corpus, &engine).await;
            let told = Decided::of_answer(&explanation.answer);
            // What a provider says to a request for a token, explain does not ask.
            if explanation.upstream_token.is_none() {
                case.compare("explain", &told);
            }
            assert_eq!(comparable(told), comparable(Decided::of_answer(&decided)), "{}", case.title());
            cases += 1;
            by_claims += usize::from(both);
        }
    }
    assert!(cases > 140 && by_claims > 60, "{cases}, {by_claims} of them by claims alone");
}

#[tokio::test]
async fn claims_are_completed_and_nothing_that_is_there_is_changed() {
    let corpus = Corpus::all().into_iter().find(|corpus| corpus.config().issuers.len() > 1).unwrap();
    let (config, now) = (corpus.config(), corpus.clock().now());
    let spec = config.issuers.iter().find(|spec| spec.issuer != tollgate::authn::spec::IssuerClaim::Absent).unwrap();
    let stated = Stated::complete(Some(spec.name.clone()), Some(spec), Map::new(), now);
    assert_eq!(stated.added, ["iss", "iat", "exp"]);
    let given = serde_json::json!({ "exp": null, "iss": "x", "iat": 1 }).as_object().unwrap().clone();
    let stated = Stated::complete(None, Some(spec), given.clone(), now);
    assert!(stated.added.is_empty() && stated.claims == given);
}
