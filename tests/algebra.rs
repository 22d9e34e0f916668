//! The algebra of matchers, and what lint says with it, against the compiled table: on random tables, whatever is said of
//! a request is what the table does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/rules.rs"]
mod rules;

use std::collections::BTreeSet;

use proptest::prelude::*;
use rules::{matcher, rule};
use tollgate::core::request::{Direction, RequestFacts};
use tollgate::core::table::algebra::{Budget, Coverage, Region, Sample, Stake, uncovered};
use tollgate::core::table::{HeaderCondition, HeaderTest, Matcher, PolicyTable, RuleSpec};

fn spec(deny: bool, matcher: Matcher) -> RuleSpec {
    RuleSpec { fallback: true, ..rule("", deny, matcher) }
}

fn region(host: &str, path: &str, method: &str) -> Region {
    let hosts: Vec<&str> = (!host.is_empty()).then_some(host).into_iter().collect();
    let methods: Vec<&str> = (!method.is_empty()).then_some(method).into_iter().collect();
    Region::of(&matcher(&hosts, &[path], &methods)).next().unwrap()
}

fn condition(name: &str, test: HeaderTest) -> HeaderCondition {
    HeaderCondition { name: name.into(), test }
}

/// Whether a matcher's own criteria are met, judged one by one.
fn is_in(region: &Region, sample: &Sample) -> bool {
    let facts = RequestFacts::parse(sample.raw()).unwrap();
    let segments: Vec<&str> = facts.path.segments().collect();
    let words: Vec<Option<&str>> = region.path.words().collect();
    let long_enough = if region.path.is_open() { segments.len() >= words.len() } else { segments.len() == words.len() };
    region.direction == facts.direction
        && region.host.as_ref().is_none_or(|host| host.matches(facts.host.as_str()))
        && region.method.as_ref().is_none_or(|method| **method == *facts.method)
        && long_enough
        && words.iter().zip(&segments).all(|(word, segment)| word.map_or(!segment.is_empty(), |word| word == *segment))
        && region.headers.iter().all(|condition| condition.holds(&facts).unwrap())
        && region.context.iter().all(|(key, value)| facts.context(key).eq([&**value]))
}

#[test]
fn a_union_covers_what_none_of_it_does() {
    let open = |path: &str| region("", path, "");
    let with = |test: HeaderTest| Region { headers: vec![condition("x-v", test)], ..open("/a/**") };
    let covered = [
        (open("/a"), vec![open("/**")]),
        (open("/a/**"), vec![open("/a"), open("/a/"), open("/a/{x}/**")]),
        (open("/{x}"), vec![open("/{y}")]),
        (open("/a/**"), vec![with(HeaderTest::Present), with(HeaderTest::Absent)]),
        (open("/a/**"), vec![with(HeaderTest::Equals("1".into())), with(HeaderTest::NotEquals("1".into()))]),
        (region("a.b.c", "/x", "GET"), vec![region("*.c", "/x", "")]),
        (region("*.b.c", "/x", "GET"), vec![region("*.c", "/{x}", "GET")]),
    ];
    for (whole, parts) in covered {
        let parts: Vec<&Region> = parts.iter().collect();
        assert_eq!(uncovered(&whole, &parts, &mut Budget::default()), Coverage::Covered, "{whole:?} {parts:?}");
        if parts.len() > 1 {
            for left_out in 0..parts.len() {
                let mut fewer = parts.clone();
                fewer.remove(left_out);
                let Coverage::Open(sample) = uncovered(&whole, &fewer, &mut Budget::default()) else { panic!() };
                assert!(is_in(&whole, &sample) && !fewer.iter().any(|part| is_in(part, &sample)), "{sample}");
            }
        }
    }
    let open_ones = [
        (open("/a/**"), vec![open("/a/{x}/**")]),
        (open("/{x}"), vec![open("/a"), open("/b")]),
        (region("", "/x", ""), vec![region("", "/x", "GET"), region("", "/x", "POST")]),
        (region("*.c", "/x", ""), vec![region("a.c", "/x", ""), region("*.b.c", "/x", "")]),
        (open("/a/**"), vec![with(HeaderTest::Present)]),
    ];
    for (whole, parts) in open_ones {
        let parts: Vec<&Region> = parts.iter().collect();
        let Coverage::Open(sample) = uncovered(&whole, &parts, &mut Budget::default()) else { panic!("{whole:?}") };
        assert!(is_in(&whole, &sample) && !parts.iter().any(|part| is_in(part, &sample)), "{sample}");
    }
}

