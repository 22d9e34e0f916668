//! The registered claims (RFC 7519 §4.1) and what marks tokens of other kinds. Everything here is judged before a key is
//! looked up, and nothing of it is believed before the signature was verified.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::error::shown;
use super::spec::{IssuerClaim, IssuerSpec};
use super::trace::{Check, Failure, Trace, lazily};
use crate::clock::Timestamp;
use crate::core::caller::Thumbprint;
use crate::core::reason::Reason;

pub(super) type Claims = Map<String, Value>;

/// When a token may be used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validity {
    pub(super) expires_at: Option<Timestamp>,
    pub(super) not_before: Option<Timestamp>,
}

/// Whether there must be an `exp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    /// In every JWT (RFC 9068 §2.2).
    Required,
    /// Introspection answers may go without (RFC 7662 §2.2).
    Optional,
}

/// `iss`, if there is one.
pub(super) fn issuer(claims: &Claims) -> Result<Option<&str>, Failure> {
    match claims.get("iss") {
        None => Ok(None),
        Some(Value::String(iss)) => Ok(Some(iss)),
        Some(_) => Err(Check::Issuer.fails(Reason::TokenClaims, "`iss` is not a text")),
    }
}

/// Whether this issuer's tokens have this `iss`, compared as it is written (RFC 3986 §6.2.1).
pub(super) fn is_of(claim: &IssuerClaim, iss: Option<&str>) -> bool {
    match (claim, iss) {
        (IssuerClaim::Exact(want), Some(seen)) => **want == *seen,
        (IssuerClaim::Absent, None) => true,
        (IssuerClaim::Exact(_), None) | (IssuerClaim::Absent, Some(_)) => false,
    }
}

/// `exp`, `nbf`, `iat` and the time between them.
pub(super) fn check_times(
    spec: &IssuerSpec,
    claims: &Claims,
    now: Timestamp,
    expiry: Expiry,
    trace: &mut dyn Trace,
) -> Result<Validity, Failure> {
    let time = |check: Check, name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => numeric_date(value, spec.times_in_strings)
            .map(Some)
            .map_err(|why| check.fails(Reason::TokenClaims, format!("`{name}` {why}"))),
    };
    let leeway = spec.leeway;
    let exp = time(Check::Expiry, "exp")?;
    if exp.is_none() && expiry == Expiry::Required {
        return Err(Check::Expiry.fails(Reason::TokenClaims, "there is no `exp`"));
    }
    if exp.is_some_and(|exp| exp <= Timestamp::from_unix_seconds(0)) {
        return Err(Check::Expiry.fails(Reason::TokenClaims, "`exp` is not after 1970"));
    }
    if let Some(exp) = exp.filter(|exp| is_over(*exp, now, leeway)) {
        let detail = format!("`exp` is {exp:?}, it is {now:?}, the leeway is {leeway:?}");
        return Err(Check::Expiry.fails(Reason::TokenExpired, detail));
    }
    trace.passed(Check::Expiry, format_args!("{}, it is {now:?}", lazily(|| seen_time("exp", exp))));

    let nbf = time(Check::NotBefore, "nbf")?;
    if let Some(nbf) = nbf.filter(|nbf| now.saturating_add(leeway) < *nbf) {
        let detail = format!("`nbf` is {nbf:?}, it is {now:?}, the leeway is {leeway:?}");
        return Err(Check::NotBefore.fails(Reason::TokenNotYetValid, detail));
    }
    trace.passed(Check::NotBefore, format_args!("{}", lazily(|| seen_time("nbf", nbf))));

    let iat = time(Check::IssuedAt, "iat")?;
    if let Some(iat) = iat.filter(|iat| now.saturating_add(leeway) < *iat) {
        let detail = format!("`iat` is {iat:?}, it is {now:?}, the leeway is {leeway:?}");
        return Err(Check::IssuedAt.fails(Reason::TokenIssuedInFuture, detail));
    }
    trace.passed(Check::IssuedAt, format_args!("{}", lazily(|| seen_time("iat", iat))));

    let lifetime = exp.map(|exp| exp.since(iat.unwrap_or(now)));
    if let (Some(lifetime), Some(max)) = (lifetime, spec.max_lifetime)
        && lifetime > max
    {
        let from = if iat.is_some() { "`iat`" } else { "now" };
        let detail = format!("it lives {lifetime:?} from {from}, the maximum is {max:?}");
        return Err(Check::Lifetime.fails(Reason::TokenLifetime, detail));
    }
    match lifetime {
        Some(lifetime) => trace.passed(Check::Lifetime, format_args!("{lifetime:?}")),
        None => trace.passed(Check::Lifetime, format_args!("not told")),
    }
    Ok(Validity { expires_at: exp, not_before: nbf })
}

