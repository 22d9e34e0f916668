//! One question that nothing depends on: what `tollgate doctor` asks.

use super::Introspector;
use super::answer::{self, Answer, MAX_BYTES};
use crate::provider::{CallError, Endpoint, Refusal};

/// What an introspection endpoint says of a text that is nobody's token.
#[derive(Clone, Debug)]
pub enum Trial {
    /// That it is not active, as it must.
    Inactive,
    /// That it is active: it would say so of anything.
    Active,
    /// Nothing that can be used.
    Failed {
        /// What a request would be denied for, in words.
        detail: String,
        /// Why there is no answer, where there is none.
        call: Option<CallError>,
        /// What the answer is, where there is one.
        refusal: Option<Refusal>,
    },
}

impl Introspector {
    /// Asks about a random text, past everything that is remembered, and leaves nothing behind.
    pub(in crate::authn) async fn try_out(&self) -> Trial {
        // Of letters that every alphabet has, and too long to be guessed.
        let text = format!("{}{:032x}{:032x}", self.how.filter.prefix, rand::random::<u128>(), rand::random::<u128>());
        let form = [("token", &*text), ("token_type_hint", "access_token")];
        let answered = match self.provider.call(Endpoint::Introspection, &self.how.client, &form, MAX_BYTES).await {
            Ok(answered) => answered,
            Err(error) => {
                return Trial::Failed { detail: error.to_string(), call: Some(error), refusal: None };
            }
        };
        match answer::read(&answered) {
            Ok(Answer::Inactive) => Trial::Inactive,
            Ok(Answer::Active(_)) => Trial::Active,
            Err(why) => Trial::Failed { detail: why.to_string(), call: None, refusal: Some(Refusal::of(&answered)) },
        }
    }
}