#[test]
fn a_search_that_is_too_long_says_so() {
    let whole = region("", "/**", "");
    let with = |name: String, test| Region { headers: vec![condition(&name, test)], ..whole.clone() };
    let pairs = (0..24).map(|at| {
        let both = [
            condition(&format!("x-{at}"), HeaderTest::Equals("1".into())),
            condition(&format!("y-{at}"), HeaderTest::Present),
        ];
        Region { headers: both.into(), ..whole.clone() }
    });
    let mut parts: Vec<Region> = pairs.collect();
    parts.push(with("z".into(), HeaderTest::Present));
    parts.push(with("z".into(), HeaderTest::Absent));
    let parts: Vec<&Region> = parts.iter().collect();
    assert_eq!(uncovered(&whole, &parts, &mut Budget(1000)), Coverage::Undecided);
}

#[test]
fn regions_that_contradict_themselves_are_empty() {
    let headers = vec![condition("x-v", HeaderTest::Present), condition("x-v", HeaderTest::Absent)];
    let empty = Region { headers, ..region("", "/a", "") };
    assert!(empty.is_empty() && empty.sample().is_none() && region("", "/b", "").covers(&empty));
    assert!(!empty.meets(&region("", "/a", "")));
}

#[test]
fn samples_of_unusual_patterns_are_requests() {
    for path in ["/", "/a/", "/a%20b/{x}", "/%7B/**", "/{x}/{y}/**", "/a%25/b"] {
        let region = region("*.example.com", path, "");
        let sample = region.sample().unwrap();
        assert!(is_in(&region, &sample), "{path}: {sample}");
    }
}

fn any_test() -> impl Strategy<Value = HeaderTest> {
    prop_oneof![
        Just(HeaderTest::Present),
        Just(HeaderTest::Absent),
        prop::sample::select(vec!["1", "2"]).prop_map(|value| HeaderTest::Equals(value.into())),
        prop::sample::select(vec!["1", "2"]).prop_map(|value| HeaderTest::NotEquals(value.into())),
    ]
}

fn any_spec() -> impl Strategy<Value = RuleSpec> {
    let host = prop::sample::select(vec!["a.b", "b", "c.a.b", "*.b", "*.a.b"]);
    let segment = prop::sample::select(vec!["a", "b", "{x}"]);
    let path = (prop::collection::vec(segment, 0..4), 0..3).prop_map(|(segments, end)| {
        let mut text = String::new();
        for (at, segment) in segments.iter().enumerate() {
            text += &format!("/{}", if *segment == "{x}" { format!("{{p{at}}}") } else { (*segment).to_owned() });
        }
        match end {
            0 if !text.is_empty() => text,
            1 => format!("{text}/"),
            _ => format!("{text}/**"),
        }
    });
    let header = (prop::sample::select(vec!["x-v", "x-w"]), any_test()).prop_map(|(name, test)| condition(name, test));
    let context = prop::sample::select(vec![("tier", "gold"), ("tier", "lead"), ("zone", "a")]);
    (
        prop::collection::vec(host, 0..2),
        prop::collection::vec(path, 1..3),
        prop::collection::vec(prop::sample::select(vec!["GET", "POST"]), 0..2),
        prop::collection::vec(header, 0..3),
        prop::option::weighted(0.2, context),
        (prop::bool::weighted(0.2), 0..3_i32, prop::bool::weighted(0.2), prop::bool::weighted(0.1)),
    )
        .prop_map(|(hosts, paths, methods, headers, context, (deny, priority, preflight, outbound))| {
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            let mut matcher = matcher(&hosts, &paths, &methods);
            matcher.headers = headers;
            matcher.context_extensions = context.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
            matcher.direction = Some(if outbound { Direction::Outbound } else { Direction::Inbound });
            RuleSpec { priority, cors_preflight: preflight && !deny, ..spec(deny, matcher) }
        })
}

