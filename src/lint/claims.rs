//! Conditions on claims that cannot hold together.

use serde_json::Value;

use super::policy::{Policy, requirements};
use super::{Code, Finding};
use crate::authn::spec::{IssuerClaim, IssuerSpec, TokenFormat};
use crate::core::condition::{ClaimCondition, ClaimTest, RequestPart};
use crate::core::principal::ClaimPath;
use crate::core::table::{HostPattern, RuleSpec};

/// So many conditions of a rule are compared with each other.
const MOST: usize = 256;

pub(super) fn find(policy: &Policy<'_>, findings: &mut Vec<Finding>) {
    for (_, spec, spot) in policy.rules() {
        let Some(wanted) = requirements(spec) else { continue };
        let conditions = wanted.claims.get(..MOST).unwrap_or(&wanted.claims);
        let issuers: Vec<&IssuerSpec> = policy.issuers(&wanted.issuers).collect();
        let found =
            contradiction(conditions).or_else(|| iss(conditions, &issuers)).or_else(|| host_label(spec, conditions));
        if let Some(message) = found {
            let place = policy.required_at(&spot, "claims");
            findings.push(Finding::new(Code::ContradictoryConditions, &place, message));
        }
    }
}

/// Two conditions that no claims meet.
fn contradiction(conditions: &[ClaimCondition]) -> Option<String> {
    for (at, a) in conditions.iter().enumerate() {
        if left(a, conditions).is_some_and(|values| values.is_empty()) {
            return Some(format!(
                "none of the values that `{}` may have for one condition will do for the others",
                a.path
            ));
        }
        for b in conditions.iter().skip(at + 1) {
            let clash = if a.path == b.path {
                shapes_clash(&a.test, &b.test)
            } else if a.path.is_above(&b.path) {
                blocks(&a.test, &b.test)
            } else {
                b.path.is_above(&a.path) && blocks(&b.test, &a.test)
            };
            if clash {
                return Some(format!("{} and {} cannot both hold", shown(a), shown(b)));
            }
        }
    }
    None
}

/// What a claim must be for a condition to hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Absent,
    /// There, whatever it is.
    Present,
    /// A text, a number or a boolean.
    Scalar,
    Text,
    List,
}

fn shape(test: &ClaimTest) -> Shape {
    match test {
        ClaimTest::Absent => Shape::Absent,
        ClaimTest::Present => Shape::Present,
        ClaimTest::Equals(_) | ClaimTest::In(_) | ClaimTest::NotIn(_) => Shape::Scalar,
        ClaimTest::Pattern(_) | ClaimTest::EqualsRequest(_) => Shape::Text,
        ClaimTest::Contains(_) => Shape::List,
    }
}

fn shapes_clash(a: &ClaimTest, b: &ClaimTest) -> bool {
    match (shape(a), shape(b)) {
        (Shape::Absent, other) | (other, Shape::Absent) => other != Shape::Absent,
        (Shape::List, other) | (other, Shape::List) => matches!(other, Shape::Scalar | Shape::Text),
        (Shape::Present | Shape::Scalar | Shape::Text, Shape::Present | Shape::Scalar | Shape::Text) => false,
    }
}

/// Whether nothing can be judged below a claim of which `outer` holds, or nothing can be there.
fn blocks(outer: &ClaimTest, inner: &ClaimTest) -> bool {
    match shape(outer) {
        Shape::Present => false,
        Shape::Absent => shape(inner) != Shape::Absent,
        Shape::Scalar | Shape::Text | Shape::List => true,
    }
}

/// Of the values that a condition lists, those that every other condition on the claim allows.
fn left<'c>(condition: &'c ClaimCondition, all: &[ClaimCondition]) -> Option<Vec<&'c Value>> {
    let values: Vec<&Value> = match &condition.test {
        ClaimTest::Equals(value) => vec![value],
        ClaimTest::In(values) => values.iter().collect(),
        _ => return None,
    };
    let others: Vec<&ClaimTest> =
        all.iter().filter(|other| other.path == condition.path).map(|other| &other.test).collect();
    Some(values.into_iter().filter(|value| others.iter().all(|test| allows(test, value))).collect())
}

