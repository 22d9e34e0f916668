//! Where kinds of issuers put what. A path that leads nowhere yields no value, so a preset may name more than one
//! issuer sends.

use crate::authn::spec::ClaimMapping;
use crate::config::file::issuer::PresetFile;
use crate::core::principal::ClaimPath;

/// A mapping as a table: dotted paths, but for those under `kubernetes.io`.
struct Preset {
    subject: &'static str,
    client: &'static [&'static str],
    scopes: &'static [&'static str],
    roles: &'static [&'static str],
    service: &'static [&'static str],
    tenant: &'static [&'static str],
    extra: &'static [(&'static str, &'static [&'static str])],
}

/// What holds where nothing is said.
const DEFAULT: Preset = Preset {
    subject: "sub",
    client: &["client_id", "azp"],
    scopes: &["scope", "scp", "scopes"],
    roles: &[],
    service: &[],
    tenant: &[],
    extra: &[],
};

/// `aud` is the id of the client that obtained the token.
const PASSPORT: Preset = Preset { client: &["aud"], scopes: &["scopes"], ..DEFAULT };

/// Realm roles; those of clients stand under the clients' names. Service accounts' tokens have `client_id`, too.
const KEYCLOAK: Preset = Preset {
    client: &["azp", "client_id"],
    scopes: &["scope"],
    roles: &["realm_access.roles"],
    extra: &[("username", &["preferred_username"]), ("email", &["email"])],
    ..DEFAULT
};

/// Machine-to-machine tokens of an organisation.
const SCALEKIT: Preset = Preset {
    client: &["client_id"],
    scopes: &["scopes", "scope"],
    roles: &["roles", "permissions"],
    service: &["custom_claims", "service_name"],
    tenant: &["oid"],
    ..DEFAULT
};

/// §2.2.3.1 has `roles`, `groups` and `entitlements`.
const RFC9068: Preset =
    Preset { client: &["client_id"], scopes: &["scope"], roles: &["roles", "groups", "entitlements"], ..DEFAULT };

/// `client_id` is that of its RFC 9068 profile, `azp` that of its own.
const AUTH0: Preset = Preset {
    client: &["azp", "client_id"],
    scopes: &["scope"],
    roles: &["permissions"],
    tenant: &["org_id"],
    ..DEFAULT
};

/// `sub` is a login name, or the client's id; `uid` is the user's id.
const OKTA: Preset =
    Preset { client: &["cid"], scopes: &["scp"], roles: &["groups"], extra: &[("uid", &["uid"])], ..DEFAULT };

/// `sub` differs from one audience to the next, `oid` does not. v1 has `appid`, v2 `azp`.
const ENTRA: Preset = Preset {
    subject: "oid",
    client: &["azp", "appid"],
    scopes: &["scp"],
    roles: &["roles"],
    tenant: &["tid"],
    ..DEFAULT
};

/// Its JWTs are ID tokens: they grant nothing.
const GOOGLE: Preset = Preset {
    client: &["azp"],
    scopes: &["scope"],
    tenant: &["hd"],
    extra: &[("email", &["email"]), ("email_verified", &["email_verified"])],
    ..DEFAULT
};

/// `kubernetes.io` is one name.
const KUBERNETES: Preset = Preset {
    client: &[],
    scopes: &[],
    service: &["kubernetes.io", "serviceaccount", "name"],
    tenant: &["kubernetes.io", "namespace"],
    extra: &[("pod", &["kubernetes.io", "pod", "name"]), ("node", &["kubernetes.io", "node", "name"])],
    ..DEFAULT
};

/// The mapping of a preset, or that of issuers about which nothing is said.
pub(in crate::config) fn preset(name: Option<PresetFile>) -> Option<ClaimMapping> {
    let preset = match name {
        None => DEFAULT,
        Some(PresetFile::Passport) => PASSPORT,
        Some(PresetFile::Keycloak) => KEYCLOAK,
        Some(PresetFile::Scalekit) => SCALEKIT,
        Some(PresetFile::Rfc9068) => RFC9068,
        Some(PresetFile::Auth0) => AUTH0,
        Some(PresetFile::Okta) => OKTA,
        Some(PresetFile::Entra) => ENTRA,
        Some(PresetFile::Google) => GOOGLE,
        Some(PresetFile::Kubernetes) => KUBERNETES,
    };
    let several = |paths: &[&str]| paths.iter().filter_map(|path| ClaimPath::dotted(path)).collect();
    let whole = |names: &[&str]| ClaimPath::new(names.iter().copied());
    Some(ClaimMapping {
        subject: ClaimPath::dotted(preset.subject)?,
        client: several(preset.client),
        scopes: several(preset.scopes),
        roles: several(preset.roles),
        service: whole(preset.service),
        tenant: whole(preset.tenant),
        extra: preset.extra.iter().filter_map(|(name, path)| Some(((*name).into(), whole(path)?))).collect(),
        audience: ClaimPath::dotted("aud")?,
    })
}
