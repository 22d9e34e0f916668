//! From what an issuer says of a token to a token that is known to be good: the checks of a JWT, on the answer, on its
//! own or merged with the token's claims.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::merge::{self, PROTOCOL};
use crate::authn::claims::{self, Claims, Expiry};
use crate::authn::error::shown;
use crate::authn::jwt::unclaimed;
use crate::authn::spec::IssuerSpec;
use crate::authn::trace::{Check, Failure, Trace, lazily};
use crate::authn::verified::{Evidence, Signed, Verified};
use crate::clock::Timestamp;
use crate::core::principal::Origin;
use crate::core::reason::Reason;

/// Judges what was said of a token at `now`; `own` is what a JWT said before. `active_for` is how long an answer without
/// `exp` counts.
pub(in crate::authn) fn judge(
    (spec, origin): (&IssuerSpec, &Arc<Origin>),
    own: Option<&Signed>,
    answer: Claims,
    active_for: Duration,
    now: Timestamp,
    trace: &mut dyn Trace,
) -> Result<Verified, Failure> {
    check_token_type(&answer)?;
    // By itself as well: what a JWT says of its kind must not hide what its issuer says.
    claims::check_kind(&answer)?;
    let merged = match own {
        Some(own) => {
            let answered = answer.len();
            let merged = merge::merge(spec, &own.claims, answer)?;
            let added = merged.len().saturating_sub(own.claims.len());
            trace.passed(Check::Merge, format_args!("{answered} claims, {added} of them added"));
            merged
        }
        None => {
            let mut claims = answer;
            claims.retain(|name, _| !PROTOCOL.contains(&&**name));
            claims
        }
    };
    let iss = claims::issuer(&merged)?;
    if iss.is_some() && !claims::is_of(&spec.issuer, iss) {
        return Err(unclaimed(std::iter::once(&spec.issuer), iss));
    }
    trace.passed(Check::Issuer, format_args!("{}", lazily(|| iss.map_or_else(|| "no `iss`".to_owned(), shown))));
    let expiry = if own.is_some() { Expiry::Required } else { Expiry::Optional };
    let validity = claims::check_times(spec, &merged, now, expiry, trace)?;
    claims::check_kind(&merged)?;
    if own.is_none() {
        trace.passed(Check::Type, format_args!("not marked as another than an access token"));
    }
    claims::check_types(spec, &merged)?;
    if own.is_some() {
        claims::check_profile(spec, &merged)?;
    }
    trace.passed(Check::Claims, format_args!("`sub` and the audience have their types"));
    let bound_to = claims::binding(&merged, trace)?;
    let key = own.map(|own| Arc::clone(&own.key));
    let evidence = Evidence::Answer { key, until: now.saturating_add(active_for) };
    Ok(Verified::new((spec, origin), own.map(|own| &own.claims), merged, validity, bound_to, evidence))
}

/// The type of an RFC 6749 §7.1 answer; issuers also say here what kind of token it is. A token that is to be used with
/// a proof is not accepted from whoever holds it.
fn check_token_type(answer: &Claims) -> Result<(), Failure> {
    const ACCESS_TOKENS: [&str; 5] =
        ["bearer", "access_token", "at+jwt", "jwt", "urn:ietf:params:oauth:token-type:access_token"];
    let refuse = |reason, detail: String| Err(Check::Type.fails(reason, detail));
    match answer.get("token_type") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(kind)) => match &*kind.to_ascii_lowercase() {
            kind if ACCESS_TOKENS.contains(&kind) => Ok(()),
            "dpop" | "pop" | "mac" => {
                let detail =
                    format!("the issuer says that it is a {} token: such proofs are not supported", shown(kind));
                refuse(Reason::TokenBinding, detail)
            }
            _ => refuse(Reason::TokenType, format!("the issuer says that its `token_type` is {}", shown(kind))),
        },
        Some(_) => refuse(Reason::TokenType, "the `token_type` that the issuer names is not a text".to_owned()),
    }
}
