//! Envoy's own `jwt_authn` and `rbac`: the same tokens, and the same policy as far as they can say it.
//!
//! They check signature, times, issuer and audience, then method, path, host and scope, and hand on the service's name and
//! the client's id. What they lack is in `docs/benchmarks.md`; it is not counted against them here.

use std::fmt::Write as _;
use std::path::Path;

use crate::mint::{AUDIENCE, ISSUER, SCOPE};
use crate::policy::HOST;

/// Tokens that the filter keeps for each worker, where it is told to keep any.
const KEPT: usize = 20_000;

/// The two filters. Without a cache, as they are unless told otherwise, or with one that holds all tokens of a run.
pub(super) fn filters(keys: &Path, cached: bool) -> String {
    let cache = if cached {
        format!("\n                  jwt_cache_config: {{ jwt_cache_size: {KEPT} }}")
    } else {
        String::new()
    };
    let keys = keys.display();
    let mut text = format!(
        r#"          - name: envoy.filters.http.jwt_authn
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
              providers:
                issuer:
                  issuer: {ISSUER}
                  audiences: [{AUDIENCE}]
                  local_jwks: {{ filename: {keys} }}
                  forward: true
                  payload_in_metadata: payload{cache}
                  claim_to_headers:
                  - {{ header_name: x-service-name, claim_name: custom_claims.service_name }}
                  - {{ header_name: x-client-id, claim_name: client_id }}
              rules:
              - match: {{ prefix: / }}
                requires: {{ provider_name: issuer }}
          - name: envoy.filters.http.rbac
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
              rules:
                action: ALLOW
                policies:
"#
    );
    for n in 0..99 {
        policy(&mut text, &format!("r{n:02}"), &format!("/api/internal/reports{n}/"), &format!("read:r{n}"));
    }
    policy(&mut text, "payments", "/api/internal/payments/", SCOPE);
    text
}

/// A rule of the measured policy: host, path, method, scope.
fn policy(text: &mut String, name: &str, prefix: &str, scope: &str) {
    // A String takes whatever is written.
    let _ = write!(
        text,
        r#"                  {name}:
                    permissions:
                    - and_rules:
                        rules:
                        - url_path: {{ path: {{ prefix: {prefix} }} }}
                        - header: {{ name: ":method", string_match: {{ exact: GET }} }}
                        - header: {{ name: ":authority", string_match: {{ exact: {HOST} }} }}
                    principals:
                    - metadata:
                        filter: envoy.filters.http.jwt_authn
                        path: [ {{ key: payload }}, {{ key: scopes }} ]
                        value: {{ list_match: {{ one_of: {{ string_match: {{ exact: "{scope}" }} }} }} }}
"#
    );
}

#[cfg(test)]
mod tests {
    use tollgate::demo::envoy::Envoy;

    use super::super::config::Config;
    use super::super::running::binary;
    use super::*;
    use crate::load::Endpoint;
    use crate::mint::Keys;

    #[tokio::test]
    async fn envoy_takes_its_own_filters() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys.jwks");
        std::fs::write(&keys, Keys::generate().unwrap().jwks()).unwrap();
        for cached in [false, true] {
            let shipped = Config::shipped(&Endpoint::Unix("/run/gate.sock".into())).unwrap();
            let config = shipped.with_filters(&filters(&keys, cached)).unwrap();
            Envoy::validate(&binary().unwrap(), config.text()).await.unwrap();
        }
    }
}
