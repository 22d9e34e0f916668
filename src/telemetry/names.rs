//! What is kept for each name of the configuration, found without a lock.

use std::hash::Hasher as _;
use std::iter::successors;
use std::sync::{Arc, OnceLock};

use rustc_hash::FxHasher;

/// A table by name that is only ever added to: names come from the configuration, and what is counted for them is kept
/// for as long as the process runs. Looking up takes no lock and writes nothing, so that threads never wait for each
/// other. Names are spread over `CHAINS` lists.
#[derive(Debug)]
pub(super) struct ByName<T, const CHAINS: usize> {
    chains: Box<[Chain<T>]>,
}

type Chain<T> = OnceLock<Box<Link<T>>>;

#[derive(Debug)]
struct Link<T> {
    /// Of the name: where it differs, the name need not be read.
    hash: u64,
    name: Arc<str>,
    next: Chain<T>,
    value: T,
}

impl<T, const CHAINS: usize> Default for ByName<T, CHAINS> {
    fn default() -> Self {
        Self { chains: (0..CHAINS).map(|_| Chain::new()).collect() }
    }
}

impl<T, const CHAINS: usize> ByName<T, CHAINS> {
    /// What is kept for `name`, made when it is asked for first, with the name to keep it by. `None` only of a table
    /// without chains.
    pub(super) fn get(&self, name: &str, make: impl Fn() -> (Arc<str>, T)) -> Option<&T> {
        let hash = hash(name);
        let mut chain = self.chains.get(usize::try_from(hash % CHAINS.max(1) as u64).unwrap_or_default())?;
        loop {
            let link = chain.get_or_init(|| {
                let (name, value) = make();
                Box::new(Link { hash, name, next: Chain::new(), value })
            });
            if link.hash == hash && *link.name == *name {
                return Some(&link.value);
            }
            chain = &link.next;
        }
    }

    /// What is kept for `name`, where anything is.
    pub(super) fn find(&self, name: &str) -> Option<&T> {
        let hash = hash(name);
        let first = self.chains.get(usize::try_from(hash % CHAINS.max(1) as u64).unwrap_or_default())?;
        let mut links = successors(first.get(), |link| link.next.get());
        links.find(|link| link.hash == hash && *link.name == *name).map(|link| &link.value)
    }

    /// All there is, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &T)> {
        let links = self.chains.iter().flat_map(|first| successors(first.get(), |link| link.next.get()));
        links.map(|link| (&link.name, &link.value))
    }
}

fn hash(name: &str) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(name.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn each_name_has_one_value_however_many_threads_ask_and_chains_there_are() {
        let (crowded, made) = (ByName::<String, 2>::default(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..100 {
                        let name = format!("name-{n}");
                        let make = || {
                            made.fetch_add(1, Ordering::Relaxed);
                            (name.as_str().into(), name.clone())
                        };
                        assert_eq!(crowded.get(&name, make), Some(&name));
                    }
                });
            }
        });
        assert_eq!(made.load(Ordering::Relaxed), 100);
        assert_eq!(crowded.find("name-7").map(String::as_str), Some("name-7"));
        assert_eq!(crowded.find("name-100"), None);
        assert_eq!(crowded.iter().filter(|(name, value)| name[..] == ***value).count(), 100);
    }
}
