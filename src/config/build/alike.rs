//! What rules have alike is kept once: of many rules few differ in more than what they match, and what a decision reads
//! is then in the processor's cache already, whichever of them answers.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// Values that were met, each once.
#[derive(Debug)]
pub(in crate::config) struct Alike<T>(HashSet<Arc<T>>);

impl<T> Default for Alike<T> {
    fn default() -> Self {
        Self(HashSet::new())
    }
}

impl<T: Eq + Hash> Alike<T> {
    /// The first of the values that are equal to this one.
    pub(in crate::config) fn first(&mut self, made: T) -> Arc<T> {
        if let Some(known) = self.0.get(&made) {
            return Arc::clone(known);
        }
        let made = Arc::new(made);
        self.0.insert(Arc::clone(&made));
        made
    }
}
