//! Row 5: what the number of rules costs.

use bytes::Bytes;

use crate::compare::{Measured, alternate, window};
use crate::load::{Outcome, on_this_thread};
use crate::mint::{AUDIENCE, Algorithm, Kind, SCOPE};
use crate::policy::Policy;
use crate::request::{Ask, frame};
use crate::stats::Spread;
use crate::table::{Bench, Findings, Group, Row};

/// The group.
pub(super) const GROUP: Group = Group { name: "many rules against few", numbers: &[5], run };

/// What rules have in common, and what tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    SharedPrefixes,
    Templates,
    WildcardHosts,
    OnePath,
}

impl Shape {
    const ALL: [Self; 4] = [Self::SharedPrefixes, Self::Templates, Self::WildcardHosts, Self::OnePath];

    const fn name(self) -> &'static str {
        match self {
            Self::SharedPrefixes => "shared prefixes",
            Self::Templates => "templates",
            Self::WildcardHosts => "wildcard hosts",
            Self::OnePath => "rules on one path",
        }
    }

    const fn many(self) -> usize {
        match self {
            Self::OnePath => 200,
            Self::SharedPrefixes | Self::Templates | Self::WildcardHosts => 10_000,
        }
    }

    /// What the `n`th rule matches.
    fn matches(self, n: usize) -> String {
        match self {
            Self::SharedPrefixes => {
                format!("hosts: [api.internal], paths: ['/api/v1/shop/area{}/thing{n}/**'], methods: [GET]", n % 100)
            }
            Self::Templates => {
                format!("hosts: [api.internal], paths: ['/api/{{version}}/things{n}/{{id}}/parts'], methods: [GET]")
            }
            Self::WildcardHosts => format!("hosts: ['*.tenant{n}.internal'], paths: ['/api/**'], methods: [GET]"),
            Self::OnePath => {
                let (method, route, header) = told_apart(n);
                let header = if header { ", headers: [{ name: x-channel, equals: beta }]" } else { "" };
                format!(
                    "paths: ['/one/{{id}}'], methods: [{method}], context_extensions: {{ route: r{route} }}{header}"
                )
            }
        }
    }

    fn rule(self, n: usize) -> String {
        let fallback = if self == Self::OnePath && !told_apart(n).2 { ", fallback: true" } else { "" };
        format!(
            "{{ name: n{n}, match: {{ {} }}{fallback}, require: {{ issuers: [scalekit], audience: {{ any: [{AUDIENCE}] }}, \
             scopes: {{ all: ['{SCOPE}'] }} }}, inject: {{ x-service-name: '{{service}}', x-client-id: '{{client}}', \
             x-service-scopes: '{{scopes}}' }} }}",
            self.matches(n)
        )
    }

    /// A request that the `n`th rule answers.
    fn ask(self, n: usize, token: &str, nth: u64) -> Bytes {
        let path = match self {
            Self::SharedPrefixes => format!("/api/v1/shop/area{}/thing{n}/{nth}", n % 100),
            Self::Templates => format!("/api/v1/things{n}/{nth}/parts"),
            Self::WildcardHosts => format!("/api/orders/{nth}"),
            Self::OnePath => format!("/one/{nth}"),
        };
        let host =
            if self == Self::WildcardHosts { format!("eu.tenant{n}.internal") } else { "api.internal".to_owned() };
        let ask = Ask { host: &host, path: &path, token: Some(token), nth, ..Ask::default() };
        if self != Self::OnePath {
            return frame(&ask);
        }
        let (method, route, header) = told_apart(n);
        let headers: &[(&str, &str)] = if header { &[("x-channel", "beta")] } else { &[] };
        frame(&Ask { method, context_extensions: &[("route", &format!("r{route}"))], headers, ..ask })
    }
}

/// Method, context extension and header of the `n`th rule on one path.
const fn told_apart(n: usize) -> (&'static str, usize, bool) {
    const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];
    (METHODS[n / 2 % 5], n / 10, n.is_multiple_of(2))
}

struct Case {
    name: String,
    shape: Shape,
    rules: usize,
    bodies: Vec<Bytes>,
}

impl Measured for Case {
    fn name(&self) -> &str {
        &self.name
    }
}

fn run(bench: &Bench) -> anyhow::Result<Findings> {
    let tokens = bench.scene.tokens(Algorithm::Rs256, Kind::Good, bench.effort.tokens)?;
    let mut found = Findings::default();
    for shape in Shape::ALL {
        let case = |rules: usize| {
            let body = |(n, token): (usize, &String)| shape.ask(n % rules, token, n as u64);
            let bodies = tokens.iter().enumerate().map(body).collect();
            Case { name: format!("{rules} {}", shape.name()), shape, rules, bodies }
        };
        let cases = [case(10), case(shape.many())];
        let measured = on_this_thread(alternate(&bench.effort, &cases, async |case| {
            let mut policy = Policy::usual(bench.scene.endpoint("gate")?);
            policy.rules = (0..case.rules).map(|n| case.shape.rule(n)).collect();
            let server = bench.scene.start_gate(&policy).await?;
            window(&server, case.bodies.clone(), &bench.effort, Outcome::Allow).await
        }))?;
        found.rows.push(Row::ratio(
            5,
            format!("{} against 10: {}, CPU", shape.many(), shape.name()),
            1.10,
            "with 10 rules",
            Spread::of_ratios(&measured[1].cpu_us, &measured[0].cpu_us),
        ));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn rules_of_every_shape_load_and_differ() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("keys.jwks"), crate::mint::Keys::generate().unwrap().jwks()).unwrap();
        for shape in Shape::ALL {
            for rules in [10, 200] {
                let mut policy = Policy::usual("unix:/run/gate.sock".parse().unwrap());
                policy.rules = (0..rules).map(|n| shape.rule(n)).collect();
                assert_eq!((0..rules).map(|n| shape.matches(n)).collect::<BTreeSet<_>>().len(), rules);
                let loaded = tollgate::config::load_from(&policy.text(), folder.path(), &folder.path().join("p.yaml"));
                assert!(loaded.is_ok(), "{shape:?}: {:?}", loaded.err());
            }
        }
    }
}
