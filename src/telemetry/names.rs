//! What is kept for each name of the configuration, found without a lock.

use std::hash::Hasher as _;
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
    name: Arc<str>,
    value: T,
    next: Chain<T>,
}

impl<T, const CHAINS: usize> Default for ByName<T, CHAINS> {
    fn default() -> Self {
        Self { chains: (0..CHAINS).map(|_| Chain::new()).collect() }
    }
}

impl<T, const CHAINS: usize> ByName<T, CHAINS> {
    /// What is kept for `name`, made when it is asked for first. `None` only of a table without chains.
    pub(super) fn get(&self, name: &str, make: impl Fn(&Arc<str>) -> T) -> Option<&T> {
        let mut chain = self.chains.get(place(name) % CHAINS.max(1))?;
        loop {
            let link = chain.get_or_init(|| {
                let name: Arc<str> = name.into();
                Box::new(Link { value: make(&name), name, next: Chain::new() })
            });
            if *link.name == *name {
                return Some(&link.value);
            }
            chain = &link.next;
        }
    }
}

fn place(name: &str) -> usize {
    let mut hasher = FxHasher::default();
    hasher.write(name.as_bytes());
    hasher.finish() as usize
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn each_name_has_one_value_however_many_threads_ask_and_chains_there_are() {
        let (crowded, made) = (ByName::<String, 2>::default(), AtomicUsize::new(0));
        let make = |name: &Arc<str>| {
            made.fetch_add(1, Ordering::Relaxed);
            name.to_string()
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..100 {
                        let name = format!("name-{n}");
                        assert_eq!(crowded.get(&name, make), Some(&name));
                    }
                });
            }
        });
        assert_eq!(made.load(Ordering::Relaxed), 100);
    }
}
