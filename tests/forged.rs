//! A forged identity header never survives an allow, however it is spelled.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;

use proptest::prelude::*;
use tollgate::config::{self, Config};
use tollgate::core::answer::{DecisionId, Verdict};
use tollgate::core::decide::{Authentication, Decided, decide};
use tollgate::core::guard::GuardedHeaders;
use tollgate::core::request::{Direction, Header, Headers, RawRequest, RequestFacts};

const POLICY: &str = "
server: { check: [{ listen: 'unix:/run/gate.sock', direction: inbound }] }
issuers: {}
identity_headers: [x-user-id, x-tenant]
rules:
  - name: injects-one
    match: { paths: ['/one/{id}'] }
    allow: anonymous
    inject: { x-item: '{path.id}' }
  - name: injects-nothing
    match: { paths: ['/**'] }
    allow: anonymous
";

fn policy() -> Config {
    config::load_from(POLICY, Path::new("/"), Path::new("policy.yaml")).unwrap()
}

/// What the most careless of frameworks makes of a name: letters and digits alone.
fn careless(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

fn spelled() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["x-user-id", "x-tenant", "x-item", "authorization", "x-other", "accept"]);
    (name, prop::collection::vec((0..3_usize, any::<bool>()), 16)).prop_map(|(name, choices)| {
        let spell = |(c, (separator, upper)): (char, &(usize, bool))| match c {
            '-' => ['-', '_', '.'][*separator],
            c if *upper => c.to_ascii_uppercase(),
            c => c,
        };
        name.chars().zip(choices.iter().cycle()).map(spell).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_forged_header_never_survives(
        names in prop::collection::vec(spelled(), 0..8),
        path in prop::sample::select(vec!["/one/7", "/two"]),
    ) {
        let config = policy();
        let lines = names.iter().map(|name| Header { name, value: b"forged" }).collect();
        let facts = RequestFacts::parse(RawRequest {
            direction: Direction::Inbound,
            method: "GET",
            host: "a.example",
            path,
            headers: Headers::new(lines),
            principal: "",
            certificate: "",
            context_extensions: Vec::new(),
        }).unwrap();
        let found = config.table.find(&facts).unwrap().unwrap();
        let guarded = GuardedHeaders::new(&config.table, &["authorization".into()]);
        let decided = decide(&found, &facts, Authentication::NotWanted, &guarded, DecisionId(1));
        let Decided::Answer(answer) = decided else { panic!("a token is waited for") };
        let Verdict::Allow(allowed) = answer.verdict else { panic!("not allowed") };
        // As Envoy does: set over what is there, then remove; names without regard to case.
        let mut upstream: Vec<(String, String)> = names.iter().map(|name| (name.clone(), "forged".into())).collect();
        for (name, value) in allowed.set() {
            upstream.retain(|(there, _)| !there.eq_ignore_ascii_case(name));
            upstream.push((name.to_owned(), value.to_owned()));
        }
        for name in allowed.remove() {
            upstream.retain(|(there, _)| !there.eq_ignore_ascii_case(name));
        }
        for (name, value) in &upstream {
            let identity = ["x-user-id", "x-tenant", "x-item"].contains(&careless(name).as_str());
            prop_assert!(!(identity && value == "forged"), "{} survives: {:?}", name, allowed);
            prop_assert!(careless(name) != "authorization", "an unverified credential survives: {}", name);
        }
        let kept = names.iter().filter(|name| ["x-other", "accept"].contains(&careless(name).as_str())).count();
        let there = upstream.iter().filter(|(name, _)| ["x-other", "accept"].contains(&careless(name).as_str())).count();
        prop_assert_eq!(kept, there, "a header that is nobody's business was touched");
        if path == "/one/7" {
            prop_assert!(upstream.contains(&("x-item".to_owned(), "7".to_owned())));
        }
    }
}
