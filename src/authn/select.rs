//! Which of the issuers that a rule accepts is to judge a token, by what it looks like alone.
//!
//! A text that decodes as a JOSE header with an algorithm of one of the issuers that issue JWTs is a JWT, and its `iss`
//! chooses among those issuers. It stays one whatever comes of it: a JWT that fails is never shown to an introspection
//! endpoint. Any other text belongs to the one issuer of opaque tokens whose filter it passes. Where two could have
//! issued a text, neither did.

use std::sync::Arc;

use super::accepted::Accepted;
use super::claims;
use super::issuer::Issuer;
use super::jose;
use super::jwt::{Token, unclaimed};
use super::spec::{OpaqueAlphabet, OpaqueFilter, TokenFormat};
use super::trace::{Check, Failure, Trace};
use crate::core::reason::Reason;

/// A token and who is to judge it.
#[derive(Debug)]
pub(super) enum Selected<'i, 't> {
    /// To be verified.
    Jwt(&'i Arc<Issuer>, Token<'t>),
    /// To be asked about.
    Opaque(&'i Arc<Issuer>),
}

/// Chooses the issuer. No other is tried afterwards, whatever it would say.
pub(super) fn select<'i, 't>(
    accepted: Accepted<'i>,
    token: &'t str,
    trace: &mut dyn Trace,
) -> Result<Selected<'i, 't>, Failure> {
    select_watched(accepted, token, trace, |_| ())
}

/// As [`select`]; tells of a JWT that could be read, even if nobody claims it.
pub(super) fn select_watched<'i, 't>(
    accepted: Accepted<'i>,
    token: &'t str,
    trace: &mut dyn Trace,
    read: impl FnOnce(&Token<'t>),
) -> Result<Selected<'i, 't>, Failure> {
    let max_bytes = max_token_bytes(accepted);
    if token.len() > max_bytes {
        let detail = format!("the token has {} bytes, the maximum is {max_bytes}", token.len());
        return Err(Check::Size.fails(Reason::TokenTooLarge, detail));
    }
    if !is_jwt(accepted, token) {
        match claiming_opaque(accepted, token)? {
            Some(issuer) => {
                trace.passed(Check::Size, format_args!("{} bytes, the maximum is {max_bytes}", token.len()));
                trace.passed(Check::Shape, format_args!("as the issuer's opaque tokens look"));
                return Ok(Selected::Opaque(issuer));
            }
            None if issuers_of_jwts(accepted).next().is_none() => {
                let detail = "it has not the length, the prefix or the alphabet of an accepted issuer's opaque tokens";
                return Err(Check::Shape.fails(Reason::TokenMalformed, detail));
            }
            // Nobody's: the checks of a JWT say what it lacks. They include its algorithm.
            None => {}
        }
    }
    let token = Token::decode(token, max_bytes, trace)?;
    read(&token);
    let issuer = claiming_jwt(accepted, &token)?;
    Ok(Selected::Jwt(issuer, token))
}

/// Whether [`select`] would choose this issuer for this token, of which it is known that the issuer accepted it as an
/// opaque one.
pub(super) fn is_opaque_of(accepted: Accepted<'_>, token: &str, issuer: &Arc<Issuer>) -> bool {
    !is_jwt(accepted, token)
        && claiming_opaque(accepted, token).is_ok_and(|found| found.is_some_and(|found| Arc::ptr_eq(found, issuer)))
}

/// Whether no other candidate's JWTs have the same `iss` as those of this one.
pub(super) fn is_only_one(accepted: Accepted<'_>, issuer: &Arc<Issuer>) -> bool {
    issuers_of_jwts(accepted).filter(|other| other.spec().issuer == issuer.spec().issuer).count() == 1
}

pub(super) fn max_token_bytes(accepted: Accepted<'_>) -> usize {
    accepted.iter().map(|issuer| issuer.spec().max_token_bytes).max().unwrap_or(0)
}

fn issuers_of_jwts(accepted: Accepted<'_>) -> impl Iterator<Item = &Arc<Issuer>> {
    accepted.iter().filter(|issuer| issuer.spec().tokens != TokenFormat::Opaque)
}

/// Whether every token is judged by its signature alone.
pub(super) fn are_signed(accepted: Accepted<'_>) -> bool {
    are_jwts(accepted) && !accepted.iter().any(|issuer| issuer.spec().introspects_jwts())
}

fn are_jwts(accepted: Accepted<'_>) -> bool {
    accepted.iter().all(|issuer| issuer.spec().tokens == TokenFormat::Jwt)
}

fn is_jwt(accepted: Accepted<'_>, token: &str) -> bool {
    if are_jwts(accepted) {
        return true;
    }
    let signed_with = |alg: &str| {
        issuers_of_jwts(accepted).any(|issuer| issuer.spec().algorithms.iter().any(|known| known.as_str() == alg))
    };
    issuers_of_jwts(accepted).next().is_some() && jose::is_jwt(token, signed_with)
}

/// The one candidate whose JWTs have this `iss`.
fn claiming_jwt<'i>(accepted: Accepted<'i>, token: &Token<'_>) -> Result<&'i Arc<Issuer>, Failure> {
    claiming_iss(accepted, token.issuer()?)
}

pub(super) fn claiming_iss<'i>(accepted: Accepted<'i>, iss: Option<&str>) -> Result<&'i Arc<Issuer>, Failure> {
    let mut claiming = issuers_of_jwts(accepted).filter(|issuer| claims::is_of(&issuer.spec().issuer, iss));
    match (claiming.next(), claiming.next()) {
        (Some(issuer), None) => Ok(issuer),
        (Some(_), Some(_)) => {
            Err(Check::Issuer.fails(Reason::UnknownIssuer, "more than one accepted issuer claims it"))
        }
        (None, _) => Err(unclaimed(issuers_of_jwts(accepted).map(|issuer| &issuer.spec().issuer), iss)),
    }
}

