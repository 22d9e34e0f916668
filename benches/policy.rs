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
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use tollgate::config::{self, Config};
use tollgate::core::answer::DecisionId;
use tollgate::core::decide::{Authentication, Decided, decide};
use tollgate::core::guard::GuardedHeaders;
use tollgate::core::principal::{Parts, Principal};
use tollgate::core::request::{Direction, Header, Headers, RawRequest, RequestFacts};
use tollgate::grpc::encode::frame;

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

/// A rule as the benchmark's own policy has them: a token's audience and scope, and three headers.
const RULE: &str = "
    require: { issuers: [keycloak], audience: { any: [orders] }, scopes: { any: ['orders:read'] } }
    inject: { x-user-id: '{subject}', x-client: '{client}', x-scopes: '{scopes}' }
    response_headers: { x-policy: checked }";

/// As many rules on one path as Row 5 of the table in `docs/benchmarks.md` has, told apart by `how`.
fn one_path(rules: usize, how: impl Fn(usize) -> String) -> String {
    (0..rules).fold(String::new(), |mut text, n| {
        write!(text, "\n  - name: p{n}\n    match: {{ paths: ['/api/v1/one'], {} }}{RULE}", how(n)).unwrap();
        text
    })
}

struct World {
    config: Config,
    guarded: GuardedHeaders,
    principal: Arc<Principal>,
}

impl World {
    /// A hundred rules of the usual kinds, and these.
    fn new(rules: &str) -> Self {
        let usual = policy(100).replace("issuers: {}", "issuers: { keycloak: { issuer: 'https://keycloak.internal/realms/shop', keys: { jwks: 'https://keycloak.internal/keys' } } }");
        let config = config::load_from(&format!("{usual}{rules}"), Path::new("/"), Path::new("policy.yaml")).unwrap();
        let guarded = GuardedHeaders::new(&config.table, &["authorization".into()]);
        let issuer = "keycloak".into();
        let parts = Parts {
            subject: Some("1f9c3f8e-5b3a-4c1d-9a4e-0d9c8b7a6f5e"),
            client: Some("web-shop"),
            audience: vec!["account", "orders"],
            scopes: vec!["profile", "orders:read", "orders:write"],
            ..Parts::of(&issuer)
        };
        Self { config, guarded, principal: Arc::new(parts.into()) }
    }

    /// All of a decision whose token is in the cache, without the cache and the wire.
    #[inline(never)]
    fn decide(&self, asked: RawRequest<'_>, authenticated: bool) -> Bytes {
        let facts = RequestFacts::parse(asked).unwrap();
        let found = self.config.table.find(&facts).unwrap().unwrap();
        let authentication = if authenticated {
            Authentication::Verified { principal: Arc::clone(&self.principal), header: "authorization".into() }
        } else {
            Authentication::Absent
        };
        match decide(&found, &facts, authentication, &self.guarded, DecisionId(0x1234_5678)) {
            Decided::Answer(answer) => frame(&answer),
            Decided::NeedsToken(_) => unreachable!(),
        }
    }
}

/// A request as Envoy reports it: thirteen headers, of which one is the token.
fn asked<'a>(
    path: &'a str,
    method: &'a str,
    extra: &[(&'a str, &'a str)],
    lines: &[(&'a str, &'a str)],
) -> RawRequest<'a> {
    const LINES: [(&str, &str); 12] = [
        (":authority", "api.example.com"),
        (":method", "GET"),
        (":scheme", "https"),
        ("accept", "*/*"),
        ("accept-encoding", "gzip, br"),
        ("authorization", "Bearer of-eight-hundred-bytes"),
        ("content-type", "application/json"),
        ("user-agent", "shop/4.2 (linux)"),
        ("x-envoy-attempt-count", "1"),
        ("x-forwarded-for", "10.1.2.3"),
        ("x-forwarded-proto", "https"),
        ("x-request-id", "a3b1c2d4-0000-4000-8000-123456789abc"),
    ];
    let lines = LINES.iter().copied().chain([(":path", path)]).chain(lines.iter().copied());
    RawRequest {
        direction: Direction::Inbound,
        method,
        host: "api.example.com",
        path,
        headers: Headers::new(lines.map(|(name, value)| Header { name, value: value.as_bytes() }).collect()),
        principal: "",
        certificate: "",
        context_extensions: extra.to_vec(),
    }
}

fn cached(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cached");
    let scoped = one_path(1, |_| "methods: [GET]".to_owned());
    let wanting = scoped.replace("p0", "admin").replace("/one", "/admin").replace("'orders:read'", "'orders:admin'");
    let world = World::new(&format!("{scoped}{wanting}"));
    for (name, path, authenticated) in [
        ("allow", "/api/v1/one?page=2", true),
        ("missing scope", "/api/v1/admin", true),
        ("missing token", "/api/v1/one", false),
    ] {
        let answer = world.decide(asked(path, "GET", &[], &[]), authenticated);
        assert!(answer.len() > 200, "{name}: {answer:?}");
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || asked(path, "GET", &[], &[]),
                |asked| world.decide(asked, authenticated),
                BatchSize::SmallInput,
            );
        });
    }
}

/// Rules that only a method, an extension of the route or a header tells apart.
fn crowded(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("crowded");
    for rules in [10, 200] {
        let methods = World::new(&one_path(rules, |n| format!("methods: [M{n}]")));
        let contexts = World::new(&one_path(rules, |n| format!("context_extensions: {{ app: shop, route: r{n} }}")));
        let headers = World::new(
            &one_path(rules, |n| format!("headers: [{{ name: x-v, equals: '{n}' }}]"))
                .replace("\n    require", "\n    fallback: true\n    require"),
        );
        let path = "/api/v1/one";
        let (last, context, header) = (format!("M{}", rules - 1), format!("r{}", rules - 1), format!("{}", rules - 1));
        let (extra, lines) = ([("app", "shop"), ("route", &*context)], [("x-v", &*header)]);
        for (name, world, method, extra, lines) in [
            ("methods", &methods, &*last, &[][..], &[][..]),
            ("context", &contexts, "GET", &extra[..], &[]),
            ("headers", &headers, "GET", &[], &lines[..]),
        ] {
            group.bench_function(BenchmarkId::new(name, rules), |bencher| {
                bencher.iter_batched(
                    || asked(path, method, extra, lines),
                    |asked| world.decide(asked, true),
                    BatchSize::SmallInput,
                );
            });
        }
    }
}

criterion_group!(benches, load, find, cached, crowded);
criterion_main!(benches);