fn seen_time(name: &str, time: Option<Timestamp>) -> String {
    time.map_or_else(|| format!("no `{name}`"), |time| format!("`{name}` is {time:?}"))
}

/// Furthest time accepted, in seconds: the year 9999.
const MAX_SECONDS: i64 = 253_402_300_799;

/// Reads a NumericDate (RFC 7519 §2): seconds since 1970, with a fraction if need be; cut to milliseconds.
pub(super) fn numeric_date(value: &Value, in_strings: bool) -> Result<Timestamp, &'static str> {
    const OUT_OF_RANGE: &str = "is out of range";
    let millis = match value {
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(seconds), _) if (0..=MAX_SECONDS).contains(&seconds) => seconds.saturating_mul(1000),
            #[allow(
                clippy::cast_possible_truncation,
                reason = "the range was checked; the rest of the fraction is cut"
            )]
            (None, Some(seconds)) if (0.0..=MAX_SECONDS as f64).contains(&seconds) => (seconds * 1000.0).floor() as i64,
            _ => return Err(OUT_OF_RANGE),
        },
        Value::String(text) if in_strings => text_date(text).ok_or("is not a time in seconds, or is out of range")?,
        Value::String(_) => return Err("is a text, which this issuer's configuration does not allow"),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return Err("is not a number"),
    };
    Ok(Timestamp::from_unix_millis(millis))
}

/// Digits, and perhaps a dot and digits.
fn text_date(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let digits = |part: &str| (1..=18).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || fraction.is_some_and(|fraction| !digits(fraction)) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let thousandths = format!("{:0<3.3}", fraction.unwrap_or_default()).parse::<i64>().ok()?;
    (seconds <= MAX_SECONDS).then(|| seconds * 1000 + thousandths)
}

/// Payload `typ` of tokens that are not access tokens, lower case (Keycloak).
const OTHER_TYPES: [&str; 6] = ["id", "refresh", "offline", "logout", "initialaccesstoken", "registrationaccesstoken"];

/// `token_use` of such tokens, lower case (Cognito, Hydra).
const OTHER_USES: [&str; 4] = ["id", "id_token", "refresh", "refresh_token"];

/// Claims that only ID tokens (OpenID Connect Core §3.1.3.6, §3.3.2.11; FAPI 1.0) and security events (RFC 8417 §2.2) have.
const OTHER_CLAIMS: [&str; 4] = ["at_hash", "c_hash", "s_hash", "events"];

/// Refuses ID, refresh and log-out tokens as far as issuers mark them.
pub(super) fn check_kind(claims: &Claims) -> Result<(), Failure> {
    let refuse = |detail: String| Err(Check::Type.fails(Reason::TokenType, detail));
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if let Some(typ) = text("typ").filter(|typ| is_one_of(typ, &OTHER_TYPES)) {
        return refuse(format!("the claim `typ` is {}, which is not an access token's", shown(typ)));
    }
    if let Some(kind) = text("token_use").filter(|kind| is_one_of(kind, &OTHER_USES)) {
        return refuse(format!("the claim `token_use` is {}, which is not an access token's", shown(kind)));
    }
    match OTHER_CLAIMS.iter().find(|name| claims.contains_key(**name)) {
        Some(name) => refuse(format!("the claim `{name}` belongs to another kind of token")),
        None => Ok(()),
    }
}

fn is_one_of(text: &str, names: &[&str]) -> bool {
    names.iter().any(|name| name.eq_ignore_ascii_case(text))
}

