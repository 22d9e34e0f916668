//! Where the bodies of calls come from.

use std::fmt;

use bytes::Bytes;

use super::call::Asks;
use crate::shuffle::Shuffle;

/// Gives the body of each call, or what else makes it one of its own.
pub trait Source: Send {
    /// The next body, a whole gRPC frame; `None` when there are no more, which ends a run.
    fn draw(&mut self) -> Option<Bytes>;

    /// What the calls ask for.
    fn asks(&self) -> Asks {
        Asks::Check
    }
}

/// What a source draws, for another kind of call.
#[derive(Clone, Debug)]
pub struct Asking<S>(pub S, pub Asks);

impl<S: Source> Source for Asking<S> {
    fn draw(&mut self) -> Option<Bytes> {
        self.0.draw()
    }

    fn asks(&self) -> Asks {
        self.1.clone()
    }
}

/// Bodies that were made beforehand, in an order that was shuffled once, again and again.
#[derive(Clone, Debug)]
pub struct Rotation {
    bodies: Vec<Bytes>,
    next: usize,
    again: bool,
}

impl Rotation {
    /// Again and again.
    pub fn shuffled(mut bodies: Vec<Bytes>) -> Self {
        Shuffle::new(7).shuffle(&mut bodies);
        Self { bodies, next: 0, again: true }
    }

    /// Each body once.
    pub const fn once(bodies: Vec<Bytes>) -> Self {
        Self { bodies, next: 0, again: false }
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.bodies.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.bodies.is_empty()
    }
}

impl Source for Rotation {
    fn draw(&mut self) -> Option<Bytes> {
        if self.next == self.bodies.len() && self.again {
            self.next = 0;
        }
        let body = self.bodies.get(self.next)?.clone();
        self.next += 1;
        Some(body)
    }
}

/// Bodies that are made when they are needed: for so many that they are not kept.
pub struct Made<F>(pub F);

impl<F> fmt::Debug for Made<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Made")
    }
}

impl<F: FnMut() -> Option<Bytes> + Send> Source for Made<F> {
    fn draw(&mut self) -> Option<Bytes> {
        (self.0)()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn bodies() -> Vec<Bytes> {
        (0..100u8).map(|n| Bytes::from(vec![n])).collect()
    }

    #[test]
    fn a_rotation_shows_each_body_before_any_again() {
        let mut rotation = Rotation::shuffled(bodies());
        for _ in 0..3 {
            let round: BTreeSet<Bytes> = (0..100).map(|_| rotation.draw().unwrap()).collect();
            assert_eq!(round.len(), 100);
        }
    }

    #[test]
    fn what_is_said_once_ends() {
        let mut once = Rotation::once(bodies());
        assert_eq!(std::iter::from_fn(|| once.draw()).count(), 100);
        assert!(Rotation::shuffled(Vec::new()).draw().is_none());
    }
}