/// Whether a claim of this value, a text, number or boolean, can meet a test.
fn allows(test: &ClaimTest, value: &Value) -> bool {
    match test {
        ClaimTest::Present => true,
        ClaimTest::Absent | ClaimTest::Contains(_) => false,
        ClaimTest::Equals(want) => want == value,
        ClaimTest::In(values) => values.contains(value),
        ClaimTest::NotIn(values) => !values.contains(value),
        ClaimTest::Pattern(pattern) => value.as_str().is_some_and(|text| pattern.0.is_match(text)),
        ClaimTest::EqualsRequest(_) => value.as_str().is_some_and(|text| !text.is_empty()),
    }
}

/// A condition on `iss` that no token of the rule's issuers meets: theirs is settled before a rule looks at it.
fn iss(conditions: &[ClaimCondition], issuers: &[&IssuerSpec]) -> Option<String> {
    if issuers.is_empty() || issuers.iter().any(|issuer| issuer.tokens != TokenFormat::Jwt) {
        return None;
    }
    let path = ClaimPath::named("iss");
    let meets = |test: &ClaimTest, issuer: &IssuerSpec| match &issuer.issuer {
        IssuerClaim::Exact(iss) => allows(test, &Value::from(&**iss)),
        IssuerClaim::Absent => matches!(test, ClaimTest::Absent),
    };
    let failing = conditions.iter().find(|condition| {
        let known = !matches!(condition.test, ClaimTest::EqualsRequest(_));
        known && condition.path == path && !issuers.iter().any(|issuer| meets(&condition.test, issuer))
    });
    failing.map(|condition| format!("{} holds for no token of the issuers that the rule accepts", shown(condition)))
}

/// A label that none of the rule's hosts has.
fn host_label(spec: &RuleSpec, conditions: &[ClaimCondition]) -> Option<String> {
    let has = |host: &HostPattern, index: usize| match host {
        HostPattern::Exact(name) => !name.starts_with('[') && name.split('.').nth(index).is_some(),
        HostPattern::Suffix(_) => true,
    };
    let hosts = &spec.matcher.hosts;
    conditions.iter().find_map(|condition| match condition.test {
        ClaimTest::EqualsRequest(RequestPart::HostLabel(index))
            if !hosts.is_empty() && !hosts.iter().any(|host| has(host, index)) =>
        {
            Some(format!("no host of the rule has a label at position {index}, which {} wants", shown(condition)))
        }
        _ => None,
    })
}

fn shown(ClaimCondition { path, test }: &ClaimCondition) -> String {
    let several = |values: &[Value]| values.iter().take(5).map(Value::to_string).collect::<Vec<_>>().join(", ");
    let test = match test {
        ClaimTest::Present => "present: true".to_owned(),
        ClaimTest::Absent => "absent: true".to_owned(),
        ClaimTest::Equals(value) => format!("equals: {value}"),
        ClaimTest::In(values) => format!("in: [{}]", several(values)),
        ClaimTest::NotIn(values) => format!("not_in: [{}]", several(values)),
        ClaimTest::Contains(value) => format!("contains: {value}"),
        ClaimTest::Pattern(_) => "pattern: …".to_owned(),
        ClaimTest::EqualsRequest(RequestPart::PathParameter(name)) => format!("equals_path: {name}"),
        ClaimTest::EqualsRequest(RequestPart::HostLabel(index)) => format!("equals_host_label: {index}"),
        ClaimTest::EqualsRequest(RequestPart::QueryParameter(name)) => format!("equals_query: {name}"),
    };
    format!("`{path}` with `{test}`")
}
