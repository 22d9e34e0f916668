//! Section `issuers`.

use std::sync::Arc;

use super::{Surroundings, fetch, grants, headers, is_label, number, secs, time};
use crate::authn::spec::{
    Algorithm, ClaimMapping, CredentialSource, IssuerClaim, IssuerSpec, KeySource, TokenCacheSpec, TokenFormat,
};
use crate::config::file::issuer::{
    ClaimPathFile, ClaimPathsFile, ClaimsFile, IssuerClaimFile, IssuerFile, KidFile, TimesFile,
};
use crate::config::names::{did_you_mean, listed, shown};
use crate::config::place::At;
use crate::config::value::{ByShape, Time};
use crate::core::principal::ClaimPath;

/// Judges one issuer. `None` where errors leave nothing to go on with.
pub(in crate::config) fn build(
    at: &At<'_>,
    name: &str,
    file: &IssuerFile,
    around: Surroundings<'_>,
) -> Option<IssuerSpec> {
    if !is_label(name) {
        at.error("an issuer's name has 1 to 128 visible characters of ASCII");
    }
    let issuer = issuer_claim(at, file);
    let keys = at.required("keys", file.keys.as_ref(), "write one of `pem`, `jwks_file`, `jwks` and `discovery`");
    let keys =
        keys.and_then(|keys| fetch::keys(&at.key("keys"), keys, issuer.as_ref(), (at, file.outage.as_ref()), around));
    let algorithms = algorithms(&at.key("algorithms"), file.algorithms.as_deref());
    let pem = matches!(keys, Some(KeySource::Pem(_)));
    if pem && file.kid == Some(KidFile::Required) {
        at.key("kid").error("PEM keys have no ids for a token to name; leave it out, or use a JWKS");
    }
    if let Some(Time(leeway)) = file.leeway
        && leeway > secs(300)
    {
        at.key("leeway").error(format!(
            "`{}` would keep expired tokens in use for that long; at most `5m`",
            humantime::format_duration(leeway)
        ));
    }
    let rfc9068 = file.profile.is_some();
    if rfc9068 && file.issuer_claim.is_some() {
        at.key("profile").error("RFC 9068 tokens have an `iss`: this does not go with `issuer_claim: absent`");
    }
    if let Some(scope) = &file.wildcard_scope
        && !grants::is_scope(scope)
    {
        at.key("wildcard_scope").error("not a scope: visible ASCII without space, `\"` and `\\`");
    }
    let max_token = file.max_token_bytes.map(|size| size.0);
    let max_token = number(at, "max_token_bytes", max_token, 8 << 10, (256, 256 << 10));
    let max_lifetime = file.max_lifetime;
    Some(IssuerSpec {
        tokens: TokenFormat::Jwt,
        introspection: None,
        provider: None,
        ready_without_keys: false,
        name: name.into(),
        issuer: issuer?,
        kid_optional: pem || file.kid == Some(KidFile::Optional),
        keys: keys?,
        algorithms: algorithms?,
        times_in_strings: file.times == Some(TimesFile::String),
        leeway: file.leeway.map_or(secs(30), |Time(leeway)| leeway),
        max_lifetime: max_lifetime.map(|_| time(at, "max_lifetime", max_lifetime, secs(0), (secs(1), YEARS))),
        rfc9068,
        claims: {
            let at = at.key("claims");
            let claims = claims(&at, file.claims.as_ref())?;
            if file.wildcard_scope.is_some() {
                refuse_literal_wildcard(&at.key("extra"), &claims);
            }
            claims
        },
        wildcard_scope: file.wildcard_scope.as_deref().map(Into::into),
        credential: credential(at, file)?,
        max_token_bytes: usize::try_from(max_token).unwrap_or(8 << 10),
        cache: {
            let at = at.key("cache");
            let (max_age, max_bytes) = match &file.cache {
                Some(cache) => (cache.max_age, cache.max_bytes.map(|size| size.0)),
                None => (None, None),
            };
            TokenCacheSpec {
                max_age: time(&at, "max_age", max_age, secs(300), (secs(0), secs(86_400))),
                max_bytes: number(&at, "max_bytes", max_bytes, 64 << 20, (0, 64 << 30)),
            }
        },
    })
}

/// Longest lifetime that makes sense to write down.
const YEARS: std::time::Duration = secs(10 * 366 * 86_400);

fn issuer_claim(at: &At<'_>, file: &IssuerFile) -> Option<IssuerClaim> {
    match (&file.issuer, file.issuer_claim) {
        (Some(_), Some(IssuerClaimFile::Absent)) => {
            at.error("`issuer` and `issuer_claim` are both there; keep the one that its tokens live up to");
            None
        }
        (None, None) => {
            at.missing("`issuer` is missing: write what its tokens say in `iss`, or `issuer_claim: absent`");
            None
        }
        (None, Some(IssuerClaimFile::Absent)) => Some(IssuerClaim::Absent),
        (Some(text), None) => {
            if text.is_empty() || text.len() > 2048 || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
                at.key("issuer").error("expected what its tokens say in `iss`, without white space");
                return None;
            }
            Some(IssuerClaim::Exact(text.as_str().into()))
        }
    }
}

