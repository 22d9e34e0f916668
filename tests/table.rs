//! The compiled table against a reference that does the obvious: try every rule, keep the greatest.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/rules.rs"]
mod rules;

use std::cmp::Reverse;
use std::sync::Arc;

use proptest::prelude::*;
use rules::{matcher, rule};
use tollgate::core::answer::{DecisionId, Verdict};
use tollgate::core::decide::{Authentication, Decided, decide};
use tollgate::core::guard::GuardedHeaders;
use tollgate::core::reason::Reason;
use tollgate::core::request::{Direction, Header, Headers, RawRequest, RequestFacts};
use tollgate::core::rule::{Action, AudienceRequirement, IssuerIndex, Requirements, Rule};
use tollgate::core::table::{
    Considered, HeaderCondition, HeaderTest, HostPattern, Matcher, Matching, PathPattern, PolicyTable, RuleSpec,
    Standing, consider,
};

#[derive(Clone, Debug)]
struct Asked {
    direction: Direction,
    host: String,
    path: String,
    method: String,
    header: Option<String>,
    context: Option<String>,
    /// With the headers of a CORS preflight.
    preflight: bool,
}

impl Asked {
    fn new(host: &str, path: &str, method: &str) -> Self {
        Self {
            direction: Direction::Inbound,
            host: host.into(),
            path: path.into(),
            method: method.into(),
            header: None,
            context: None,
            preflight: false,
        }
    }

    fn answered_by(&self, table: &PolicyTable) -> Option<String> {
        self.with_facts(|facts| table.find(facts).unwrap().map(|found| found.rule.name.to_string()))
    }

