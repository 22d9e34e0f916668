//! Section `issuers`.

use super::provider::OfIssuer;
use super::{
    Surroundings, claims, client, fetch, grants, headers, introspection, is_label, number, provider, secs, time,
};
use crate::authn::spec::{
    Algorithm, CredentialSource, IssuerClaim, IssuerSpec, KeptClaims, KeySource, TokenCacheSpec, TokenFormat,
};
use crate::config::file::issuer::{ColdStartFile, IssuerClaimFile, IssuerFile, KidFile, TimesFile};
use crate::config::file::provider::ProviderFile;
use crate::config::names::{did_you_mean, listed, shown};
use crate::config::place::At;
use crate::config::value::Time;
use crate::provider::spec::ProviderSpec;

/// An issuer without errors.
#[derive(Debug)]
pub(in crate::config) struct Judged {
    pub(in crate::config) spec: IssuerSpec,
    /// The issuer's endpoints, where nothing but a token might ask for them.
    pub(in crate::config) spare: Option<ProviderSpec>,
}

/// Judges one issuer. `None` where errors leave nothing to go on with.
pub(in crate::config) fn build(at: &At<'_>, name: &str, file: &IssuerFile, around: Surroundings<'_>) -> Option<Judged> {
    if !is_label(name) {
        at.error("an issuer's name has 1 to 128 visible characters of ASCII");
    }
    let issuer = issuer_claim(at, file);
    let format = introspection::format(at, file);
    let keys = keys(at, file, issuer.as_ref(), format, around);
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
    let introspection = file.introspection.as_ref();
    let introspection = introspection.map(|asked| introspection::build(at, file, asked, format, max_token, around));
    let provider = endpoints(at, name, file, OfIssuer { claim: issuer.as_ref(), keys: keys.as_ref() }, around);
    outage(&at.key("outage"), file, keys.as_ref());
    if let (Some(Some(asked)), Some(Some(provider))) = (&introspection, &provider) {
        let place = at.key("introspection");
        client::expect_tls(&place.key("client"), &asked.client, provider.introspection_endpoint.as_ref());
    }
    let spec = IssuerSpec {
        tokens: format,
        introspection: match introspection {
            None => None,
            Some(introspection) => Some(introspection?),
        },
        provider: None,
        ready_without_keys: file.outage.as_ref().is_some_and(|of| of.cold_start == Some(ColdStartFile::Serve)),
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
            let claims = claims::build(&at, file.claims.as_ref())?;
            if file.wildcard_scope.is_some() {
                claims::refuse_literal_wildcard(&at.key("extra"), &claims);
            }
            claims
        },
        // Settled when the rules are known.
        kept: KeptClaims::All,
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
    };
    let provider = match provider {
        None => None,
        Some(provider) => Some(provider?),
    };
    Some(match file.provider.is_some() || file.introspection.is_some() {
        true => Judged { spec: IssuerSpec { provider, ..spec }, spare: None },
        false => Judged { spec, spare: provider },
    })
}

fn keys(
    at: &At<'_>,
    file: &IssuerFile,
    issuer: Option<&IssuerClaim>,
    format: TokenFormat,
    around: Surroundings<'_>,
) -> Option<KeySource> {
    if format == TokenFormat::Opaque {
        return Some(KeySource::None);
    }
    // Tokens that may be opaque, but for a slip, need no keys.
    if file.tokens.is_none() && file.keys.is_none() && at.key("tokens").node().is_some() {
        return None;
    }
    let keys = at.required("keys", file.keys.as_ref(), "write one of `pem`, `jwks_file`, `jwks` and `discovery`")?;
    fetch::keys(&at.key("keys"), keys, issuer, (at, file.outage.as_ref()), around)
}

/// The issuer's endpoints, where anything says where they are or asks for them. `Some(None)`, and an error, where they
/// cannot be used.
fn endpoints(
    at: &At<'_>,
    name: &str,
    file: &IssuerFile,
    issuer: OfIssuer<'_>,
    around: Surroundings<'_>,
) -> Option<Option<ProviderSpec>> {
    let discovered = matches!(issuer.keys, Some(KeySource::Discovery { .. }));
    if file.provider.is_none() && file.introspection.is_none() && !discovered {
        return None;
    }
    let none = ProviderFile::default();
    let place = at.key("provider");
    let provider = provider::of_issuer(&place, name, file.provider.as_ref().unwrap_or(&none), issuer, around);
    if let Some(provider) = &provider
        && provider.metadata.is_none()
    {
        if file.introspection.is_some() && provider.introspection_endpoint.is_none() {
            let place = if place.node().is_some() { place } else { at.key("introspection") };
            place.missing("nobody says where tokens are introspected: write `introspection_endpoint` under `provider`, or `discovery: true` there or under `keys`");
        } else if provider.introspection_endpoint.is_none() && provider.token_endpoint.is_none() {
            place.missing("no endpoint: write `introspection_endpoint`, `token_endpoint` or `discovery: true`");
        }
    }
    Some(provider)
}

/// Keys of `outage` that would have no effect.
fn outage(at: &At<'_>, file: &IssuerFile, keys: Option<&KeySource>) {
    let Some(outage) = &file.outage else { return };
    if outage.stale_introspection.is_some() && file.introspection.is_none() {
        at.key("stale_introspection").error("is of use with `introspection` alone");
    }
    let fetched = match keys {
        None | Some(KeySource::JwksUrl { .. } | KeySource::Discovery { .. }) => true,
        Some(KeySource::None | KeySource::Pem(_) | KeySource::JwksFile(_)) => false,
    };
    if outage.cold_start.is_some() && !fetched {
        at.key("cold_start").error("is of use with `jwks` and `discovery` alone: no other keys are waited for");
    }
    if outage.stale_keys.is_some() && matches!(keys, Some(KeySource::None)) {
        at.key("stale_keys").error("this issuer has no keys: its tokens are opaque");
    }
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