/// The types of `sub` and of the audience, and the length of the chain of actors.
pub(super) fn check_types(spec: &IssuerSpec, claims: &Claims) -> Result<(), Failure> {
    let refuse = |detail: String| Err(Check::Claims.fails(Reason::TokenClaims, detail));
    if claims.get("sub").is_some_and(|sub| !sub.is_string()) {
        return refuse("`sub` is not a text".into());
    }
    let audiences = [("aud", claims.get("aud")), ("the audience", spec.claims.audience.find(claims))];
    for (name, value) in audiences {
        let fits = match value {
            None | Some(Value::String(_)) => true,
            Some(Value::Array(items)) => items.iter().all(Value::is_string),
            Some(_) => false,
        };
        if !fits {
            return refuse(format!("{name} is neither a text nor a list of texts"));
        }
    }
    check_actors(claims, "act")?;
    check_actors(claims, "may_act")
}

/// Most actors that a token may have passed through.
pub(super) const MAX_ACTORS: usize = 8;

/// Each actor is an object that may hold the one before it (RFC 8693 §4.1).
fn check_actors(claims: &Claims, name: &str) -> Result<(), Failure> {
    let (mut members, mut actors) = (claims, 0);
    while let Some(actor) = members.get(name) {
        let Value::Object(inner) = actor else {
            return Err(Check::Claims.fails(Reason::TokenClaims, format!("`{name}` is not an object")));
        };
        (members, actors) = (inner, actors + 1);
        if actors > MAX_ACTORS {
            let detail = format!("`{name}` is nested more than {MAX_ACTORS} deep");
            return Err(Check::Claims.fails(Reason::ActorChain, detail));
        }
    }
    Ok(())
}

/// The claims of RFC 9068 §2.2, where they are required.
pub(super) fn check_profile(spec: &IssuerSpec, claims: &Claims) -> Result<(), Failure> {
    let refuse = |detail: String| Err(Check::Claims.fails(Reason::TokenClaims, detail));
    if !spec.rfc9068 {
        return Ok(());
    }
    for name in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
        if !claims.contains_key(name) {
            return refuse(format!("there is no `{name}`, which RFC 9068 requires"));
        }
    }
    for name in ["sub", "client_id", "jti"] {
        if claims.get(name).and_then(Value::as_str).is_none_or(str::is_empty) {
            return refuse(format!("`{name}` is not a text, which RFC 9068 requires"));
        }
    }
    Ok(())
}

/// What the token is bound to. Only certificates are supported (RFC 8705 §3.1): a token bound to anything else, or to
/// something besides, would be accepted from whoever holds it.
pub(super) fn binding(claims: &Claims, trace: &mut dyn Trace) -> Result<Option<Thumbprint>, Failure> {
    let bound_to = thumbprint(claims)?;
    let binding = if bound_to.is_some() { "bound to a certificate" } else { "not bound" };
    trace.passed(Check::Binding, format_args!("{binding}"));
    Ok(bound_to)
}

fn thumbprint(claims: &Claims) -> Result<Option<Thumbprint>, Failure> {
    let Some(cnf) = claims.get("cnf") else { return Ok(None) };
    let refuse = |detail: &str| Check::Binding.fails(Reason::TokenBinding, detail);
    let members = cnf.as_object().ok_or_else(|| refuse("`cnf` is not an object"))?;
    let thumbprint = match (members.len(), members.get("x5t#S256")) {
        (1, Some(Value::String(thumbprint))) => thumbprint,
        _ => return Err(refuse("`cnf` does not hold `x5t#S256` alone; other proofs (DPoP) are not supported")),
    };
    let bytes = URL_SAFE_NO_PAD.decode(thumbprint).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(Some).ok_or_else(|| refuse("`x5t#S256` is not a SHA-256 digest in base64url"))
}

/// Whether a token of these times may be used at `now`, as [`check_times`] has it.
pub(super) fn is_begun(not_before: Option<Timestamp>, now: Timestamp, leeway: Duration) -> bool {
    not_before.is_none_or(|nbf| now.saturating_add(leeway) >= nbf)
}

