//! The issuers that may have issued a request's token.

use std::sync::Arc;

use super::issuer::Issuer;
use super::spec::CredentialSource;
use crate::core::rule::IssuerIndex;

/// The issuers that a rule accepts, of those that are running. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Accepted<'i> {
    running: &'i [Arc<Issuer>],
    /// `None`: all that are running.
    only: Option<&'i [IssuerIndex]>,
    /// Those alone whose tokens come in this header.
    source: Option<&'i CredentialSource>,
}

impl<'i> Accepted<'i> {
    /// All of these.
    pub fn all(running: &'i [Arc<Issuer>]) -> Self {
        Self { running, only: None, source: None }
    }

    /// Those at these places. `None` where there is nothing at one of them.
    pub fn at(running: &'i [Arc<Issuer>], places: &'i [IssuerIndex]) -> Option<Self> {
        let there = places.iter().all(|place| place.0 < running.len());
        there.then_some(Self { running, only: Some(places), source: None })
    }

    /// Those of them whose tokens come in this header.
    pub(super) fn read_from(self, source: &'i CredentialSource) -> Self {
        Self { source: Some(source), ..self }
    }

    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = &'i Arc<Issuer>> + Clone {
        let (places, all) = match self.only {
            Some(places) => (places, &[][..]),
            None => (&[][..], self.running),
        };
        let chosen = places.iter().filter_map(move |place| self.running.get(place.0)).chain(all);
        chosen.filter(move |issuer| self.source.is_none_or(|source| issuer.spec().credential == *source))
    }

    /// Whether it is but one.
    pub(super) fn is_one(self) -> bool {
        self.iter().nth(1).is_none()
    }
}
