//! What to do about what a provider said, or did not.

use crate::net::FetchError;
use crate::provider::{CallError, Refusal};

/// What was asked of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Introspection,
    Exchange,
    ClientCredentials,
}

/// A fetch that failed; `section` is where its settings are, `keys` or `provider`.
pub(super) fn of_fetch(error: &FetchError, section: &str) -> String {
    match error {
        FetchError::Request(why) if why.contains("client certificate") => {
            "give the endpoint an `https:` URL, or let the client authenticate in another way (`auth`)"
        }
        FetchError::Request(_) => {
            return format!(
                "use `https:`, or set `{section}.allow_insecure_http` where the network is trusted; no user name or password in the URL"
            );
        }
        FetchError::RefusedAddress(_) => {
            return format!(
                "link-local and metadata addresses are never asked: name the provider by its own address, or this one in `{section}.allowed_addresses`"
            );
        }
        FetchError::Dns => "check the host name, and that this machine's resolver knows it",
        FetchError::Connect(_) => "is the provider up, and may this machine reach it (firewall, network policy)?",
        FetchError::Tls(_) => {
            return format!(
                "if the provider's certificate is from an authority of your own, name that in `{section}.ca_file`"
            );
        }
        FetchError::Trust(_) => {
            return format!("`{section}.ca_file` names authorities in PEM; check path, permissions and content");
        }
        FetchError::Identity(_) => "name the PEM files of a certificate and of its key; check path and permissions",
        FetchError::Timeout => {
            return format!("look for what is slow on the way there, or raise `{section}.timeout`");
        }
        FetchError::Status(300..=399) => "redirects are not followed: configure the URL that this one leads to",
        FetchError::Status(401 | 403) => "the provider wants credentials: name a token in `keys.bearer_token_file`",
        FetchError::Status(404) => {
            "check the path; discovery adds `/.well-known/openid-configuration` to the issuer, and `discovery: URL` says otherwise"
        }
        FetchError::Status(_) => "the provider has a fault of its own: see its log",
        FetchError::TooLarge(_) | FetchError::Compressed | FetchError::Broken => {
            "is this the provider itself, or a proxy or portal in between?"
        }
    }
    .to_owned()
}

/// A call that was not answered.
pub(super) fn of_call(error: &CallError) -> String {
    match error {
        CallError::Busy | CallError::Open => "try again in a moment".to_owned(),
        CallError::Fetch(error) => of_fetch(error, "provider"),
        CallError::Metadata(_) => {
            "mend that, or give the endpoint itself in `provider.introspection_endpoint` or `provider.token_endpoint`"
                .to_owned()
        }
        CallError::Credentials(_) => "mend that file or variable; it is read again for each call".to_owned(),
    }
}

/// An answer that is not the one that was asked for.
pub(super) fn of_refusal(refusal: &Refusal, ask: Ask) -> &'static str {
    let said = refusal.description.as_deref().unwrap_or_default();
    if let Some((_, remedy)) = KNOWN.iter().find(|(text, _)| said.contains(text)) {
        return remedy;
    }
    let code = refusal.error.as_deref();
    match (refusal.status, code, ask) {
        (500.., _, _) => "the provider has a fault of its own: see its log",
        (429, _, _) => "the provider limits how often it is asked: wait, and have it allow the gate more",
        (300..=399, _, _) => "redirects are not followed: configure the URL that this one leads to",
        (404, None, _) => "is the endpoint's path right? Compare with the provider's metadata",
        (405, _, _) => "the endpoint does not take POST: it is another endpoint than this one should be",
        (401, _, _) | (_, Some("invalid_client"), _) => CREDENTIALS,
        (403, _, Ask::Introspection) => {
            "let this client introspect tokens, or name one that may in `introspection.client`"
        }
        (_, Some("unauthorized_client"), Ask::Introspection) => CREDENTIALS,
        (_, Some("unauthorized_client"), Ask::Exchange) => {
            "the client may not exchange tokens: allow it at the provider"
        }
        (_, Some("unauthorized_client"), Ask::ClientCredentials) => {
            "the client may not use `client_credentials`: make it confidential and allow it (Keycloak: service accounts roles)"
        }
        (_, Some("unsupported_token_type"), _) => {
            "the provider does not introspect such tokens: leave `introspection.jwts` off"
        }
        (_, Some("unsupported_grant_type"), Ask::Exchange) => {
            "the provider does not know RFC 8693, or not for this client: switch token exchange on there (Keycloak: 26.2 or newer)"
        }
        (_, Some("unsupported_grant_type"), _) => "allow `client_credentials` for this client at the provider",
        (_, Some("invalid_scope"), _) => {
            "the client may not have these scopes: assign them to it at the provider, or mend `scopes`"
        }
        (_, Some("invalid_target"), _) => {
            "the provider does not know `audience` or `resource`, or not for this client: mend it, or allow it there"
        }
        (_, Some("access_denied"), Ask::Exchange) => {
            "the provider's policy refuses this exchange: is the subject token meant for this client, and may it act for the user?"
        }
        (_, Some("invalid_grant"), Ask::Exchange) => {
            "is the subject token still good there? Get a fresh one, and try again"
        }
        (_, Some("invalid_request"), Ask::Exchange) => {
            "the provider does not like the request: compare `subject_token_type`, `requested_token_type`, `audience` and `resource` with what it supports"
        }
        (200..=299, _, _) => {
            "is this the provider itself, or a proxy or portal in between? It answers no such JSON as it must"
        }
        _ => "see the provider's log for the reason",
    }
}

