//! The shipped dashboard and alerts name only what a gate exports, and the runbook has a paragraph for each alert.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tollgate::core::reason::{Fault, Reason};

const ALERTS: &str = include_str!("../examples/observability/alerts.yaml");
const ALERT_TESTS: &str = include_str!("../examples/observability/alerts.test.yaml");
const DASHBOARD: &str = include_str!("../examples/observability/grafana-dashboard.json");
const RUNBOOK: &str = include_str!("../docs/runbook.md");
const METRICS: &str = include_str!("../docs/metrics.md");

/// Labels that Prometheus adds, and that of a histogram's buckets.
const ADDED: [&str; 3] = ["job", "instance", "le"];

/// Samples with their labels. A test of the recorder holds this table to what is exported, both ways.
fn samples() -> BTreeMap<String, BTreeSet<String>> {
    let rows = METRICS.lines().filter(|line| line.starts_with("| `tollgate_"));
    let families = rows.flat_map(|row| {
        let family = row.split('`').nth(1).unwrap();
        let (name, labels) = family.split_once('{').unwrap_or((family, ""));
        let labels: BTreeSet<String> =
            labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()).map(str::to_owned).collect();
        let histogram = row.split('|').nth(2).unwrap().trim() == "histogram";
        let suffixes: &[&str] = if histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
        suffixes.iter().map(move |suffix| (format!("{name}{suffix}"), labels.clone())).collect::<Vec<_>>()
    });
    families.collect()
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// Metrics that an expression names, each with the labels in its selector.
fn selectors(expression: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for (at, _) in expression.match_indices("tollgate_") {
        let rest = &expression[at..];
        let end = rest.find(|character| !is_word(character)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let selector = after.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(inside, _)| inside);
        let labels = selector.split(',').filter(|matcher| !matcher.is_empty());
        let label = |matcher: &str| matcher.trim().chars().take_while(|character| is_word(*character)).collect();
        found.push((name.to_owned(), labels.map(label).collect()));
    }
    found
}

/// Labels that an expression groups or joins by.
fn groupings(expression: &str) -> Vec<String> {
    let mut labels = Vec::new();
    for word in ["by (", "on (", "without (", "ignoring (", "by(", "on("] {
        for (at, _) in expression.match_indices(word) {
            let inside = expression[at + word.len()..].split(')').next().unwrap();
            labels.extend(inside.split(',').map(|label| label.trim().to_owned()));
        }
    }
    labels
}

fn wrong(expression: &str) -> Vec<String> {
    let samples = samples();
    let mut wrong = Vec::new();
    let mut known: BTreeSet<String> = ADDED.iter().map(|label| (*label).to_owned()).collect();
    let named = selectors(expression);
    if named.is_empty() {
        wrong.push("it names no metric".to_owned());
    }
    for (name, labels) in named {
        let Some(has) = samples.get(&name) else {
            wrong.push(format!("`{name}` is not exported"));
            continue;
        };
        known.extend(has.iter().cloned());
        let missing = labels.iter().filter(|label| !has.contains(*label) && !ADDED.contains(&label.as_str()));
        wrong.extend(missing.map(|label| format!("`{name}` has no label `{label}`")));
    }
    wrong.extend(groupings(expression).into_iter().filter(|label| !known.contains(label)));
    wrong
}

fn expressions(node: &Value) -> Vec<String> {
    match node {
        Value::Object(members) => {
            let one = |(name, value): (&String, &Value)| match value {
                Value::String(text) if name == "expr" => vec![text.clone()],
                other => expressions(other),
            };
            members.iter().flat_map(one).collect()
        }
        Value::Array(items) => items.iter().flat_map(expressions).collect(),
        _ => Vec::new(),
    }
}

fn alerts() -> Vec<Value> {
    let file: Value = serde_saphyr::from_str(ALERTS).unwrap();
    file["groups"][0]["rules"].as_array().unwrap().clone()
}

#[test]
fn the_dashboard_and_the_alerts_name_what_is_exported() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let of_dashboard = expressions(&dashboard);
    assert!(of_dashboard.len() > 30, "{}", of_dashboard.len());
    let of_alerts = alerts().into_iter().map(|alert| alert["expr"].as_str().unwrap().to_owned());
    let of_questions = METRICS.lines().filter(|line| line.starts_with("| ") && line.contains("? | `"));
    let of_questions: Vec<String> = of_questions.map(|line| line.split('`').nth(1).unwrap().to_owned()).collect();
    assert!(of_questions.len() > 5, "{of_questions:?}");
    for expression in of_dashboard.into_iter().chain(of_alerts).chain(of_questions) {
        assert_eq!(wrong(&expression), Vec::<String>::new(), "{expression}");
    }
}

#[test]
fn what_is_not_exported_is_found() {
    for (expression, said) in [
        ("rate(tollgate_nonsense_total[5m])", "`tollgate_nonsense_total` is not exported"),
        ("tollgate_keys{subject=\"x\"}", "`tollgate_keys` has no label `subject`"),
        ("sum by (issuer, path) (tollgate_keys)", "path"),
        ("rate(tollgate_decision_duration_seconds[5m])", "`tollgate_decision_duration_seconds` is not exported"),
        ("vector(0)", "it names no metric"),
    ] {
        assert_eq!(wrong(expression), [said], "{expression}");
    }
}

#[test]
fn each_alert_has_a_test_and_a_paragraph_of_the_runbook() {
    let names: BTreeSet<String> = alerts().iter().map(|alert| alert["alert"].as_str().unwrap().to_owned()).collect();
    let paragraphs: BTreeSet<String> =
        RUNBOOK.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_owned).collect();
    assert_eq!(names, paragraphs);
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let place = format!("docs/runbook.md#{}", name.to_ascii_lowercase());
        assert_eq!(alert["annotations"]["runbook_url"], place);
        let paragraph = RUNBOOK.split(&format!("## {name}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
        for part in ["**Means:**", "**Look at:**", "**Do:**"] {
            assert!(paragraph.contains(part), "{name} lacks {part}");
        }
        assert!(ALERT_TESTS.contains(&format!("alertname: {name}")), "{name} has no test");
    }
}

/// Denials that are not the callers' fault page somebody: all of them, and no others.
#[test]
fn the_alert_on_our_faults_names_each_reason_that_is_not_the_callers() {
    let alert = alerts().into_iter().find(|alert| alert["alert"] == "TollgateDenialsByOurFault").unwrap();
    let named =
        alert["expr"].as_str().unwrap().split("reason=~\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let named: BTreeSet<&str> = named.split('|').collect();
    let ours = Reason::ALL.iter().filter(|reason| !matches!(reason.fault(), Fault::None | Fault::Caller));
    assert_eq!(named, ours.map(|reason| reason.code()).collect());
}
