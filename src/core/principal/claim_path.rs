//! The way to a claim.

use std::fmt;

use serde_json::{Map, Value};

/// The way to a claim: one name a nesting level. Names are taken whole, so a name may be a URL or hold dots.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimPath(Vec<Box<str>>);

impl ClaimPath {
    /// From names, outermost first. `None` where there are none or one is empty.
    pub fn new<S: Into<Box<str>>>(names: impl IntoIterator<Item = S>) -> Option<Self> {
        let names: Vec<Box<str>> = names.into_iter().map(Into::into).collect();
        (!names.is_empty() && names.iter().all(|name| !name.is_empty())).then_some(Self(names))
    }

    /// From `realm_access.roles`: split at each dot.
    pub fn dotted(text: &str) -> Option<Self> {
        Self::new(text.split('.'))
    }

    /// To the top-level claim of this name.
    pub fn named(name: &str) -> Self {
        Self(vec![name.into()])
    }

    /// Whether it leads to the top-level claim of this name.
    pub fn is_just(&self, name: &str) -> bool {
        matches!(&*self.0, [only] if **only == *name)
    }

    /// Whether it leads to something that `other` leads through.
    pub fn is_above(&self, other: &Self) -> bool {
        other.0.len() > self.0.len() && other.0.starts_with(&self.0)
    }

    /// The claim in these claims, if it is there.
    pub fn find<'c>(&self, claims: &'c Map<String, Value>) -> Option<&'c Value> {
        let (first, rest) = self.0.split_first()?;
        rest.iter().try_fold(claims.get(&**first)?, |value, name| value.as_object()?.get(&**name))
    }

    /// Whether something other than an object is in the way, so that it cannot be told what the issuer meant to say.
    /// `null` is as good as nothing.
    pub fn is_blocked(&self, claims: &Map<String, Value>) -> bool {
        let Some((_, way)) = self.0.split_last() else { return false };
        let mut members = claims;
        for name in way {
            match members.get(&**name) {
                None | Some(Value::Null) => return false,
                Some(Value::Object(inner)) => members = inner,
                Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => return true,
            }
        }
        false
    }
}

impl fmt::Debug for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}
