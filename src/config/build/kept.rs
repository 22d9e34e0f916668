//! Which claims are kept of the tokens that pass: a cache holds many, and of most claims nothing is ever asked.

use crate::authn::spec::{IssuerSpec, KeptClaims};
use crate::core::decide::wants;
use crate::core::inject::Placeholder;
use crate::core::principal::ClaimPath;
use crate::core::rule::IssuerIndex;
use crate::core::table::RuleSpec;
use crate::outbound::spec::{ACT, Grant, SUB, TokenSpec};

/// What is kept of an issuer's claims; the paths in no order yet.
#[derive(Clone, Debug, Default)]
struct Wanted {
    all: bool,
    paths: Vec<ClaimPath>,
}

/// What is to be kept of each issuer's claims for these rules and tokens, by position: those of the conditions of each
/// rule that accepts it; all of them where such a rule hands on `{claims}`. What is exchanged is compared with what
/// comes back.
pub(in crate::config) fn by_issuer(issuers: usize, rules: &[RuleSpec], tokens: &[TokenSpec]) -> Vec<KeptClaims> {
    let exchanged = tokens.iter().any(|token| matches!(token.grant, Grant::Exchange(_)));
    let paths: Vec<ClaimPath> = if exchanged { [SUB, ACT].map(ClaimPath::named).into() } else { Vec::new() };
    let mut kept = vec![Wanted { all: false, paths }; issuers];
    for RuleSpec { rule, .. } in rules {
        let Some(requirements) = wants(rule) else { continue };
        let templates = rule.effect.injection.headers.iter().map(|header| &header.template);
        let all = templates.flat_map(|template| template.placeholders()).any(|value| *value == Placeholder::Claims);
        for IssuerIndex(index) in &requirements.issuers {
            let Some(of) = kept.get_mut(*index) else { continue };
            of.all |= all;
            let new = requirements.claims.iter().filter(|condition| !of.paths.contains(&condition.path));
            let new: Vec<ClaimPath> = new.map(|condition| condition.path.clone()).collect();
            of.paths.extend(new);
        }
    }
    kept.into_iter().map(|of| if of.all { KeptClaims::All } else { KeptClaims::only(of.paths) }).collect()
}

/// Writes it into the specs.
pub(in crate::config) fn settle(issuers: &mut [IssuerSpec], kept: Vec<KeptClaims>) {
    for (spec, kept) in issuers.iter_mut().zip(kept) {
        spec.kept = kept;
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// What is kept of the claims of `a` and of `b` under these rules.
    fn kept(rules: &str, tokens: &str) -> Vec<KeptClaims> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("jwks.json"), r#"{"keys":[]}"#).unwrap();
        std::fs::write(directory.path().join("secret"), "hunter2").unwrap();
        let text = format!(
            "server: {{ check: [{{ listen: 'unix:/run/gate.sock', direction: outbound }}] }}
issuers:
  a: {{ issuer: 'https://a.example', keys: {{ jwks_file: jwks.json }}, provider: {{ token_endpoint: 'https://a.example/t' }} }}
  b: {{ issuer: 'https://b.example', keys: {{ jwks_file: jwks.json }} }}
tokens: {{ {tokens} }}
rules:
{rules}"
        );
        let config = crate::config::load_from(&text, directory.path(), Path::new("gate.yaml"));
        config.unwrap().issuers.into_iter().map(|spec| spec.kept).collect()
    }

    fn rule(name: &str, more: &str, inject: &str) -> String {
        format!(
            "  - {{ name: {name}, match: {{ paths: [/{name}], direction: outbound }}, require: {{ audience: unchecked{more} }}, inject: {{ {inject} }} }}\n"
        )
    }

    fn only(paths: &[&str]) -> KeptClaims {
        KeptClaims::only(paths.iter().map(|path| ClaimPath::dotted(path).unwrap()))
    }

    #[test]
    fn rules_say_what_is_kept() {
        let plain = rule("plain", ", scopes: { any: [x] }", "x-who: '{subject}'");
        assert_eq!(kept(&plain, ""), [only(&[]), only(&[])]);
        let both = rule("both", ", claims: [{ path: z.y, present: true }, { path: b, absent: true }]", "");
        let one = rule("one", ", issuers: [b], claims: [{ path: b, equals: 1 }, { path: c, equals: 1 }]", "");
        assert_eq!(kept(&format!("{plain}{both}{one}"), ""), [only(&["b", "z.y"]), only(&["b", "c", "z.y"])]);
        let whole = rule("whole", ", issuers: [a]", "x-claims: '{claims}'");
        assert_eq!(kept(&format!("{both}{whole}"), ""), [KeptClaims::All, only(&["b", "z.y"])]);
    }

    #[test]
    fn what_is_exchanged_keeps_what_it_is_compared_by() {
        let client = "client: { id: gate, secret_file: secret }";
        let exchange = format!("t: {{ exchange: {{ issuer: a, {client}, audience: orders }} }}");
        assert_eq!(kept(&rule("r", "", ""), &exchange), [only(&["sub", "act"]), only(&["sub", "act"])]);
        let own = format!("t: {{ client_credentials: {{ issuer: a, {client} }} }}");
        assert_eq!(kept(&rule("r", "", ""), &own), [only(&[]), only(&[])]);
    }
}
