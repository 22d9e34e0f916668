//! Rules that differ in what they match alone.

use std::sync::Arc;

use tollgate::core::rule::{Action, DenialStyle, Effect, Injection, Rule};
use tollgate::core::table::{HostPattern, Matcher, PathPattern, RuleSpec};

pub(crate) fn rule(name: &str, deny: bool, matcher: Matcher) -> RuleSpec {
    RuleSpec {
        rule: Rule {
            name: name.into(),
            effect: Arc::new(Effect {
                upstream_token: None,
                action: if deny { Action::Deny } else { Action::Anonymous { caller: None } },
                injection: Injection::default(),
                denial: Arc::new(DenialStyle::default()),
            }),
        },
        matcher,
        priority: 0,
        fallback: false,
        cors_preflight: false,
    }
}

pub(crate) fn matcher(hosts: &[&str], paths: &[&str], methods: &[&str]) -> Matcher {
    Matcher {
        hosts: hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect(),
        paths: paths.iter().map(|path| PathPattern::parse(path).unwrap()).collect(),
        methods: methods.iter().map(|method| (*method).into()).collect(),
        ..Matcher::default()
    }
}