    fn with_facts<T>(&self, look: impl FnOnce(&RequestFacts<'_>) -> T) -> T {
        let mut headers: Vec<_> =
            self.header.iter().map(|value| Header { name: "x-v", value: value.as_bytes() }).collect();
        if self.preflight {
            headers.push(Header { name: "origin", value: b"https://a" });
            headers.push(Header { name: "access-control-request-method", value: b"GET" });
        }
        let facts = RequestFacts::parse(RawRequest {
            direction: self.direction,
            method: &self.method,
            host: &self.host,
            path: &self.path,
            headers: Headers::new(headers),
            principal: "",
            certificate: "",
            context_extensions: self.context.iter().map(|value| ("tier", value.as_str())).collect(),
        })
        .unwrap();
        look(&facts)
    }
}

/// Holds what is told of every rule to what the table found: the one that it found answers, or cannot be judged, and each
/// other one has a reason not to.
fn explained(table: &PolicyTable, rules: &[RuleSpec], facts: &RequestFacts<'_>) {
    let matching: Vec<Matching> = rules.iter().map(Matching::from).collect();
    let told = consider(table.rules(), &matching, facts);
    let found = table.find(facts);
    let settles = |told: &&Considered| matches!(told.standing, Standing::Answers | Standing::Unjudgeable);
    let settled: Vec<&Considered> = told.iter().filter(settles).collect();
    match &found {
        Ok(None) => assert!(settled.is_empty() && told.iter().all(|told| matches!(told.standing, Standing::Misses(_)))),
        Ok(Some(_)) => assert!(settled.len() == 1 && settled[0].standing == Standing::Answers, "{settled:?}"),
        Err(_) => assert!(settled.len() == 1 && settled[0].standing == Standing::Unjudgeable, "{settled:?}"),
    }
    assert!(settled.iter().all(|settled| settled.is(table.rules(), &found)), "{found:?} {settled:?}");
    assert_eq!(told.iter().filter(|told| !told.preflight).count(), rules.len());
    assert!(told.iter().all(|told| !matches!(&told.standing, Standing::Misses(misses) if misses.is_empty())));
}

#[test]
fn of_preflights_it_is_told_what_answers_them() {
    let cors = RuleSpec { cors_preflight: true, ..rule("get", false, matcher(&[], &["/x"], &["GET"])) };
    let rules = [cors, rule("any", false, matcher(&[], &["/**"], &[]))];
    let table = PolicyTable::compile(rules.to_vec(), &[]).unwrap();
    let matching: Vec<Matching> = rules.iter().map(Matching::from).collect();
    let standings = |method: &str| {
        let asked = Asked { preflight: method == "OPTIONS", ..Asked::new("a", "/x", method) };
        asked.with_facts(|facts| {
            explained(&table, &rules, facts);
            let told = consider(table.rules(), &matching, facts);
            told.into_iter().map(|told| (told.position, told.preflight, told.standing)).collect::<Vec<_>>()
        })
    };
    use tollgate::core::table::{Criterion, Miss};
    let told = standings("OPTIONS");
    assert_eq!(told[0], (0, true, Standing::Answers));
    assert_eq!(told[1], (0, false, Standing::Misses(vec![Miss::Method])));
    assert_eq!(told[2], (1, false, Standing::Outranked(Criterion::Path)));
    assert_eq!(standings("GET").len(), 2);
}

#[test]
fn the_most_specific_rule_answers_whatever_the_order() {
    let rules = [
        rule("any", false, matcher(&[], &["/**"], &[])),
        rule("prefix", false, matcher(&[], &["/api/**"], &[])),
        rule("longer", false, matcher(&[], &["/api/v1/**"], &[])),
        rule("template", false, matcher(&[], &["/api/{version}/items"], &[])),
        rule("literal", false, matcher(&[], &["/api/v1/items"], &[])),
        rule("post", false, matcher(&[], &["/api/v1/items"], &["POST"])),
        rule("suffix", false, matcher(&["*.example.com"], &["/**"], &[])),
        rule("deeper-suffix", false, matcher(&["*.eu.example.com"], &["/**"], &[])),
        rule("host", false, matcher(&["api.example.com"], &["/**"], &[])),
        rule("denied", true, matcher(&[], &["/api/v1/items/secret"], &[])),
    ];
    let asked = [
        ("other.org", "/x", "GET", Some("any")),
        ("other.org", "/api", "GET", Some("prefix")),
        ("other.org", "/api/", "GET", Some("prefix")),
        ("other.org", "/api/v1", "GET", Some("longer")),
        ("other.org", "/api/v1/items", "GET", Some("literal")),
        ("other.org", "/api/v1/items", "POST", Some("post")),
        ("other.org", "/api/v2/items", "POST", Some("template")),
        ("other.org", "/api/v2/items/", "POST", Some("prefix")),
        ("other.org", "/apix", "GET", Some("any")),
        ("x.example.com", "/api/v1/items", "POST", Some("suffix")),
        ("x.eu.example.com", "/", "GET", Some("deeper-suffix")),
        ("eu.example.com", "/", "GET", Some("suffix")),
        ("example.com", "/x", "GET", Some("any")),
        ("evilexample.com", "/x", "GET", Some("any")),
        ("API.example.com:443", "/api/v1/items", "POST", Some("host")),
        ("api.example.com", "/api/v1/items/secret", "GET", Some("denied")),
    ];
    for reversed in [false, true] {
        let mut rules = rules.to_vec();
        if reversed {
            rules.reverse();
        }
        let table = PolicyTable::compile(rules, &[]).unwrap();
        for (host, path, method, want) in asked {
            let found = Asked::new(host, path, method).answered_by(&table);
            assert_eq!(found.as_deref(), want, "{method} {host}{path}");
        }
    }
}

#[test]
fn nothing_matches_an_empty_table_or_the_other_direction() {
    let table = PolicyTable::compile(Vec::new(), &[]).unwrap();
    assert_eq!(Asked::new("a", "/", "GET").answered_by(&table), None);
    let table = PolicyTable::compile(vec![rule("in", false, matcher(&[], &[], &[]))], &[]).unwrap();
    assert_eq!(Asked::new("a", "/", "GET").answered_by(&table).as_deref(), Some("in"));
    let outbound = Asked { direction: Direction::Outbound, ..Asked::new("a", "/", "GET") };
    assert_eq!(outbound.answered_by(&table), None);
}

fn with_header(mut spec: RuleSpec, test: HeaderTest) -> RuleSpec {
    spec.matcher.headers.push(HeaderCondition { name: "x-v".into(), test });
    spec
}

#[test]
fn ties_name_both_rules_and_priority_settles_them() {
    let one = rule("one", false, matcher(&["a.b"], &["/x/{id}", "/y"], &["GET", "POST"]));
    let two = rule("two", false, matcher(&["a.b"], &["/x/{other}"], &["POST"]));
    let errors = PolicyTable::compile(vec![one.clone(), two.clone()], &[]).unwrap_err();
    assert_eq!(errors.len(), 1);
    assert_eq!((errors[0].rule, errors[0].other), (1, Some(0)));
    assert!(errors[0].message.contains("`one`") && errors[0].message.contains("`two`"), "{}", errors[0].message);
    let first = RuleSpec { priority: 1, ..two };
    let table = PolicyTable::compile(vec![one, first], &[]).unwrap();
    assert_eq!(Asked::new("a.b", "/x/1", "POST").answered_by(&table).as_deref(), Some("two"));
    assert_eq!(Asked::new("a.b", "/x/1", "GET").answered_by(&table).as_deref(), Some("one"));
}

#[test]
fn header_only_differences_need_a_marked_fallback() {
    let plain = || rule("plain", false, matcher(&[], &["/x"], &[]));
    let strict = || with_header(rule("strict", false, matcher(&[], &["/x"], &[])), HeaderTest::Equals("2".into()));
    let errors = PolicyTable::compile(vec![plain(), strict()], &[]).unwrap_err();
    assert_eq!((errors.len(), errors[0].rule, errors[0].other), (1, 0, Some(1)), "{errors:?}");
    let marked = RuleSpec { fallback: true, ..plain() };
    let table = PolicyTable::compile(vec![marked, strict()], &[]).unwrap();
    let mut asked = Asked::new("a", "/x", "GET");
    assert_eq!(asked.answered_by(&table).as_deref(), Some("plain"));
    asked.header = Some("2".into());
    assert_eq!(asked.answered_by(&table).as_deref(), Some("strict"));
    // Marking the stricter of the two is not what is asked for.
    let wrong = RuleSpec { fallback: true, ..strict() };
    assert!(PolicyTable::compile(vec![plain(), wrong], &[]).is_err());
}

#[test]
fn different_values_of_one_key_cannot_meet() {
    let tier = |name: &str, value: &str| {
        let mut spec = rule(name, false, matcher(&[], &["/x"], &[]));
        spec.matcher.context_extensions.push(("tier".into(), value.into()));
        spec
    };
    let rules = (0..5000).map(|i| tier(&format!("r{i}"), &i.to_string())).collect();
    let table = PolicyTable::compile(rules, &[]).unwrap();
    let asked = Asked { context: Some("4711".into()), ..Asked::new("a", "/x", "GET") };
    assert_eq!(asked.answered_by(&table).as_deref(), Some("r4711"));
    assert_eq!(Asked::new("a", "/x", "GET").answered_by(&table), None);
    assert!(PolicyTable::compile(vec![tier("a", "1"), tier("b", "1")], &[]).is_err());
}

#[test]
fn row_148_an_unreadable_header_denies_also_where_it_must_differ() {
    let spec = with_header(rule("not", false, matcher(&[], &["/x"], &[])), HeaderTest::NotEquals("blocked".into()));
    let table = PolicyTable::compile(vec![spec], &[]).unwrap();
    let facts = RequestFacts::parse(RawRequest {
        direction: Direction::Inbound,
        method: "GET",
        host: "a",
        path: "/x",
        headers: Headers::new(vec![Header { name: "x-v", value: b"\xff" }]),
        principal: "",
        certificate: "",
        context_extensions: Vec::new(),
    })
    .unwrap();
    assert_eq!(&*table.find(&facts).unwrap_err().rule.name, "not");
}

#[test]
fn a_context_key_that_is_there_twice_denies_also_where_a_rule_would_close() {
    for deny in [false, true] {
        let mut spec = rule("gold", deny, matcher(&[], &["/x"], &[]));
        spec.matcher.context_extensions.push(("tier".into(), "gold".into()));
        let table = PolicyTable::compile(vec![spec, rule("any", false, matcher(&[], &["/**"], &[]))], &[]).unwrap();
        for second in ["gold", "lead"] {
            let facts = RequestFacts::parse(RawRequest {
                direction: Direction::Inbound,
                method: "GET",
                host: "a",
                path: "/x",
                headers: Headers::default(),
                principal: "",
                certificate: "",
                context_extensions: vec![("tier", "gold"), ("tier", second)],
            })
            .unwrap();
            assert_eq!(&*table.find(&facts).unwrap_err().rule.name, "gold", "{deny} {second}");
        }
    }
}

#[test]
fn a_rule_that_wants_a_token_denies_where_nobody_was_asked_for_one() {
    let wanted = Arc::new(Requirements {
        issuers: vec![IssuerIndex(0)],
        audience: AudienceRequirement::Unchecked,
        scopes: Vec::new(),
        roles: Vec::new(),
        claims: Vec::new(),
        caller: None,
    });
    for action in [Action::Require(Arc::clone(&wanted)), Action::Optional(wanted)] {
        let mut spec = rule("wants", false, matcher(&[], &["/x"], &[]));
        Arc::make_mut(&mut spec.rule.effect).action = action;
        let table = PolicyTable::compile(vec![spec], &[]).unwrap();
        let facts = RequestFacts::parse(RawRequest {
            direction: Direction::Inbound,
            method: "GET",
            host: "a",
            path: "/x",
            headers: Headers::default(),
            principal: "",
            certificate: "",
            context_extensions: Vec::new(),
        })
        .unwrap();
        let found = table.find(&facts).unwrap().unwrap();
        let guarded = GuardedHeaders::new(&table, &[]);
        let answer = decide(&found, &facts, Authentication::NotWanted, &guarded, DecisionId(1));
        let Decided::Answer(answer) = answer else { panic!("a token is waited for") };
        assert_eq!(answer.reason, Reason::InternalError);
        assert!(matches!(answer.verdict, Verdict::Deny(_)));
    }
}

#[test]
fn a_preflight_answers_for_the_rules_of_its_path() {
    let cors = |name: &str, method: &str| RuleSpec {
        cors_preflight: true,
        ..rule(name, false, matcher(&[], &["/x"], &[method]))
    };
    let table = PolicyTable::compile(vec![cors("get", "GET"), cors("post", "POST")], &[]).unwrap();
    assert_eq!(Asked::new("a", "/x", "OPTIONS").answered_by(&table), None);
    assert_eq!(Asked::new("a", "/x", "POST").answered_by(&table).as_deref(), Some("post"));
}

// The reference.

fn host_rank(pattern: Option<&HostPattern>, host: &str) -> Option<(u8, usize)> {
    match pattern {
        None => Some((0, 0)),
        Some(HostPattern::Suffix(suffix)) => host.ends_with(&**suffix).then_some((1, suffix.len())),
        Some(HostPattern::Exact(name)) => (**name == *host).then_some((2, 0)),
    }
}

fn path_rank(pattern: &str, path: &str) -> Option<Vec<u8>> {
    let want: Vec<&str> = pattern[1..].split('/').collect();
    let have: Vec<&str> = path[1..].split('/').collect();
    let mut rank = Vec::new();
    for (at, segment) in want.iter().enumerate() {
        if *segment == "**" {
            rank.push(1);
            return Some(rank);
        }
        let sent = have.get(at)?;
        match segment.strip_prefix('{') {
            Some(_) if sent.is_empty() => return None,
            Some(_) => rank.push(2),
            None if sent == segment => rank.push(3),
            None => return None,
        }
    }
    rank.push(4);
    (want.len() == have.len()).then_some(rank)
}

type Rank = (bool, (u8, usize), Vec<u8>, bool, usize, usize, i32);

fn reference(rules: &[RuleSpec], asked: &Asked) -> Option<String> {
    let mut best: Option<(Rank, String)> = None;
    for spec in rules {
        let m = &spec.matcher;
        let headers = m.headers.iter().all(|condition| match &condition.test {
            HeaderTest::Present => asked.header.is_some(),
            HeaderTest::Absent => asked.header.is_none(),
            HeaderTest::Equals(value) => asked.header.as_deref() == Some(&**value),
            HeaderTest::NotEquals(value) => asked.header.as_deref() != Some(&**value),
        });
        let context = m.context_extensions.iter().all(|(_, value)| asked.context.as_deref() == Some(&**value));
        let method = m.methods.is_empty() || m.methods.iter().any(|method| **method == *asked.method);
        if !(headers && context && method && m.direction.unwrap_or(Direction::Inbound) == asked.direction) {
            continue;
        }
        let hosts: Vec<Option<&HostPattern>> =
            if m.hosts.is_empty() { vec![None] } else { m.hosts.iter().map(Some).collect() };
        let paths: Vec<String> =
            if m.paths.is_empty() { vec!["/**".into()] } else { m.paths.iter().map(ToString::to_string).collect() };
        for host in &hosts {
            for path in &paths {
                let (Some(host), Some(path)) = (host_rank(*host, &asked.host), path_rank(path, &asked.path)) else {
                    continue;
                };
                let deny = matches!(spec.rule.effect.action, Action::Deny);
                let named = !m.methods.is_empty();
                let rank = (deny, host, path, named, m.context_extensions.len(), m.headers.len(), spec.priority);
                if best.as_ref().is_none_or(|(greatest, _)| rank > *greatest) {
                    best = Some((rank, spec.rule.name.to_string()));
                }
            }
        }
    }
    best.map(|(_, name)| name)
}

fn any_spec() -> impl Strategy<Value = RuleSpec> {
    let hosts = prop::collection::vec(prop::sample::select(vec!["a.b", "b", "*.b", "*.a.b", "c.a.b"]), 0..2);
    let segment = prop::sample::select(vec!["a", "b", "{p}", "{q}"]);
    let path = (prop::collection::vec(segment, 0..4), prop::bool::ANY, prop::bool::ANY).prop_filter_map(
        "a parameter twice",
        |(s, open, slash)| {
            let text: String = s.iter().map(|segment| format!("/{segment}")).collect();
            let text = match (text.is_empty(), open) {
                (_, true) => format!("{text}/**"),
                (true, false) => "/".to_owned(),
                (false, false) if slash => format!("{text}/"),
                (false, false) => text,
            };
            PathPattern::parse(&text).ok()
        },
    );
    let header = prop::option::weighted(
        0.3,
        prop::sample::select(vec![
            HeaderTest::Present,
            HeaderTest::Absent,
            HeaderTest::Equals("1".into()),
            HeaderTest::NotEquals("1".into()),
        ]),
    );
    (
        hosts,
        prop::collection::vec(path, 0..3),
        prop::collection::vec(prop::sample::select(vec!["GET", "POST"]), 0..2),
        header,
        prop::option::weighted(0.3, prop::sample::select(vec!["gold", "silver"])),
        prop::bool::weighted(0.1),
        -1..2_i32,
        prop::bool::weighted(0.8),
        prop::bool::weighted(0.15),
        prop::bool::weighted(0.2),
    )
        .prop_map(|(hosts, paths, methods, header, tier, deny, priority, fallback, outbound, cors)| {
            let mut spec = rule("", deny, matcher(&hosts, &[], &methods));
            spec.matcher.paths = paths;
            spec.matcher.direction = outbound.then_some(Direction::Outbound);
            spec.matcher.context_extensions = tier.map(|tier| ("tier".into(), tier.into())).into_iter().collect();
            spec.priority = priority;
            spec.fallback = fallback;
            spec.cors_preflight = cors && !deny;
            match header {
                Some(test) => with_header(spec, test),
                None => spec,
            }
        })
}

fn any_asked() -> impl Strategy<Value = Asked> {
    let segment = prop::sample::select(vec!["a", "b", "c"]);
    (
        prop::sample::select(vec!["a.b", "b", "c.a.b", "x.b", "z"]),
        (prop::collection::vec(segment, 0..5), prop::bool::ANY),
        prop::sample::select(vec!["GET", "POST", "PUT", "OPTIONS"]),
        prop::option::of(prop::sample::select(vec!["1", "2"])),
        prop::option::of(prop::sample::select(vec!["gold", "silver", "lead"])),
        prop::bool::weighted(0.15),
        prop::bool::ANY,
    )
        .prop_map(|(host, (segments, slash), method, header, context, outbound, preflight)| {
            let mut path: String = segments.iter().map(|segment| format!("/{segment}")).collect();
            if path.is_empty() || slash {
                path.push('/');
            }
            Asked {
                direction: if outbound { Direction::Outbound } else { Direction::Inbound },
                header: header.map(Into::into),
                context: context.map(Into::into),
                preflight,
                ..Asked::new(host, &path, method)
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_table_equals_the_reference(
        specs in prop::collection::vec(any_spec(), 1..25),
        asked in prop::collection::vec(any_asked(), 40),
    ) {
        let mut rules: Vec<RuleSpec> = specs;
        for (at, spec) in rules.iter_mut().enumerate() {
            spec.rule.name = format!("r{at}").into();
        }
        // Rules that are at odds are errors; without them the table must be the reference.
        let table = loop {
            match PolicyTable::compile(rules.clone(), &[]) {
                Ok(table) => break table,
                Err(errors) => { rules.remove(errors[0].rule); }
            }
        };
        for asked in &asked {
            // Of preflights the reference knows nothing.
            if asked.method != "OPTIONS" {
                prop_assert_eq!(asked.answered_by(&table), reference(&rules, asked), "{:?}", asked);
            }
            asked.with_facts(|facts| explained(&table, &rules, facts));
        }
    }
}

// Rules that only conditions tell apart, with requests that some conditions cannot judge.

/// A request's headers, which may hold bytes that are no text, and its `context_extensions`, which may repeat a key.
#[derive(Clone, Debug)]
struct Told {
    method: &'static str,
    headers: Vec<(&'static str, &'static [u8])>,
    context: Vec<(&'static str, &'static str)>,
}

impl Told {
    fn value(&self, name: &str) -> Result<Option<String>, ()> {
        let lines = self.headers.iter().filter(|(line, _)| line.eq_ignore_ascii_case(name));
        let texts: Result<Vec<String>, _> = lines.map(|(_, value)| String::from_utf8(value.to_vec())).collect();
        let texts = texts.map_err(drop)?;
        Ok((!texts.is_empty()).then(|| texts.join(",")))
    }

    fn is_there(&self, name: &str) -> bool {
        self.headers.iter().any(|(line, _)| line.eq_ignore_ascii_case(name))
    }

    /// Judges one rule's conditions, in the documented order.
    fn meets(&self, matcher: &Matcher) -> Result<bool, ()> {
        let (context, headers) = conditions(matcher);
        for (key, want) in context {
            let values: Vec<&str> = self.context.iter().filter(|(k, _)| *k == &*key).map(|(_, v)| *v).collect();
            match values[..] {
                [value] if *value == *want => {}
                [] | [_] => return Ok(false),
                _ => return Err(()),
            }
        }
        for HeaderCondition { name, test } in headers {
            let holds = match test {
                HeaderTest::Present => self.is_there(&name),
                HeaderTest::Absent => !self.is_there(&name),
                HeaderTest::Equals(want) => self.value(&name)?.as_deref() == Some(&*want),
                HeaderTest::NotEquals(unwanted) => self.value(&name)?.as_deref() != Some(&*unwanted),
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// One rule after the other: the name of the first that holds, or, as an error, of the first that cannot be judged.
    fn one_by_one(&self, rules: &[RuleSpec]) -> Result<Option<String>, String> {
        let mut order: Vec<&RuleSpec> = rules.iter().collect();
        order.sort_by_key(|spec| {
            let (context, headers) = conditions(&spec.matcher);
            (spec.matcher.methods.is_empty(), Reverse(context.len()), Reverse(headers.len()), Reverse(spec.priority))
        });
        for spec in order {
            let methods = &spec.matcher.methods;
            if !methods.is_empty() && methods.iter().all(|method| **method != *self.method) {
                continue;
            }
            match self.meets(&spec.matcher) {
                Ok(true) => return Ok(Some(spec.rule.name.to_string())),
                Ok(false) => {}
                Err(()) => return Err(spec.rule.name.to_string()),
            }
        }
        Ok(None)
    }

    fn answered_by(&self, table: &PolicyTable, rules: &[RuleSpec]) -> Result<Option<String>, String> {
        let facts = RequestFacts::parse(RawRequest {
            direction: Direction::Inbound,
            method: self.method,
            host: "a",
            path: "/x",
            headers: Headers::new(self.headers.iter().map(|(name, value)| Header { name, value }).collect()),
            principal: "",
            certificate: "",
            context_extensions: self.context.clone(),
        })
        .unwrap();
        let name = |rule: &Rule| rule.name.to_string();
        explained(table, rules, &facts);
        table.find(&facts).map(|found| found.map(|found| name(found.rule))).map_err(|found| name(found.rule))
    }
}

type Context = Vec<(Box<str>, Box<str>)>;

/// Conditions as they count: each once, by name.
fn conditions(matcher: &Matcher) -> (Context, Vec<HeaderCondition>) {
    let (mut context, mut headers) = (matcher.context_extensions.clone(), matcher.headers.clone());
    context.sort();
    context.dedup();
    headers.sort();
    headers.dedup();
    (context, headers)
}

fn conditional_rule() -> impl Strategy<Value = RuleSpec> {
    use prop::sample::select;
    let test = prop_oneof![
        4 => select(vec!["1", "2", "3", "1,2"]).prop_map(|value| HeaderTest::Equals(value.into())),
        1 => select(vec!["1", "2"]).prop_map(|value| HeaderTest::NotEquals(value.into())),
        1 => Just(HeaderTest::Present),
        1 => Just(HeaderTest::Absent),
    ];
    let header = (select(vec!["x-a", "x-b", "x-c"]), test);
    let context = (select(vec!["app", "tier"]), select(vec!["1", "2", "3", "4", "5", "6"]));
    (
        prop::collection::vec(header, 0..3),
        prop::collection::vec(context, 0..3),
        prop::collection::vec(select(vec!["GET", "POST"]), 0..2),
        prop::bool::weighted(0.05),
        0..1000_i32,
    )
        .prop_map(|(headers, context, methods, deny, priority)| {
            let mut spec = rule("", deny, matcher(&[], &["/x"], &methods));
            let condition = |(name, test): (&str, _)| HeaderCondition { name: name.into(), test };
            spec.matcher.headers = headers.into_iter().map(condition).collect();
            spec.matcher.context_extensions = context.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
            RuleSpec { priority, fallback: true, ..spec }
        })
}

fn told() -> impl Strategy<Value = Told> {
    use prop::sample::select;
    let value = prop_oneof![12 => select(vec![&b"1"[..], b"2", b"3"]), 1 => Just(&b"\xff"[..])];
    let headers = prop::collection::vec((select(vec!["x-a", "X-A", "x-b", "x-c", "x-d"]), value), 0..4);
    let context = (select(vec!["app", "tier", "none"]), select(vec!["1", "2", "3", "4", "5", "6"]));
    (select(vec!["GET", "POST", "PUT"]), headers, prop::collection::vec(context, 0..3))
        .prop_map(|(method, headers, context)| Told { method, headers, context })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn many_rules_on_one_path_are_as_if_tried_one_by_one(
        specs in prop::collection::vec(conditional_rule(), 1..60),
        told in prop::collection::vec(told(), 60),
    ) {
        let mut rules: Vec<RuleSpec> = specs;
        for (at, spec) in rules.iter_mut().enumerate() {
            spec.rule.name = format!("r{at}").into();
        }
        let table = loop {
            match PolicyTable::compile(rules.clone(), &[]) {
                Ok(table) => break table,
                Err(errors) => { rules.remove(errors[0].rule); }
            }
        };
        let (deny, allow): (Vec<_>, Vec<_>) =
            rules.iter().cloned().partition(|spec| matches!(spec.rule.effect.action, Action::Deny));
        for told in &told {
            let want = match told.one_by_one(&deny) {
                Ok(None) => told.one_by_one(&allow),
                found => found,
            };
            prop_assert_eq!(told.answered_by(&table, &rules), want, "{:?}", told);
        }
    }
}
