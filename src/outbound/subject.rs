//! The caller's token, verified, that is to be exchanged.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::authn::{AuthnError, Issuer};
use crate::clock::Timestamp;
use crate::core::principal::Principal;
use crate::core::reason::Reason;
use crate::secret::Secret;

/// Most actors that a token to be exchanged may name (RFC 8693 §4.1): each exchange on its way may add one.
pub const MAX_ACTORS: usize = 8;

/// The caller's token, verified, that is to be exchanged.
#[derive(Clone, Copy)]
pub struct Subject<'s> {
    /// The token as it was sent.
    pub token: &'s str,
    /// When it expires.
    pub expires_at: Timestamp,
    /// Who issued it, and can say whether it is still good.
    pub issuer: &'s Arc<Issuer>,
    /// Whom it speaks for.
    pub principal: &'s Principal,
}

impl fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("issuer", &self.issuer.spec().name).finish_non_exhaustive()
    }
}

impl Subject<'_> {
    /// Refuses a token that was handed on more often than [`MAX_ACTORS`] times. `may_act` (§4.4) is the provider's to
    /// judge.
    pub(super) fn check_actors(&self) -> Result<(), AuthnError> {
        let (mut actors, mut act) = (0, self.principal.claims().get("act"));
        while let Some(actor) = act {
            actors += 1;
            if actors > MAX_ACTORS {
                let detail = format!("the token names more than {MAX_ACTORS} actors");
                return Err(AuthnError::new(Reason::ActorChain, detail));
            }
            act = actor.get("act");
        }
        Ok(())
    }
}

/// A subject for work that outlives the request.
#[derive(Debug)]
pub(super) struct OwnSubject {
    pub(super) token: Secret,
    pub(super) expires_at: Timestamp,
    pub(super) issuer: Arc<Issuer>,
    /// `sub`, as the token says or introspection does.
    pub(super) sub: Option<Box<str>>,
}

impl From<Subject<'_>> for OwnSubject {
    fn from(subject: Subject<'_>) -> Self {
        Self {
            token: Secret::new(subject.token),
            expires_at: subject.expires_at,
            issuer: Arc::clone(subject.issuer),
            sub: subject.principal.claims().get("sub").and_then(Value::as_str).map(Into::into),
        }
    }
}
