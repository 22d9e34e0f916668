//! Where identity is found in an issuer's claims.

use std::sync::Arc;

use super::preset::preset;
use crate::authn::spec::ClaimMapping;
use crate::config::file::issuer::{ClaimPathFile, ClaimPathsFile, ClaimsFile, PresetFile};
use crate::config::place::At;
use crate::config::value::{ByShape, Never};
use crate::core::principal::ClaimPath;

/// Judges `claims`: a preset's name, or what replaces the preset's or the default's paths.
pub(in crate::config) fn build(
    at: &At<'_>,
    file: Option<&ByShape<PresetFile, Never, ClaimsFile>>,
) -> Option<ClaimMapping> {
    match file {
        None | Some(ByShape::List(_)) => preset(None),
        Some(ByShape::Scalar(name)) => preset(Some(*name)),
        Some(ByShape::Map(file)) => claims(at, file),
    }
}

fn claims(at: &At<'_>, file: &ClaimsFile) -> Option<ClaimMapping> {
    let base = preset(file.preset)?;
    let one = |key: &str, path: &Option<ClaimPathFile>, of_base: &ClaimPath| match path {
        None => Some(of_base.clone()),
        Some(path) => claim_path(&at.key(key), path),
    };
    let maybe = |key: &str, path: &Option<ClaimPathFile>, of_base: &Option<ClaimPath>| match path {
        None => Some(of_base.clone()),
        Some(path) => claim_path(&at.key(key), path).map(Some),
    };
    let several = |key: &str, paths: &Option<ClaimPathsFile>, of_base: &[ClaimPath]| match paths {
        None => Some(of_base.to_vec()),
        Some(paths) => claim_paths(&at.key(key), paths, key == "roles"),
    };
    let extra_at = at.key("extra");
    let mut extra: Vec<(Arc<str>, ClaimPath)> = base.extra;
    for (name, path) in &file.extra.0 {
        let at = extra_at.key(name);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
        if name.is_empty() || !name.bytes().all(plain) {
            at.error("a mapped name has letters, digits, `_`, `-` and `.`, for `{claim.NAME}`");
        }
        extra.retain(|(known, _)| **known != **name);
        extra.extend(claim_path(&at, path).map(|path| (name.as_str().into(), path)));
    }
    let subject = one("subject", &file.subject, &base.subject);
    let client = several("client", &file.client, &base.client);
    let scopes = several("scopes", &file.scopes, &base.scopes);
    let mut roles = several("roles", &file.roles, &base.roles);
    if let (Some(of_clients), Some(roles)) = (client_roles(at, file), &mut roles) {
        roles.extend(of_clients);
    }
    let service = maybe("service", &file.service, &base.service);
    let tenant = maybe("tenant", &file.tenant, &base.tenant);
    let audience = one("audience", &file.audience, &base.audience);
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

/// Keycloak keeps a client's roles under the client's name, which may hold dots and slashes.
fn client_roles(at: &At<'_>, file: &ClaimsFile) -> Option<Vec<ClaimPath>> {
    let clients = file.client_roles.as_ref()?;
    let at = at.key("client_roles");
    if file.preset != Some(PresetFile::Keycloak) {
        at.error("is of use with `preset: keycloak` alone; elsewhere write `roles: { all_of: [...] }`");
    } else if file.roles.is_some() {
        at.error("`roles` replaces the preset's; name the clients' roles there, too: `[resource_access, NAME, roles]`");
    }
    let names: &[String] = match clients {
        ByShape::Scalar(name) => std::slice::from_ref(name),
        ByShape::List(names) => names,
        ByShape::Map(_) => &[],
    };
    if names.is_empty() || names.iter().any(String::is_empty) {
        at.missing("expected the names of clients, as they stand under `resource_access`");
    }
    Some(names.iter().filter_map(|name| ClaimPath::new(["resource_access", name, "roles"])).collect())
}

/// A wildcard scope is never injected as it is written: `{scopes}` says what it grants, a plain claim would not.
pub(in crate::config) fn refuse_literal_wildcard(at: &At<'_>, claims: &ClaimMapping) {
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