/// The one candidate whose opaque tokens look like this text.
fn claiming_opaque<'i>(accepted: Accepted<'i>, token: &str) -> Result<Option<&'i Arc<Issuer>>, Failure> {
    let fits = |issuer: &&'i Arc<Issuer>| {
        let spec = issuer.spec();
        let may_be_opaque = spec.tokens != TokenFormat::Jwt && token.len() <= spec.max_token_bytes;
        may_be_opaque && spec.introspection.as_ref().is_some_and(|how| is_like(&how.filter, token))
    };
    let mut claiming = accepted.iter().filter(fits);
    match (claiming.next(), claiming.next()) {
        (found, None) => Ok(found),
        (_, Some(_)) => {
            let detail = "more than one accepted issuer has opaque tokens that look like this";
            Err(Check::Shape.fails(Reason::UnknownIssuer, detail))
        }
    }
}

/// Whether a text looks like the tokens that a filter lets pass.
fn is_like(filter: &OpaqueFilter, token: &str) -> bool {
    let OpaqueFilter { min_bytes, max_bytes, prefix, alphabet } = filter;
    let Some(rest) = token.strip_prefix(&**prefix) else { return false };
    let rest = match alphabet {
        OpaqueAlphabet::Token68 => rest.trim_end_matches('='),
        OpaqueAlphabet::Base64Url | OpaqueAlphabet::Hex | OpaqueAlphabet::Alphanumeric => rest,
    };
    let is_letter = |byte: u8| match alphabet {
        OpaqueAlphabet::Token68 => byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte),
        OpaqueAlphabet::Base64Url => byte.is_ascii_alphanumeric() || b"-_".contains(&byte),
        OpaqueAlphabet::Hex => byte.is_ascii_hexdigit(),
        OpaqueAlphabet::Alphanumeric => byte.is_ascii_alphanumeric(),
    };
    (*min_bytes..=*max_bytes).contains(&token.len()) && !rest.is_empty() && rest.bytes().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::spec::tests::spec;
    use crate::authn::spec::{IntrospectionSpec, IssuerClaim, IssuerSpec, UnknownBudget};
    use crate::authn::store::Deps;
    use crate::authn::trace::Unwatched;
    use crate::clock::SystemClock;
    use crate::core::event::Silent;
    use crate::net::HttpClient;
    use crate::provider::spec::{ClientAuth, ClientSpec};
    use crate::secret::SecretSource;

    /// An issuer whose tokens look like this, that nobody calls.
    fn issuer(name: &str, tokens: TokenFormat, prefix: &str) -> Arc<Issuer> {
        let auth = ClientAuth::SecretBasic(SecretSource::Env("NOBODY_SETS_THIS".into()));
        let introspection = IntrospectionSpec {
            jwts: false,
            client: ClientSpec { id: "gate".into(), auth },
            active_for: std::time::Duration::from_secs(30),
            inactive_for: std::time::Duration::from_secs(5),
            filter: OpaqueFilter {
                min_bytes: 8,
                max_bytes: 1024,
                prefix: prefix.into(),
                alphabet: OpaqueAlphabet::Token68,
            },
            unknown: UnknownBudget { per_second: 1, burst: 1, max_in_flight: 1 },
            stale_for: std::time::Duration::ZERO,
        };
        let spec = IssuerSpec {
            name: name.into(),
            issuer: IssuerClaim::Exact(format!("https://{name}.example").into()),
            tokens,
            introspection: (tokens != TokenFormat::Jwt).then_some(introspection),
            ..spec()
        };
        let deps = Deps::new(HttpClient::new(), Arc::new(SystemClock), Arc::new(Silent));
        Issuer::start(spec, &deps).unwrap()
    }

    fn running(candidates: &[&Arc<Issuer>]) -> Vec<Arc<Issuer>> {
        candidates.iter().copied().map(Arc::clone).collect()
    }

    fn chosen(candidates: &[&Arc<Issuer>], token: &str) -> Result<String, Reason> {
        let running = running(candidates);
        match select(Accepted::all(&running), token, &mut Unwatched) {
            Ok(Selected::Jwt(issuer, _)) => Ok(format!("jwt of {}", issuer.spec().name)),
            Ok(Selected::Opaque(issuer)) => Ok(format!("text of {}", issuer.spec().name)),
            Err(failure) => Err(failure.error.reason),
        }
    }

    #[test]
    fn row_179_what_two_could_have_issued_neither_did() {
        let a = issuer("a", TokenFormat::Opaque, "");
        let b = issuer("b", TokenFormat::Both, "b_");
        let twin = issuer("twin", TokenFormat::Opaque, "b_");
        assert_eq!(chosen(&[&a], "b_12345678"), Ok("text of a".into()));
        assert_eq!(chosen(&[&b], "b_12345678"), Ok("text of b".into()));
        assert_eq!(chosen(&[&a, &b], "b_12345678"), Err(Reason::UnknownIssuer));
        assert_eq!(chosen(&[&b, &twin], "b_12345678"), Err(Reason::UnknownIssuer));
        assert_eq!(chosen(&[&a, &b], "c_12345678"), Ok("text of a".into()));
        // And so it is for what a cache knows.
        assert!(is_opaque_of(Accepted::all(&running(&[&a])), "b_12345678", &a));
        assert!(!is_opaque_of(Accepted::all(&running(&[&a, &b])), "b_12345678", &a));
        assert!(!is_opaque_of(Accepted::all(&running(&[&a, &b])), "c_12345678", &b));
    }

    #[test]
    fn row_179_a_jwt_belongs_to_who_issues_jwts() {
        let (jwts, both) = (issuer("jwts", TokenFormat::Jwt, ""), issuer("both", TokenFormat::Both, ""));
        let texts = issuer("texts", TokenFormat::Opaque, "");
        let part = |text: String| {
            use base64::Engine as _;
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
        };
        let jwt = |alg: &str, iss: &str| {
            let header = part(format!("{{\"alg\":\"{alg}\"}}"));
            format!("{header}.{}.c2ln", part(format!("{{\"iss\":\"https://{iss}.example\"}}")))
        };
        for (candidates, token, want) in [
            (vec![&jwts], jwt("RS256", "jwts"), Ok("jwt of jwts")),
            (vec![&jwts, &both], jwt("RS256", "both"), Ok("jwt of both")),
            (vec![&jwts, &texts], jwt("RS256", "jwts"), Ok("jwt of jwts")),
            (vec![&jwts, &texts], jwt("RS256", "texts"), Err(Reason::UnknownIssuer)),
            (vec![&both], jwt("RS256", "jwts"), Err(Reason::UnknownIssuer)),
            (vec![&texts], jwt("RS256", "jwts"), Ok("text of texts")),
            // Not an algorithm of theirs.
            (vec![&jwts], jwt("HS256", "jwts"), Ok("jwt of jwts")),
            (vec![&both], jwt("HS256", "both"), Ok("text of both")),
            (vec![&jwts, &texts], jwt("HS256", "jwts"), Ok("text of texts")),
            // A header is enough.
            (vec![&both], jwt("RS256", "both").split('.').next().unwrap().into(), Err(Reason::TokenMalformed)),
            (vec![&both], jwt("RS256", "both").replace(".c2ln", ".c2ln.x.y"), Err(Reason::TokenMalformed)),
            (vec![&texts, &both], "opaque-text".into(), Err(Reason::UnknownIssuer)),
            (vec![&jwts], "opaque-text".into(), Err(Reason::TokenMalformed)),
            (vec![&both], "short".into(), Err(Reason::TokenMalformed)),
            (vec![&both], "x".repeat(8193), Err(Reason::TokenTooLarge)),
        ] {
            assert_eq!(chosen(&candidates, &token), want.map(String::from), "{token}");
        }
    }

    #[test]
    fn filters_look_at_length_prefix_and_alphabet() {
        let fits = |prefix: &str, alphabet, token: &str| {
            is_like(&OpaqueFilter { min_bytes: 4, max_bytes: 12, prefix: prefix.into(), alphabet }, token)
        };
        use OpaqueAlphabet::{Alphanumeric, Base64Url, Hex, Token68};
        for (prefix, alphabet, token, want) in [
            ("", Token68, "abcd", true),
            ("", Token68, "abc", false),
            ("", Token68, "abcdefghijkl", true),
            ("", Token68, "abcdefghijklm", false),
            ("", Token68, "a-._~+/Z9==", true),
            ("", Token68, "====", false),
            ("", Token68, "ab=cd", false),
            ("", Token68, "ab&cd", false),
            ("", Token68, "ab%41", false),
            ("", Token68, "abcdé", false),
            ("", Base64Url, "ab-_", true),
            ("", Base64Url, "ab.c", false),
            ("", Base64Url, "abc=", false),
            ("", Hex, "09afAF", true),
            ("", Hex, "09ag", false),
            ("", Alphanumeric, "09az", true),
            ("", Alphanumeric, "09-z", false),
            ("at_", Hex, "at_09", true),
            ("at_", Hex, "at_", false),
            ("at_", Hex, "AT_09", false),
            ("at_", Hex, "x_at_09", false),
        ] {
            assert_eq!(fits(prefix, alphabet, token), want, "{prefix} {alphabet:?} {token}");
        }
    }
}
