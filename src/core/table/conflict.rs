//! Rules that only conditions tell apart: ties, and differences that a caller can choose.

use std::collections::HashMap;

use super::super::rule::Action;
use super::index::Entry;
use super::{HeaderCondition, HeaderTest, TableError};

/// After so many there is nothing to learn from one more.
const MAX_ERRORS: usize = 1000;

/// A condition that fixes one value: two rules that fix different values for the same key cannot meet.
type Fixed<'e> = (bool, &'e str, &'e str);

/// The keys for which an entry fixes values.
type Shape<'e> = Vec<(bool, &'e str)>;

/// Conditions on `context_extensions`.
type Context = [(Box<str>, Box<str>)];

/// Reports the pairs of one group (same host, path and method) that are at odds.
///
/// Only pairs that agree on every key that both fix are looked at, found by hash, so that thousands of rules told
/// apart by one key cost no more than a pass over them.
pub(super) fn find(group: &[Entry], errors: &mut Vec<TableError>) {
    if group.len() < 2 {
        return;
    }
    let mut shapes: HashMap<Shape<'_>, Vec<(&Entry, Vec<Fixed<'_>>)>> = HashMap::new();
    for entry in group {
        let fixed = fixed(entry);
        let shape = fixed.iter().map(|(kind, key, _)| (*kind, *key)).collect();
        shapes.entry(shape).or_default().push((entry, fixed));
    }
    let shapes: Vec<_> = shapes.into_iter().collect();
    for (at, (shape, entries)) in shapes.iter().enumerate() {
        for (other_shape, others) in shapes.iter().skip(at) {
            let shared: Vec<_> = shape.iter().filter(|key| other_shape.contains(key)).collect();
            let project = |fixed: &[Fixed<'_>]| -> Vec<String> {
                let kept = fixed.iter().filter(|(kind, key, _)| shared.contains(&&(*kind, *key)));
                kept.map(|(_, _, value)| (*value).to_owned()).collect()
            };
            let mut buckets: HashMap<Vec<String>, Vec<&Entry>> = HashMap::new();
            for (entry, fixed) in others {
                buckets.entry(project(fixed)).or_default().push(entry);
            }
            for (entry, fixed) in entries {
                for other in buckets.get(&project(fixed)).into_iter().flatten() {
                    if errors.len() >= MAX_ERRORS {
                        return;
                    }
                    judge(entry, other, errors);
                }
            }
        }
    }
    header_choices(group, errors);
}

fn fixed(entry: &Entry) -> Vec<Fixed<'_>> {
    let context = entry.conditions.context.iter().map(|(key, value)| (false, &**key, &**value));
    let headers = entry.conditions.headers.iter().filter_map(|condition| match &condition.test {
        HeaderTest::Equals(value) => Some((true, &*condition.name, &**value)),
        HeaderTest::Present | HeaderTest::Absent | HeaderTest::NotEquals(_) => None,
    });
    context.chain(headers).collect()
}

/// Reports two entries that both match some request and of which neither is more specific.
fn judge(a: &Entry, b: &Entry, errors: &mut Vec<TableError>) {
    let same_rule = a.conditions.position == b.conditions.position;
    // Preflights are answered alike, whichever rule's they are, as long as the same callers may send them.
    let preflights = matches!((&a.rule.effect.action, &b.rule.effect.action), (Action::Preflight { caller: one }, Action::Preflight { caller: other }) if one == other);
    let equal = a.conditions.context.len() == b.conditions.context.len()
        && a.conditions.headers.len() == b.conditions.headers.len()
        && a.conditions.priority == b.conditions.priority;
    if same_rule || preflights || !equal || !can_meet(&a.conditions.headers, &b.conditions.headers) {
        return;
    }
    let (first, second) = if a.conditions.position < b.conditions.position { (a, b) } else { (b, a) };
    errors.push(TableError {
        rule: second.conditions.position,
        other: Some(first.conditions.position),
        message: format!(
            "rules `{}` and `{}` match the same requests and neither is more specific; make their hosts, paths or methods differ, or give one a higher `priority`",
            first.rule.name, second.rule.name
        ),
    });
}

/// Whether some request satisfies both lists of header conditions.
fn can_meet(a: &[HeaderCondition], b: &[HeaderCondition]) -> bool {
    a.iter().all(|x| b.iter().filter(|y| y.name == x.name).all(|y| compatible(&x.test, &y.test)))
}

fn compatible(a: &HeaderTest, b: &HeaderTest) -> bool {
    use HeaderTest::{Absent, Equals, NotEquals, Present};
    match (a, b) {
        (Absent, Present | Equals(_)) | (Present | Equals(_), Absent) => false,
        (Equals(x), Equals(y)) => x == y,
        (Equals(x), NotEquals(y)) | (NotEquals(x), Equals(y)) => x != y,
        (Absent, Absent | NotEquals(_))
        | (NotEquals(_), Absent | NotEquals(_) | Present)
        | (Present, Present | Equals(_) | NotEquals(_))
        | (Equals(_), Present) => true,
    }
}

/// Reports rules that a caller can choose between by headers alone, where none is marked `fallback`: of two such
/// rules the one with fewer header conditions must be marked, or either where they have as many.
fn header_choices(group: &[Entry], errors: &mut Vec<TableError>) {
    let mut by_context: HashMap<&Context, Vec<&Entry>> = HashMap::new();
    for entry in group.iter().filter(|entry| !matches!(entry.rule.effect.action, Action::Preflight { .. })) {
        by_context.entry(&*entry.conditions.context).or_default().push(entry);
    }
    for entries in by_context.into_values() {
        // One unmarked rule is fine if nothing with as many or more header conditions stands beside it.
        let most = entries.iter().map(|entry| entry.conditions.headers.len()).max().unwrap_or(0);
        let chosen = entries.iter().find(|entry| entry.conditions.headers.len() == most && !entry.conditions.fallback);
        let Some(chosen) = chosen.or_else(|| entries.iter().find(|entry| entry.conditions.headers.len() == most))
        else {
            continue;
        };
        for entry in entries.iter().filter(|entry| !entry.conditions.fallback) {
            if entry.conditions.position == chosen.conditions.position
                || entry.conditions.headers == chosen.conditions.headers
            {
                continue;
            }
            errors.push(TableError {
                rule: entry.conditions.position,
                other: Some(chosen.conditions.position),
                message: format!(
                    "rules `{}` and `{}` differ by headers alone, and a caller chooses its headers; mark `{}` with `fallback: true` if a caller may choose it",
                    entry.rule.name, chosen.rule.name, entry.rule.name
                ),
            });
        }
    }
}
