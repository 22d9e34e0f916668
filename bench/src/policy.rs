//! The gate's configuration, as it is measured.

use std::fmt::Write as _;

use crate::load::Endpoint;
use crate::mint::{AUDIENCE, ISSUER, SCOPE};

/// The host of the rule that is asked about.
pub const HOST: &str = "payments.internal";

/// A configuration. Key sets are in `keys.jwks` beside it.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Where Check is answered.
    pub endpoint: Endpoint,
    /// What the configuration says of the audit log; empty for none.
    pub audit: String,
    /// Lines of `server` beside `check`.
    pub server: Vec<String>,
    /// Room of the cache, as the configuration says it.
    pub cache: &'static str,
    /// Rules beside the measured one.
    pub rules: Vec<String>,
}

impl Policy {
    /// A hundred rules as services have them: shared prefixes, templates, hosts, methods; and the one that is measured.
    pub fn usual(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            audit: String::new(),
            server: Vec::new(),
            cache: "64MiB",
            rules: (0..99).map(usual_rule).collect(),
        }
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let mut text = format!(
            "server:\n  check: [{{ listen: '{}', direction: inbound }}]\n{server}\
{audit}issuers:\n  scalekit:\n    issuer: {ISSUER}\n    keys: {{ jwks_file: keys.jwks }}\n    algorithms: [RS256, ES256, EdDSA]\n\
    \x20   claims: {{ client: client_id, scopes: scopes, service: custom_claims.service_name, tenant: oid }}\n    \
cache: {{ max_bytes: {cache} }}\n\
rules:\n  - name: payments\n    match: {{ hosts: [{HOST}], paths: ['/api/internal/payments/{{id}}'], methods: [GET] }}\n    \
require: {{ issuers: [scalekit], audience: {{ any: [{AUDIENCE}] }}, scopes: {{ all: ['{SCOPE}'] }} }}\n    \
inject: {{ x-service-name: '{{service}}', x-client-id: '{{client}}', x-service-scopes: '{{scopes}}' }}\n",
            self.endpoint,
            server = self.server.iter().fold(String::new(), |all, line| all + "  " + line + "\n"),
            audit = self.audit,
            cache = self.cache,
        );
        for rule in &self.rules {
            // A String takes whatever is written.
            let _ = writeln!(text, "  - {rule}");
        }
        text
    }
}

/// The rules around the measured one. None of them matches what is asked.
fn usual_rule(n: usize) -> String {
    let require = format!(
        "require: {{ issuers: [scalekit], audience: {{ any: [{AUDIENCE}] }}, scopes: {{ any: ['read:r{n}'] }} }}"
    );
    let (host, path) = match n % 5 {
        0 => (HOST.to_owned(), format!("/api/internal/refunds{n}/{{id}}")),
        1 => (HOST.to_owned(), format!("/api/internal/reports/r{n}/**")),
        2 => (format!("s{n}.internal"), "/api/internal/**".to_owned()),
        3 => (format!("*.t{n}.internal"), "/orgs/{org}/orders/**".to_owned()),
        _ => (HOST.to_owned(), format!("/api/{{version}}/things{n}/list")),
    };
    format!("{{ name: r{n}, match: {{ hosts: ['{host}'], paths: ['{path}'], methods: [GET] }}, {require} }}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_takes_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("keys.jwks"), crate::mint::Keys::generate().unwrap().jwks()).unwrap();
        let mut policy = Policy::usual("unix:/run/gate.sock".parse().unwrap());
        policy.server.push("probes: { listen: '127.0.0.1:9100' }".to_owned());
        let loaded = tollgate::config::load_from(&policy.text(), folder.path(), &folder.path().join("policy.yaml"));
        assert!(loaded.is_ok(), "{:?}", loaded.err());
    }
}