pub(super) const CREDENTIALS: &str = "the provider does not take the client's credentials: check `client.id`, `client.auth`, and that the secret is the current one";

/// Parts of descriptions that say more than the code does, as Keycloak and oidc-provider write them.
const KNOWN: [(&str, &str); 11] = [
    (
        "Client is not within the token audience",
        "the subject token's `aud` must hold this client: give the client that users log in with an audience mapper for it",
    ),
    (
        "Standard token exchange is not enabled",
        "switch on `Standard token exchange` for this client, which must be confidential (Keycloak: capability config)",
    ),
    (
        "Requested audience not available",
        "no scope that was asked for leads there: name in `scopes` a client scope of this client that brings the audience; the user may lack a role of it, too",
    ),
    ("Audience not found", "the provider has no client of this name: mend `audience`; several go in a list"),
    (
        "Public client not allowed",
        "make the client confidential, with service accounts switched on (Keycloak: capability config)",
    ),
    (
        "not enabled to retrieve service account",
        "switch on service accounts for this client (Keycloak: capability config)",
    ),
    ("requested_token_type unsupported", "leave `requested_token_type` out, or say `access_token`"),
    ("supports access tokens only", "say `subject_token_type: access_token`, or leave it out"),
    (
        "Invalid token",
        "the provider does not take the subject token: expired, revoked, logged out, or of another realm; get a fresh one, and try again",
    ),
    (
        "Structured JWT Tokens cannot be introspected",
        "leave `introspection.jwts` off: this provider introspects opaque tokens alone",
    ),
    ("Authentication failed", CREDENTIALS),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, error: &str, description: &str) -> Refusal {
        let text = |text: &str| (!text.is_empty()).then(|| text.into());
        Refusal { status, content_type: None, error: text(error), description: text(description) }
    }

    #[test]
    fn what_providers_are_known_to_say_has_its_own_remedy() {
        use Ask::{ClientCredentials, Exchange, Introspection};
        for (status, error, description, ask, part) in [
            (401, "unauthorized_client", "Invalid client or Invalid client credentials", Exchange, "client.id"),
            (
                401,
                "unauthorized_client",
                "Invalid client or Invalid client credentials",
                ClientCredentials,
                "client.id",
            ),
            (
                401,
                "unauthorized_client",
                "Public client not allowed to retrieve service account",
                ClientCredentials,
                "confidential",
            ),
            (401, "invalid_client", "client authentication failed", ClientCredentials, "client.id"),
            (401, "invalid_request", "Authentication failed.", Introspection, "client.id"),
            (403, "access_denied", "Client is not within the token audience", Exchange, "audience mapper"),
            (403, "access_denied", "", Exchange, "policy"),
            (
                400,
                "invalid_request",
                "Standard token exchange is not enabled for the requested client",
                Exchange,
                "switch on",
            ),
            (400, "invalid_request", "Requested audience not available: service-b", Exchange, "scopes"),
            (400, "invalid_client", "Audience not found", Exchange, "`audience`"),
            (400, "invalid_request", "Invalid token", Exchange, "fresh"),
            (400, "invalid_request", "requested_token_type unsupported", Exchange, "requested_token_type"),
            (
                400,
                "invalid_request",
                "Parameter 'subject_token' supports access tokens only",
                Exchange,
                "subject_token_type",
            ),
            (400, "invalid_scope", "Invalid scopes: nope", ClientCredentials, "`scopes`"),
            (400, "invalid_target", "", Exchange, "resource"),
            (400, "unsupported_grant_type", "Unsupported grant_type", Exchange, "RFC 8693"),
            (400, "unsupported_token_type", "", Introspection, "introspection.jwts"),
            (403, "", "", Introspection, "let this client introspect"),
            (302, "", "", Introspection, "redirects"),
            (200, "", "", Introspection, "portal"),
            (503, "", "", Exchange, "fault of its own"),
            (429, "", "", Exchange, "how often"),
            (404, "", "", Introspection, "path"),
            (418, "", "", Introspection, "log"),
        ] {
            let remedy = of_refusal(&refusal(status, error, description), ask);
            assert!(remedy.contains(part), "{status} {error} {description}: {remedy}");
        }
    }
}
