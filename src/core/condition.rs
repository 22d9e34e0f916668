//! Conditions on claims. They are typed: `"1"` is not `1`, and a claim of another type never holds.

use std::fmt;
use std::hash::{Hash, Hasher};

use regex::Regex;
use serde_json::Value;

use super::path::PathParams;
use super::principal::{ClaimPath, Principal};
use super::request::RequestFacts;

/// A condition on one claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimCondition {
    /// The claim.
    pub path: ClaimPath,
    /// What must be true of it.
    pub test: ClaimTest,
}

/// What must be true of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClaimTest {
    /// It is there, and not null.
    Present,
    /// It is not there, or null.
    Absent,
    /// It is this string, number or boolean.
    Equals(Value),
    /// It is none of these, and a string, number or boolean. A claim that is not there does not hold.
    NotIn(Vec<Value>),
    /// It is one of these.
    In(Vec<Value>),
    /// It is an array that holds this string, number or boolean.
    Contains(Value),
    /// It is a string that matches as a whole.
    Pattern(Pattern),
    /// It is a string equal to a part of the request.
    EqualsRequest(RequestPart),
}

/// A regular expression. Two are equal where their texts are.
#[derive(Clone, Debug)]
pub struct Pattern(pub Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_str().hash(state);
    }
}

/// A part of the request that names a tenant or a resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RequestPart {
    /// The path segment that the rule's template calls by this name.
    PathParameter(Box<str>),
    /// The host's label at this position, from the left, from zero.
    HostLabel(usize),
    /// The query parameter of this name, which must be there exactly once, to every server's reading.
    QueryParameter(Box<str>),
}

/// Why a condition could not be judged. The request is then denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a value cannot be judged")]
pub struct ConditionError;

impl ClaimCondition {
    /// Judges the condition.
    ///
    /// # Errors
    /// Where a value is there that cannot be judged: a claim that was not kept, a number that cannot be compared exactly, a query
    /// parameter that is repeated or not text, a nested claim that must be absent from something that is no object.
    pub fn holds(
        &self,
        principal: &Principal,
        facts: &RequestFacts<'_>,
        params: &PathParams<'_>,
    ) -> Result<bool, ConditionError> {
        let claim = principal.claim(&self.path).map_err(|_| ConditionError)?;
        Ok(match &self.test {
            ClaimTest::Present => !matches!(claim, None | Some(Value::Null)),
            ClaimTest::Absent if principal.is_blocked(&self.path) != Ok(false) => return Err(ConditionError),
            ClaimTest::Absent => matches!(claim, None | Some(Value::Null)),
            ClaimTest::Equals(want) => equal(claim, want)?,
            ClaimTest::In(want) => one_of(claim, want)?,
            ClaimTest::NotIn(refused) => match claim {
                Some(Value::String(_) | Value::Number(_) | Value::Bool(_)) => !one_of(claim, refused)?,
                None | Some(Value::Null | Value::Array(_) | Value::Object(_)) => false,
            },
            ClaimTest::Contains(want) => match claim {
                Some(Value::Array(items)) => {
                    items.iter().try_fold(false, |found, item| Ok(found | equal(Some(item), want)?))?
                }
                _ => false,
            },
            ClaimTest::Pattern(pattern) => matches!(claim, Some(Value::String(text)) if pattern.0.is_match(text)),
            ClaimTest::EqualsRequest(part) => {
                let want = part.value(facts, params)?;
                matches!((claim, want), (Some(Value::String(text)), Some(want)) if *text == want && !want.is_empty())
            }
        })
    }
}

fn one_of(claim: Option<&Value>, candidates: &[Value]) -> Result<bool, ConditionError> {
    candidates.iter().try_fold(false, |found, candidate| Ok(found | equal(claim, candidate)?))
}