/// A table of these rules, without those that are at odds with others.
fn compiled(mut specs: Vec<RuleSpec>) -> (Vec<RuleSpec>, PolicyTable) {
    for (at, spec) in specs.iter_mut().enumerate() {
        spec.rule.name = format!("r{at}").into();
    }
    loop {
        match PolicyTable::compile(specs.clone(), &[]) {
            Ok(table) => return (specs, table),
            Err(errors) => drop(specs.remove(errors[0].rule)),
        }
    }
}

fn answers(specs: &[RuleSpec], table: &PolicyTable, sample: &Sample) -> Option<usize> {
    let facts = RequestFacts::parse(sample.raw()).unwrap();
    let found = table.find(&facts).unwrap()?;
    specs.iter().position(|spec| spec.rule.name == found.rule.name)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_is_said_of_rules_is_what_the_table_does(specs in prop::collection::vec(any_spec(), 1..14)) {
        let (specs, table) = compiled(specs);
        let stakes = Stake::of(&specs);
        let mut requests: Vec<Sample> = Vec::new();
        let mut lost = BTreeSet::new();
        for rule in 0..specs.len() {
            let mut reached = false;
            for stake in stakes.iter().filter(|stake| stake.rule == rule) {
                let before = |other: &&Stake| other.rule != rule && other.precedes(stake);
                let others: Vec<&Region> = stakes.iter().filter(before).map(|other| &other.region).collect();
                match uncovered(&stake.region, &others, &mut Budget(1_000_000)) {
                    Coverage::Open(sample) => {
                        prop_assert_eq!(answers(&specs, &table, &sample), Some(rule), "{}", sample);
                        prop_assert!(is_in(&stake.region, &sample));
                        requests.push(sample);
                        reached = true;
                    }
                    Coverage::Covered => {}
                    Coverage::Undecided => prop_assert!(false, "not decided"),
                }
            }
            if !reached {
                lost.insert(rule);
            }
        }
        // Requests of every pair, and of each beside each other: none finds a rule that nothing is said to reach.
        for a in &stakes {
            requests.extend(a.region.sample());
            for b in &stakes {
                let both = a.region.meet(&b.region);
                prop_assert_eq!(both.is_some(), a.region.meets(&b.region));
                prop_assert_eq!(both.is_some(), b.region.meets(&a.region));
                if let Some(both) = both {
                    let sample = both.sample().unwrap();
                    prop_assert!(is_in(&a.region, &sample) && is_in(&b.region, &sample), "{}", sample);
                    requests.push(sample);
                }
                let beside = a.region.beside(&b.region);
                prop_assert_eq!(beside.is_none(), b.region.covers(&a.region), "{:?} {:?}", a.region, b.region);
                requests.extend(beside);
            }
        }
        for sample in &requests {
            if let Some(rule) = answers(&specs, &table, sample) {
                prop_assert!(!lost.contains(&rule), "{} is answered by {}", sample, rule);
            }
            // Of those that claim it, the one before all others answers.
            let claims = || stakes.iter().filter(|stake| is_in(&stake.region, sample));
            let first = claims().find(|stake| claims().all(|other| std::ptr::eq(*stake, other) || other.rule == stake.rule || stake.precedes(other)));
            prop_assert_eq!(answers(&specs, &table, sample), first.map(|stake| stake.rule), "{}", sample);
        }
    }
}
