//! How long a table takes to load and to answer, by its size. Run with `cargo bench --bench policy`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "benchmarks"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tollgate::config;
use tollgate::core::request::{Direction, Headers, RawRequest, RequestFacts};

/// A policy of so many rules, of the kinds that operators write: shared prefixes, templates, hosts, methods.
fn policy(rules: usize) -> String {
    let mut text = String::from(
        "server: { check: [{ listen: 'unix:/run/gate.sock', direction: inbound }] }\nissuers: {}\nrules:\n",
    );
    for n in 0..rules {
        let (host, path) = match n % 4 {
            0 => (format!("s{n}.example.com"), "/api/v1/**".to_owned()),
            1 => ("api.example.com".to_owned(), format!("/api/v1/things{n}/{{id}}")),
            2 => (format!("*.t{n}.example.com"), "/orgs/{org}/orders/**".to_owned()),
            _ => ("api.example.com".to_owned(), format!("/api/{{version}}/r{n}/list")),
        };
        writeln!(
            text,
            "  - {{ name: r{n}, match: {{ hosts: ['{host}'], paths: ['{path}'], methods: [GET] }}, allow: anonymous, inject: {{ x-n: 'n{n}' }} }}"
        )
        .unwrap();
    }
    text
}

fn load(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("load");
    group.sample_size(10);
    for rules in [10, 10_000] {
        let text = policy(rules);
        group.bench_function(BenchmarkId::from_parameter(rules), |bencher| {
            bencher.iter(|| config::load_from(black_box(&text), Path::new("/"), Path::new("policy.yaml")).unwrap());
        });
    }
}

fn find(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("find");
    for rules in [12, 10_000] {
        let config = config::load_from(&policy(rules), Path::new("/"), Path::new("policy.yaml")).unwrap();
        let asked = [
            ("s8.example.com", "/api/v1/a/b"),
            ("api.example.com", "/api/v1/things9/7"),
            ("x.t10.example.com", "/orgs/o/orders/1"),
            ("api.example.com", "/api/v3/r11/list"),
            ("api.example.com", "/nowhere"),
        ];
        let facts = asked.map(|(host, path)| {
            RequestFacts::parse(RawRequest {
                direction: Direction::Inbound,
                method: "GET",
                host,
                path,
                headers: Headers::default(),
                principal: "",
                certificate: "",
                context_extensions: Vec::new(),
            })
            .unwrap()
        });
        group.bench_function(BenchmarkId::from_parameter(rules), |bencher| {
            bencher.iter(|| facts.iter().filter(|facts| config.table.find(facts).unwrap().is_some()).count());
        });
    }
}

criterion_group!(benches, load, find);
criterion_main!(benches);