fn algorithms(at: &At<'_>, names: Option<&[String]>) -> Option<Vec<Algorithm>> {
    let Some(names) = names else { return Some(vec![Algorithm::RS256, Algorithm::ES256]) };
    if names.is_empty() {
        at.missing("the list is empty: no token could ever be accepted; leave it out for `[RS256, ES256]`");
    }
    let mut known = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let at = at.index(index);
        let all = Algorithm::ALL.map(Algorithm::as_str);
        match Algorithm::parse(name) {
            Some(algorithm) if known.contains(&algorithm) => at.error(format!("`{name}` is there twice")),
            Some(algorithm) => known.push(algorithm),
            None if name.to_ascii_uppercase().starts_with("HS") => at.error(format!(
                "`{}` is never accepted: a MAC's key is a secret shared with everybody who checks tokens, and public keys have been taken for it; there are {}",
                shown(name),
                listed(all)
            )),
            None if name.eq_ignore_ascii_case("none") => {
                at.error(format!("`{}` is never accepted: such tokens are not signed at all", shown(name)));
            }
            None => at.error(format!(
                "unknown algorithm `{}`{} there are {}",
                shown(name),
                did_you_mean(name, all),
                listed(all)
            )),
        }
    }
    (!known.is_empty()).then_some(known)
}

fn credential(at: &At<'_>, file: &IssuerFile) -> Option<CredentialSource> {
    let Some(credential) = &file.credential else { return Some(CredentialSource::Authorization) };
    let at = at.key("credential");
    let header = at.required("header", credential.header.as_ref(), "the header that holds the bare token")?;
    headers::credential(&at.key("header"), header).map(|name| CredentialSource::Header(name.into()))
}

fn claims(at: &At<'_>, file: Option<&ClaimsFile>) -> Option<ClaimMapping> {
    let none = ClaimsFile::default();
    let file = file.unwrap_or(&none);
    let one = |key: &str, path: &Option<ClaimPathFile>| match path {
        None => Some(None),
        Some(path) => claim_path(&at.key(key), path).map(Some),
    };
    let or = |key: &str, path: &Option<ClaimPathFile>, default: &str| match one(key, path)? {
        Some(path) => Some(path),
        None => ClaimPath::new([default]),
    };
    let several = |key: &str, paths: &Option<ClaimPathsFile>, defaults: &[&str]| match paths {
        None => Some(defaults.iter().filter_map(|name| ClaimPath::new([*name])).collect()),
        Some(paths) => claim_paths(&at.key(key), paths, key == "roles"),
    };
    let extra_at = at.key("extra");
    let mut extra: Vec<(Arc<str>, ClaimPath)> = Vec::new();
    for (name, path) in &file.extra.0 {
        let at = extra_at.key(name);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
        if name.is_empty() || !name.bytes().all(plain) {
            at.error("a mapped name has letters, digits, `_`, `-` and `.`, for `{claim.NAME}`");
        }
        extra.extend(claim_path(&at, path).map(|path| (name.as_str().into(), path)));
    }
    let subject = or("subject", &file.subject, "sub");
    let client = several("client", &file.client, &["client_id", "azp"]);
    let scopes = several("scopes", &file.scopes, &["scope", "scp", "scopes"]);
    let roles = several("roles", &file.roles, &[]);
    let (service, tenant) = (one("service", &file.service), one("tenant", &file.tenant));
    let audience = or("audience", &file.audience, "aud");
    Some(ClaimMapping {
        subject: subject?,
        client: client?,
        scopes: scopes?,
        roles: roles?,
        service: service?,
        tenant: tenant?,
        extra,
        audience: audience?,
    })
}

/// A wildcard scope is never injected as it is written: `{scopes}` says what it grants, a plain claim would not.
fn refuse_literal_wildcard(at: &At<'_>, claims: &ClaimMapping) {
    for (name, _) in claims.extra.iter().filter(|(_, path)| claims.scopes.contains(path)) {
        at.key(name).error(
            "holds the issuer's scopes, and so its `wildcard_scope`, which is never passed on as it is; inject `{scopes}` instead",
        );
    }
}

/// A claim's path.
pub(in crate::config) fn claim_path(at: &At<'_>, file: &ClaimPathFile) -> Option<ClaimPath> {
    let path = match file {
        ByShape::Scalar(text) => ClaimPath::dotted(text),
        ByShape::List(names) => ClaimPath::new(names.iter().map(String::as_str)),
        ByShape::Map(_) => None,
    };
    if path.is_none() {
        at.missing("expected a claim: `realm_access.roles`, or names taken whole: `[\"https://acme.com/roles\"]`");
    }
    path
}

fn claim_paths(at: &At<'_>, file: &ClaimPathsFile, joined: bool) -> Option<Vec<ClaimPath>> {
    let combined = match file {
        ByShape::Scalar(text) => return claim_path(at, &ByShape::Scalar(text.clone())).map(|path| vec![path]),
        ByShape::List(names) => return claim_path(at, &ByShape::List(names.clone())).map(|path| vec![path]),
        ByShape::Map(combined) => combined,
    };
    let (key, other) = if joined { ("all_of", "first_of") } else { ("first_of", "all_of") };
    let (wanted, unwanted) =
        if joined { (&combined.all_of, &combined.first_of) } else { (&combined.first_of, &combined.all_of) };
    if unwanted.is_some() {
        at.key(other).error(if joined {
            "roles from several claims are joined: write `all_of`"
        } else {
            "one claim counts, the first that is there: write `first_of`"
        });
        return None;
    }
    let Some(list) = wanted else {
        at.missing(format!("expected `{key}: […]`"));
        return None;
    };
    let at = at.key(key);
    if list.is_empty() {
        at.missing("the list is empty");
        return None;
    }
    let paths: Vec<_> = list.iter().enumerate().map(|(index, path)| claim_path(&at.index(index), path)).collect();
    paths.into_iter().collect()
}