/// Whether a token with this `exp` has expired, as [`check_times`] has it.
pub(super) fn is_over(expires_at: Timestamp, now: Timestamp, leeway: Duration) -> bool {
    now >= expires_at.saturating_add(leeway)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn numeric_dates_are_numbers_in_range() {
        for (value, millis) in [
            (json!(0), Some(0)),
            (json!(1_700_000_000), Some(1_700_000_000_000)),
            (json!(1_700_000_000.5), Some(1_700_000_000_500)),
            (json!(1.7e9), Some(1_700_000_000_000)),
            (json!(MAX_SECONDS), Some(MAX_SECONDS * 1000)),
            (json!(MAX_SECONDS + 1), None),
            (json!(292_277_026_596_i64), None),
            (json!(i64::MAX), None),
            (json!(u64::MAX), None),
            (json!(18_446_744_073_709_551_616.0), None),
            (json!(2.001e206), None),
            (json!(-1), None),
            (json!(-0.5), None),
            (json!("1700000000"), None),
            (json!(null), None),
            (json!(true), None),
            (json!([1]), None),
            (json!({}), None),
        ] {
            let got = numeric_date(&value, false).ok().map(Timestamp::as_unix_millis);
            assert_eq!(got, millis, "{value}");
        }
    }

    #[test]
    fn dates_in_strings_are_digits_with_a_fraction() {
        for (text, millis) in [
            ("1700000000", Some(1_700_000_000_000)),
            ("1700000000.5", Some(1_700_000_000_500)),
            ("1700000000.123456", Some(1_700_000_000_123)),
            ("1700000000.05", Some(1_700_000_000_050)),
            ("", None),
            (".5", None),
            ("5.", None),
            ("1.2.3", None),
            ("-1", None),
            ("+1", None),
            (" 1", None),
            ("1e9", None),
            ("0x10", None),
            ("١", None),
            ("999999999999999999", None),
            ("9999999999999999999999", None),
        ] {
            let got = numeric_date(&json!(text), true).ok().map(Timestamp::as_unix_millis);
            assert_eq!(got, millis, "{text}");
        }
        assert!(numeric_date(&json!(1), true).is_ok());
    }

    proptest! {
        #[test]
        fn no_number_makes_it_panic(number: f64, integer: i64, text in ".{0,40}") {
            for value in [json!(number), json!(integer), json!(text)] {
                if let Ok(time) = numeric_date(&value, true) {
                    prop_assert!((0..=MAX_SECONDS * 1000 + 999).contains(&time.as_unix_millis()));
                }
            }
        }
    }

    #[test]
    fn any_cnf_binds() {
        let run = |cnf: Value| thumbprint(json!({ "cnf": cnf }).as_object().unwrap()).map_err(|f| f.error.reason);
        let digest = URL_SAFE_NO_PAD.encode([7; 32]);
        assert_eq!(run(json!({ "x5t#S256": digest })), Ok(Some([7; 32])));
        for cnf in [
            json!(null),
            json!({}),
            json!([]),
            json!("x5t#S256"),
            json!({ "jkt": digest }),
            json!({ "x5t#S256": digest, "jkt": digest }),
            json!({ "x5t#S256": format!("{digest}=") }),
            json!({ "x5t#S256": URL_SAFE_NO_PAD.encode([7; 31]) }),
            json!({ "x5t#S256": [7] }),
            json!({ "kid": "a" }),
        ] {
            assert_eq!(run(cnf.clone()), Err(Reason::TokenBinding), "{cnf}");
        }
        assert_eq!(thumbprint(&Claims::new()), Ok(None));
    }

    #[test]
    fn row_200_chains_of_actors_end() {
        let chain = |name: &str, length: usize| {
            let act = (0..length).fold(json!({}), |inner, _| json!({ "sub": "actor", name: inner }));
            check_actors(act.as_object().unwrap(), name).map_err(|failure| failure.error.reason)
        };
        for name in ["act", "may_act"] {
            // The outermost object holds the claims.
            for length in 0..=MAX_ACTORS {
                assert_eq!(chain(name, length), Ok(()), "{length}");
            }
            assert_eq!(chain(name, MAX_ACTORS + 1), Err(Reason::ActorChain));
            assert_eq!(chain(name, 25), Err(Reason::ActorChain));
            for act in [json!(null), json!("a"), json!([{}]), json!({ name: 1 })] {
                let claims = json!({ name: act });
                let refused = check_actors(claims.as_object().unwrap(), name).unwrap_err();
                assert_eq!(refused.error.reason, Reason::TokenClaims, "{claims}");
            }
        }
    }
}
