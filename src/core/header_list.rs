//! Headers of an answer, in one buffer.

use std::fmt;

use smallvec::SmallVec;

/// Names and values of headers, in order; a name may be there more than once. However many there are, they cost one
/// allocation or two.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HeaderList {
    /// The first name, its value, the second name and so on, with nothing in between.
    text: String,
    /// Where each name ends, and its value.
    ends: SmallVec<[(usize, usize); 8]>,
}

impl HeaderList {
    /// An empty list with room for so many bytes of names and values.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), ends: SmallVec::new() }
    }

    /// Adds a header.
    pub fn push(&mut self, name: &str, value: &str) {
        self.push_with(name, |text| text.push_str(value));
    }

    /// Adds a header whose value `write` appends.
    pub(super) fn push_with(&mut self, name: &str, write: impl FnOnce(&mut String)) {
        self.text.push_str(name);
        let name_end = self.text.len();
        write(&mut self.text);
        self.ends.push((name_end, self.text.len()));
    }

    /// Adds a header whose value `write` appends, if it says that there is one.
    ///
    /// # Errors
    /// That of `write`; the list is then as it was.
    pub(super) fn try_push_with<E>(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut String) -> Result<bool, E>,
    ) -> Result<bool, E> {
        let start = self.text.len();
        self.text.push_str(name);
        let name_end = self.text.len();
        let written = write(&mut self.text);
        if let Ok(true) = written {
            self.ends.push((name_end, self.text.len()));
        } else {
            self.text.truncate(start);
        }
        written
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = 0;
        self.ends.iter().map(move |(name_end, end)| {
            let name = self.text.get(start..*name_end).unwrap_or_default();
            start = *end;
            (name, self.text.get(*name_end..*end).unwrap_or_default())
        })
    }

    /// Whether a header of this name is in the list, in any case.
    pub fn contains(&self, name: &str) -> bool {
        self.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many bytes names and values have.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }
}

impl fmt::Debug for HeaderList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for HeaderList {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(headers: T) -> Self {
        let mut list = Self::default();
        headers.into_iter().for_each(|(name, value)| list.push(name.as_ref(), value.as_ref()));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_without_a_value_leaves_no_trace() {
        let mut list = HeaderList::default();
        list.push("a", "1");
        let fails = list.try_push_with("b", |text| {
            text.push_str("half");
            Err(())
        });
        assert_eq!(fails, Err(()));
        let absent = list.try_push_with("c", |text| {
            text.push_str("half");
            Ok::<_, ()>(false)
        });
        assert_eq!(absent, Ok(false));
        list.push("a", "");
        assert_eq!(list.iter().collect::<Vec<_>>(), [("a", "1"), ("a", "")]);
        assert!(list.contains("A") && !list.contains("b") && !list.contains("c"));
        assert_eq!((list.len(), list.bytes()), (2, 3));
    }
}
