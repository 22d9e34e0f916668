//! The checks of a token by name, and what watches them. `tollgate token` shows the same run that decides on
//! requests: an observer is told of each check that passed, and the failure names its own.

use std::fmt;

use super::error::AuthnError;
use crate::core::reason::Reason;

macro_rules! checks {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal;)+) => {
        /// One check of a token. The order is that in which they run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Check { $($(#[doc = $doc])+ $name,)+ }

        impl Check {
            /// Every check, in the order in which they run.
            pub const ALL: &'static [Check] = &[$(Check::$name,)+];

            /// Its name for people.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

checks! {
    /// The token's length.
    Size = "size";
    /// Length, prefix and alphabet of an opaque token.
    Shape = "opaque form";
    /// Three parts of strict base64url (RFC 7515 §7.1).
    Form = "compact form";
    /// The JOSE header: JSON without duplicates, nothing that is not supported.
    Header = "header";
    /// The claims: JSON without duplicates.
    Payload = "claims set";
    /// `iss`.
    Issuer = "issuer";
    /// `alg`.
    Algorithm = "algorithm";
    /// `kid` is there where it must be.
    KeyId = "key id";
    /// `exp`.
    Expiry = "expiry";
    /// `nbf`.
    NotBefore = "not before";
    /// `iat`.
    IssuedAt = "issued at";
    /// The time from `iat` to `exp`.
    Lifetime = "lifetime";
    /// The header's `typ`, and claims that mark other kinds of token.
    Type = "token type";
    /// The types of `sub` and `aud`, and the RFC 9068 claims where they are required.
    Claims = "claims";
    /// The form of `cnf`.
    Binding = "binding";
    /// A key of the issuer that the token names and that fits its algorithm.
    Key = "key";
    /// The signature.
    Signature = "signature";
    /// What the issuer says of it (RFC 7662).
    Introspection = "introspection";
    /// That says nothing else than the token does.
    Merge = "agreement";
    /// Proof that the sender holds what `cnf` names.
    Possession = "proof of possession";
}

/// Which checks there are for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// A JWT that is judged by itself.
    Jwt,
    /// A JWT whose issuer is asked as well.
    IntrospectedJwt,
    /// A text that only its issuer understands.
    Opaque,
    /// Claims alone, where there is no token.
    ClaimsAlone,
}

impl Check {
    fn is_on(self, course: Course) -> bool {
        match self {
            Self::Shape => course == Course::Opaque,
            Self::Form | Self::Header | Self::Payload | Self::Algorithm | Self::KeyId | Self::Key | Self::Signature => {
                matches!(course, Course::Jwt | Course::IntrospectedJwt)
            }
            Self::Introspection => matches!(course, Course::IntrospectedJwt | Course::Opaque),
            Self::Merge => course == Course::IntrospectedJwt,
            Self::Size => course != Course::ClaimsAlone,
            Self::Issuer
            | Self::Expiry
            | Self::NotBefore
            | Self::IssuedAt
            | Self::Lifetime
            | Self::Type
            | Self::Claims
            | Self::Binding
            | Self::Possession => true,
        }
    }

    pub(crate) fn fails(self, reason: Reason, detail: impl Into<String>) -> Failure {
        Failure { check: self, error: AuthnError::new(reason, detail) }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A check that a token did not pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{check}: {error}")]
pub struct Failure {
    /// Which.
    pub check: Check,
    /// Why.
    pub error: AuthnError,
}

impl From<Failure> for AuthnError {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// Is told of the checks that a token passes. The detail is only put into words by observers that ask for it.
pub trait Trace: Send {
    /// Called once for each check that passed.
    fn passed(&mut self, check: Check, detail: fmt::Arguments<'_>);
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Trace for Unwatched {
    fn passed(&mut self, _: Check, _: fmt::Arguments<'_>) {}
}

/// A detail that is only put together where somebody asks for it.
pub(super) fn lazily(text: impl Fn() -> String) -> impl fmt::Display {
    Lazily(text)
}

struct Lazily<F>(F);

impl<F: Fn() -> String> fmt::Display for Lazily<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0())
    }
}

/// How one check of a report ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Passed; with what was seen.
    Passed(String),
    /// Failed, and ended the run.
    Failed(AuthnError),
    /// Did not run, since an earlier one failed.
    NotReached,
}

/// Writes down the checks that passed.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Vec<(Check, String)>);

impl Trace for Recorder {
    fn passed(&mut self, check: Check, detail: fmt::Arguments<'_>) {
        self.0.retain(|(known, _)| *known != check);
        self.0.push((check, detail.to_string()));
    }
}

impl Recorder {
    /// Every check of this course with its outcome, in the order in which they run.
    pub(crate) fn steps(mut self, course: Course, failure: Option<&Failure>) -> Vec<(Check, Outcome)> {
        let mut outcome = |check: Check| match failure {
            Some(failure) if failure.check == check => Outcome::Failed(failure.error.clone()),
            _ => match self.0.iter_mut().find(|(passed, _)| *passed == check) {
                Some((_, detail)) => Outcome::Passed(std::mem::take(detail)),
                None => Outcome::NotReached,
            },
        };
        Check::ALL.iter().filter(|check| check.is_on(course)).map(|check| (*check, outcome(*check))).collect()
    }
}
