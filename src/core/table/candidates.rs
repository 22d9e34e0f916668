//! The rules of one place: those that only conditions tell apart, and which of them answers.
//!
//! The answer is the first entry, in the order of [`Entry::rank`], whose conditions hold; an entry that cannot be judged
//! ends the search. Where there are many, most are left out of it: those that name a value which the request does not
//! have.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use smol_str::SmolStr;

use super::super::condition::ConditionError;
use super::super::request::RequestFacts;
use super::index::{Entry, Map};
use super::{HeaderTest, Unjudgeable};

/// So many entries are tried one after the other sooner than values are looked up.
const FEW: usize = 8;

/// Positions in the list of entries, ascending.
type Positions = Vec<usize>;

/// The rules of one place, method and kind.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// Mostly one.
    entries: SmallVec<[Entry; 1]>,
    /// Where there are more than [`FEW`]. At most places there are not, and these lie close together.
    selector: Option<Box<Selector>>,
}

impl Candidates {
    pub(super) fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// Puts the entries into their order: to be called after the last is there.
    pub(super) fn sort(&mut self) {
        self.entries.sort_by_key(Entry::rank);
        // A rule that lists a host, path or method twice is at the same place twice.
        self.entries.dedup_by(|a, b| a.is_twin(b));
        self.selector = (self.entries.len() > FEW).then(|| Box::new(Selector::new(&self.entries)));
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry that answers.
    pub(super) fn find<'a>(&'a self, facts: &RequestFacts<'_>) -> Result<Option<&'a Entry>, Unjudgeable<'a>> {
        match self.selector.as_ref().map(|selector| selector.select(facts)) {
            Some(Ok(selected)) => first(selected.filter_map(|at| self.entries.get(at)), facts),
            // Something may be unjudgeable: whether it matters, and to which rule, is for the whole list to say.
            Some(Err(ConditionError)) | None => first(self.entries.iter(), facts),
        }
    }
}

fn first<'a>(
    mut entries: impl Iterator<Item = &'a Entry>,
    facts: &RequestFacts<'_>,
) -> Result<Option<&'a Entry>, Unjudgeable<'a>> {
    entries
        .find_map(|entry| match entry.holds(facts) {
            Ok(true) => Some(Ok(entry)),
            Ok(false) => None,
            Err(ConditionError) => Some(Err(Unjudgeable { rule: &entry.rule })),
        })
        .transpose()
}

/// Finds the entries that can hold by the values that they want.
///
/// Each entry that has a condition for which a request must have a certain value, or a certain header, is listed under
/// one such condition: the one that it shares with the fewest others. A request in which every value that is compared
/// can be judged can only be answered by entries listed under what it has, and by those listed under nothing. That
/// leaves out entries whose conditions do not hold, and no other: with no condition in error, the first of those that
/// are left is the first of all.
#[derive(Debug, Default)]
struct Selector {
    /// Every key of `context_extensions` that is compared.
    context: Map<Map<Positions>>,
    /// Every header that conditions name, lower case.
    headers: Map<Wanted>,
    /// The entries that are listed under nothing.
    others: Positions,
}

/// The entries that want something of a header.
#[derive(Debug, Default)]
struct Wanted {
    /// Whether its value is compared.
    compared: bool,
    present: Positions,
    equals: Map<Positions>,
}

/// What a request must have for an entry to hold.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Need<'e> {
    Context(&'e str, &'e str),
    Header(&'e str),
    HeaderValue(&'e str, &'e str),
}

impl Selector {
    fn new(entries: &[Entry]) -> Self {
        let mut selector = Self::default();
        let mut shared: FxHashMap<Need<'_>, usize> = FxHashMap::default();
        for need in entries.iter().flat_map(needs) {
            *shared.entry(need).or_default() += 1;
        }
        for (position, entry) in entries.iter().enumerate() {
            for (key, _) in &entry.conditions.context {
                selector.context.entry(SmolStr::new(key)).or_default();
            }
            for condition in &entry.conditions.headers {
                let wanted = selector.header(&condition.name);
                wanted.compared |= matches!(condition.test, HeaderTest::Equals(_) | HeaderTest::NotEquals(_));
            }
            let listed = match needs(entry).min_by_key(|need| shared.get(need)) {
                Some(Need::Context(key, value)) => {
                    selector.context.entry(key.into()).or_default().entry(value.into()).or_default()
                }
                Some(Need::Header(name)) => &mut selector.header(name).present,
                Some(Need::HeaderValue(name, value)) => selector.header(name).equals.entry(value.into()).or_default(),
                None => &mut selector.others,
            };
            listed.push(position);
        }
        selector
    }

    fn header(&mut self, name: &str) -> &mut Wanted {
        self.headers.entry(name.to_ascii_lowercase().into()).or_default()
    }

    /// The positions of the entries that can hold, ascending.
    ///
    /// # Errors
    /// Where the request has a value that could not be judged if it came to that.
    fn select(&self, facts: &RequestFacts<'_>) -> Result<Merged<'_>, ConditionError> {
        let mut lists = SmallVec::new();
        lists.push(&*self.others);
        for (key, value) in &facts.context_extensions {
            let Some(values) = self.context.get(*key) else { continue };
            if facts.context(key).nth(1).is_some() {
                return Err(ConditionError);
            }
            lists.extend(values.get(*value).map(|positions| &**positions));
        }
        if !self.headers.is_empty() {
            self.by_headers(facts, &mut lists)?;
        }
        Ok(Merged(lists))
    }

    fn by_headers<'s>(&'s self, facts: &RequestFacts<'_>, lists: &mut Lists<'s>) -> Result<(), ConditionError> {
        for (at, line) in facts.headers.iter().enumerate() {
            let lower = super::lower(line.name);
            let Some(wanted) = self.headers.get(&*lower) else { continue };
            // Lines that repeat a name are one value, which the first of them stands for.
            if facts.headers.iter().take(at).any(|before| before.is(&lower)) {
                continue;
            }
            lists.push(&*wanted.present);
            if wanted.compared {
                let value = facts.headers.joined(&lower).map_err(|_| ConditionError)?;
                let equal = value.and_then(|value| wanted.equals.get(&*value));
                lists.extend(equal.map(|positions| &**positions));
            }
        }
        Ok(())
    }
}

/// What must be there for an entry to hold, as far as it can be looked up.
fn needs(entry: &Entry) -> impl Iterator<Item = Need<'_>> {
    let context = entry.conditions.context.iter().map(|(key, value)| Need::Context(key, value));
    let headers = entry.conditions.headers.iter().filter_map(|condition| match &condition.test {
        HeaderTest::Equals(value) => Some(Need::HeaderValue(&condition.name, value)),
        HeaderTest::Present => Some(Need::Header(&condition.name)),
        HeaderTest::Absent | HeaderTest::NotEquals(_) => None,
    });
    context.chain(headers)
}

type Lists<'s> = SmallVec<[&'s [usize]; 4]>;

/// Goes through several ascending lists at once, in ascending order. No position is in two of them.
struct Merged<'s>(Lists<'s>);

impl Iterator for Merged<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let heads = self.0.iter_mut().filter(|list| !list.is_empty());
        let next = heads.min_by_key(|list| list.first().copied())?;
        let (first, rest) = next.split_first()?;
        *next = rest;
        Some(*first)
    }
}
