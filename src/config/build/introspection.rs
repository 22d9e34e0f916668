//! Asking an issuer whether its tokens are still good.

use super::{Surroundings, client, number, secs, time};
use crate::authn::spec::{IntrospectionSpec, OpaqueAlphabet, OpaqueFilter, TokenFormat, UnknownBudget};
use crate::config::file::issuer::{IssuerFile, TokensFile};
use crate::config::file::provider::{IntrospectionFile, OpaqueAlphabetFile, OpaqueFile, UnknownFile};
use crate::config::place::At;

/// What the issuer's tokens look like, or an error where that does not fit its other keys.
pub(in crate::config) fn format(at: &At<'_>, file: &IssuerFile) -> TokenFormat {
    let format = match file.tokens {
        None | Some(TokensFile::Jwt) => TokenFormat::Jwt,
        Some(TokensFile::Opaque) => TokenFormat::Opaque,
        Some(TokensFile::Both) => TokenFormat::Both,
    };
    let missing = file.introspection.is_none() && at.key("introspection").node().is_none();
    let jwts = file.introspection.as_ref().map(|introspection| introspection.jwts.unwrap_or(false));
    let introspection = at.key("introspection");
    match format {
        TokenFormat::Jwt => {
            if jwts == Some(false) {
                introspection.error("no token would be introspected: write `jwts: true` to ask about JWTs, too, or `tokens: opaque` or `both` beside it");
            }
        }
        TokenFormat::Opaque => {
            let for_jwts = [
                ("keys", file.keys.is_some()),
                ("algorithms", file.algorithms.is_some()),
                ("kid", file.kid.is_some()),
                ("profile", file.profile.is_some()),
            ];
            for (key, _) in for_jwts.iter().filter(|(_, there)| *there) {
                at.key(key).error(format!(
                    "with `tokens: opaque` no signature is checked here; leave `{key}` out, or write `tokens: both`"
                ));
            }
            if jwts == Some(true) {
                introspection.key("jwts").error("with `tokens: opaque` every token is introspected; leave it out");
            }
        }
        TokenFormat::Both => {}
    }
    if missing && format != TokenFormat::Jwt {
        at.error("`introspection` is missing: opaque tokens mean something to their issuer alone, which must be asked");
    }
    format
}

/// Judges `introspection`. `at` is the issuer's place.
pub(in crate::config) fn build(
    at: &At<'_>,
    issuer: &IssuerFile,
    file: &IntrospectionFile,
    format: TokenFormat,
    max_token_bytes: u64,
    around: Surroundings<'_>,
) -> Option<IntrospectionSpec> {
    let outage_at = at.key("outage");
    let stale = issuer.outage.as_ref().and_then(|outage| outage.stale_introspection);
    let stale_for = time(&outage_at, "stale_introspection", stale, secs(0), (secs(0), secs(86_400)));
    let at = at.key("introspection");
    let client = at.required("client", file.client.as_ref(), "introspection is for clients that the issuer knows");
    let client = client.and_then(|file| client::build(&at.key("client"), file, around));
    let cache_at = at.key("cache");
    let (active, inactive) = file.cache.as_ref().map_or((None, None), |cache| (cache.active, cache.inactive));
    let active_for = time(&cache_at, "active", active, secs(30), (secs(0), secs(86_400)));
    let inactive_for = time(&cache_at, "inactive", inactive, secs(5), (secs(0), secs(300)));
    if format == TokenFormat::Jwt {
        let opaque = [("opaque", file.opaque.is_some()), ("unknown", file.unknown.is_some())];
        for (key, _) in opaque.iter().filter(|(_, there)| *there) {
            at.key(key).error("is about opaque tokens, which this issuer has not: its `tokens` are `jwt`");
        }
    }
    Some(IntrospectionSpec {
        jwts: file.jwts.unwrap_or(false),
        client: client?,
        active_for,
        inactive_for,
        filter: filter(&at.key("opaque"), file.opaque.as_ref(), max_token_bytes)?,
        unknown: unknown(&at.key("unknown"), file.unknown.as_ref()),
        stale_for,
    })
}

fn filter(at: &At<'_>, file: Option<&OpaqueFile>, max_token_bytes: u64) -> Option<OpaqueFilter> {
    let none = OpaqueFile::default();
    let file = file.unwrap_or(&none);
    let before = at.sink().count();
    let prefix = file.prefix.as_deref().unwrap_or_default();
    // RFC 6750 §2.1: what a bearer token is made of.
    let of_token = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b);
    if file.prefix.is_some() && (prefix.is_empty() || prefix.len() > 128 || !prefix.bytes().all(of_token)) {
        at.key("prefix").error("expected 1 to 128 letters, digits and `-._~+/`; leave it out where there is none");
    }
    let most = max_token_bytes.min(1024);
    let max = number(at, "max_bytes", file.max_bytes.map(|size| size.0), most, (1, 256 << 10));
    if file.max_bytes.is_some() && max > max_token_bytes {
        at.key("max_bytes").error(format!(
            "is more than the issuer's `max_token_bytes`, which is {max_token_bytes}; longer tokens are not looked at"
        ));
    }
    let min = number(at, "min_bytes", file.min_bytes.map(|size| size.0), max.min(16), (1, 256 << 10));
    if min > max {
        at.key("min_bytes").error(format!("is more than `max_bytes`, which is {max}"));
    } else if u64::try_from(prefix.len()).unwrap_or(u64::MAX) >= max {
        at.key("prefix").error(format!("leaves no room for a token: `max_bytes` is {max}"));
    }
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    (at.sink().count() == before).then(|| OpaqueFilter {
        min_bytes: size(min),
        max_bytes: size(max),
        prefix: prefix.into(),
        alphabet: match file.alphabet {
            None | Some(OpaqueAlphabetFile::Token68) => OpaqueAlphabet::Token68,
            Some(OpaqueAlphabetFile::Base64Url) => OpaqueAlphabet::Base64Url,
            Some(OpaqueAlphabetFile::Hex) => OpaqueAlphabet::Hex,
            Some(OpaqueAlphabetFile::Alphanumeric) => OpaqueAlphabet::Alphanumeric,
        },
    })
}

fn unknown(at: &At<'_>, file: Option<&UnknownFile>) -> UnknownBudget {
    let none = UnknownFile::default();
    let file = file.unwrap_or(&none);
    let count = |key: &str, value: Option<u64>, default: u64| {
        u32::try_from(number(at, key, value, default, (1, 1_000_000))).unwrap_or(u32::MAX)
    };
    UnknownBudget {
        per_second: count("per_second", file.per_second, 50),
        burst: count("burst", file.burst, 100),
        max_in_flight: usize::try_from(count("max_in_flight", file.max_in_flight, 16)).unwrap_or(16),
    }
}
