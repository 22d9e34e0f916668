//! What is known of a request's headers and `context_extensions`, as conditions add up.

use std::collections::BTreeMap;

use super::super::{HeaderCondition, HeaderTest};
use super::Region;

/// Conditions that hold together. There are always values that satisfy them: of each header and key endlessly many are
/// to be had.
#[derive(Clone, Debug, Default)]
pub(super) struct Held<'r> {
    headers: BTreeMap<&'r str, Header<'r>>,
    context: BTreeMap<&'r str, Extension<'r>>,
}

#[derive(Clone, Debug, Default)]
struct Header<'r> {
    present: Option<bool>,
    equals: Option<&'r str>,
    unequal: Vec<&'r str>,
}

#[derive(Clone, Debug, Default)]
struct Extension<'r> {
    equals: Option<&'r str>,
    unequal: Vec<&'r str>,
}

/// One condition of a region.
#[derive(Clone, Copy, Debug)]
pub(super) enum Condition<'r> {
    Header(&'r HeaderCondition),
    Context(&'r str, &'r str),
}

/// The conditions of a region.
pub(super) fn conditions(region: &Region) -> impl Iterator<Item = Condition<'_>> {
    let headers = region.headers.iter().map(Condition::Header);
    headers.chain(region.context.iter().map(|(key, value)| Condition::Context(key, value)))
}

/// Whether any request meets a region's other criteria: then it is in it.
pub(super) fn is_unconditional(region: &Region) -> bool {
    region.headers.is_empty() && region.context.is_empty()
}

impl<'r> Held<'r> {
    /// The region's conditions; `None` where they contradict each other.
    pub(super) fn of(region: &'r Region) -> Option<Self> {
        Self::default().and(region)
    }

    /// With the region's conditions on top; `None` where that is a contradiction.
    pub(super) fn and(&self, region: &'r Region) -> Option<Self> {
        conditions(region).try_fold(self.clone(), |held, condition| match condition {
            Condition::Header(HeaderCondition { name, test }) => held.with_header(name, test),
            Condition::Context(key, value) => held.with_extension(key, value, true),
        })
    }

    /// With the opposite of this condition; `None` where that is a contradiction.
    pub(super) fn but_not(&self, condition: Condition<'r>) -> Option<Self> {
        let held = self.clone();
        match condition {
            Condition::Context(key, value) => held.with_extension(key, value, false),
            Condition::Header(HeaderCondition { name, test }) => match test {
                HeaderTest::Present => held.with_header(name, &HeaderTest::Absent),
                HeaderTest::Absent => held.with_header(name, &HeaderTest::Present),
                HeaderTest::Equals(value) => held.with(name, |header| header.is_not(value)),
                HeaderTest::NotEquals(value) => held.with(name, |header| header.is(value)),
            },
        }
    }

    /// Whether every request of which this is known meets the region's conditions.
    pub(super) fn implies(&self, region: &'r Region) -> bool {
        conditions(region).all(|condition| self.but_not(condition).is_none())
    }

    /// Headers with values, as few as will do.
    pub(super) fn header_values(&self) -> Vec<(String, String)> {
        let some = self.headers.iter().filter_map(|(name, header)| {
            let value = match (header.equals, header.present) {
                (Some(value), _) => value.to_owned(),
                (None, Some(true)) => other_than(&header.unequal),
                (None, Some(false) | None) => return None,
            };
            Some(((*name).to_owned(), value))
        });
        some.collect()
    }

    /// Extensions with values, as few as will do.
    pub(super) fn extension_values(&self) -> Vec<(String, String)> {
        let some = self.context.iter().filter_map(|(key, value)| Some(((*key).to_owned(), value.equals?.to_owned())));
        some.collect()
    }

    fn with_header(self, name: &'r str, test: &'r HeaderTest) -> Option<Self> {
        self.with(name, |header| match test {
            HeaderTest::Present => header.is_there(true),
            HeaderTest::Absent => header.is_there(false),
            HeaderTest::Equals(value) => header.is(value),
            HeaderTest::NotEquals(value) => header.is_not(value),
        })
    }

    fn with(mut self, name: &'r str, know: impl FnOnce(&mut Header<'r>) -> bool) -> Option<Self> {
        know(self.headers.entry(name).or_default()).then_some(self)
    }

    fn with_extension(mut self, key: &'r str, value: &'r str, equal: bool) -> Option<Self> {
        let known = self.context.entry(key).or_default();
        let good = if equal {
            let good = known.equals.is_none_or(|other| other == value) && !known.unequal.contains(&value);
            known.equals = Some(value);
            good
        } else {
            known.unequal.push(value);
            known.equals != Some(value)
        };
        good.then_some(self)
    }
}

impl<'r> Header<'r> {
    fn is_there(&mut self, there: bool) -> bool {
        let good = self.present.is_none_or(|known| known == there);
        self.present = Some(there);
        good
    }

    fn is(&mut self, value: &'r str) -> bool {
        let good = self.equals.is_none_or(|known| known == value) && !self.unequal.contains(&value);
        self.equals = Some(value);
        self.is_there(true) && good
    }

    /// Another value, or none.
    fn is_not(&mut self, value: &'r str) -> bool {
        self.unequal.push(value);
        self.equals != Some(value)
    }
}

/// A value that is none of these.
fn other_than(unequal: &[&str]) -> String {
    let plain = "1".to_owned();
    let numbered = (2..).map(|number: usize| number.to_string());
    std::iter::once(plain).chain(numbered).find(|value| !unequal.contains(&&**value)).unwrap_or_default()
}