/// Equality of scalars of the same type. Numbers are compared as integers, exactly; where either is not an
/// integer that fits, the comparison is an error.
fn equal(claim: Option<&Value>, want: &Value) -> Result<bool, ConditionError> {
    match (claim, want) {
        (Some(Value::String(a)), Value::String(b)) => Ok(a == b),
        (Some(Value::Bool(a)), Value::Bool(b)) => Ok(a == b),
        (Some(Value::Number(a)), Value::Number(b)) => {
            let integer = |n: &serde_json::Number| n.as_i64().map(i128::from).or_else(|| n.as_u64().map(i128::from));
            match (integer(a), integer(b)) {
                (Some(a), Some(b)) => Ok(a == b),
                (Some(_) | None, None) | (None, Some(_)) => Err(ConditionError),
            }
        }
        _ => Ok(false),
    }
}

impl ClaimTest {
    /// The part of the request that it compares with.
    pub fn part(&self) -> Option<&RequestPart> {
        match self {
            Self::EqualsRequest(part) => Some(part),
            Self::Present
            | Self::Absent
            | Self::Equals(_)
            | Self::NotIn(_)
            | Self::In(_)
            | Self::Contains(_)
            | Self::Pattern(_) => None,
        }
    }
}

/// As the configuration says it.
impl fmt::Display for ClaimTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = |values: &[Value]| values.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Self::Present => f.write_str("present"),
            Self::Absent => f.write_str("absent"),
            Self::Equals(value) => write!(f, "equals {value}"),
            Self::NotIn(values) => write!(f, "not_in {}", listed(values)),
            Self::In(values) => write!(f, "in {}", listed(values)),
            Self::Contains(value) => write!(f, "contains {value}"),
            Self::Pattern(pattern) => {
                // Patterns are anchored when they are read.
                let text = pattern.0.as_str();
                let bare = text.strip_prefix(r"\A(?:").and_then(|text| text.strip_suffix(r")\z"));
                write!(f, "pattern `{}`", bare.unwrap_or(text))
            }
            Self::EqualsRequest(RequestPart::PathParameter(name)) => write!(f, "equals_path {name}"),
            Self::EqualsRequest(RequestPart::HostLabel(index)) => write!(f, "equals_host_label {index}"),
            Self::EqualsRequest(RequestPart::QueryParameter(name)) => write!(f, "equals_query {name}"),
        }
    }
}

impl RequestPart {
    /// What the request has there.
    ///
    /// # Errors
    /// Something that has more than one reading.
    pub fn value(&self, facts: &RequestFacts<'_>, params: &PathParams<'_>) -> Result<Option<String>, ConditionError> {
        match self {
            Self::PathParameter(name) => Ok(params.value(name).map(str::to_owned)),
            Self::HostLabel(index) => Ok(facts.host.label(*index).map(str::to_owned)),
            Self::QueryParameter(name) => {
                let query = facts.query.unwrap_or("");
                // Some servers end a parameter at `;` as well, and some end the query at `#`.
                if query.contains([';', '#']) {
                    return Err(ConditionError);
                }
                let mut found = None;
                for pair in query.split('&') {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    let key = form_decode(key)?;
                    if key != **name {
                        // To some servers names have no case: to them it is there twice.
                        if key.eq_ignore_ascii_case(name) {
                            return Err(ConditionError);
                        }
                        continue;
                    }
                    if found.replace(form_decode(value)?).is_some() {
                        return Err(ConditionError);
                    }
                }
                Ok(found)
            }
        }
    }
}

/// Decodes one name or value of a query as HTML forms encode it. Bytes that are not UTF-8 are an error, as are
/// percent signs that do not introduce two hexadecimal digits: upstreams differ in what they make of them.
fn form_decode(text: &str) -> Result<String, ConditionError> {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let hex = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_hexdigit());
            if !hex(bytes.next()) || !hex(bytes.next()) {
                return Err(ConditionError);
            }
        }
    }
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced)
        .decode_utf8()
        .map(|text| text.into_owned())
        .map_err(|_| ConditionError)
}
