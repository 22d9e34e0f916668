//! The policy as text, with comments.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::decision::{Answer, Condition, Wanted};
use super::formula::ClaimTest;
use super::model::{Keys, Model, Provider};
use super::plan::PlannedRule;
use super::quote::{comment, list, scalar};

/// Signature algorithms that are accepted: the keys say which of them are used.
const ALGORITHMS: &str = "[RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA]";

/// The policy's text, and the files that it names.
pub(super) fn policy(model: &Model, rules: &[PlannedRule], from: &str) -> (String, Vec<(String, String)>) {
    let mut out = String::new();
    comment(&mut out, "", &format!("Imported by `tollgate import` from {from}."));
    comment(
        &mut out,
        "",
        "Nothing is allowed here that was refused there, as far as what is assumed holds. Where a comment says so, \
         less is. Paths are decoded once before they are compared: let Envoy normalise them, too.",
    );
    out.push_str("\nserver:\n  check:\n    - { listen: \"unix:/run/tollgate/inbound.sock\", direction: inbound }\n");
    let (used, files) = issuers(&mut out, model, rules);
    if !model.set_headers.is_empty() {
        out.push('\n');
        comment(&mut out, "", "Set for the upstream, by a rule or by nobody: a client's own are removed.");
        let _ = writeln!(out, "identity_headers: {}", list(model.set_headers.iter().map(String::as_str)));
    }
    if rules.iter().any(|rule| rule.closes) {
        nobody(&mut out, used);
    }
    if rules.is_empty() {
        out.push_str("\n# Nothing is allowed.\nrules: []\n");
        return (out, files);
    }
    out.push_str("\nrules:\n");
    for (index, rule) in rules.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        write_rule(&mut out, model, rule, used);
    }
    (out, files)
}

/// Writes the issuers. Whether there are any; and the files of keys.
fn issuers(out: &mut String, model: &Model, rules: &[PlannedRule]) -> (bool, Vec<(String, String)>) {
    let mut wanted = BTreeSet::new();
    for rule in rules {
        if let Answer::Optional(asked) | Answer::Require(asked) = &rule.decision.answer {
            wanted.extend(asked.issuers.iter().copied());
        }
    }
    let mut files = Vec::new();
    if wanted.is_empty() {
        return (false, files);
    }
    out.push_str("\nissuers:\n");
    for provider in wanted.iter().filter_map(|index| model.providers.get(*index)) {
        comment(out, "  ", &format!("From {}.", provider.place));
        let _ = writeln!(out, "  {}:", scalar(&provider.name));
        let _ = writeln!(out, "    issuer: {}", scalar(&provider.issuer));
        write_keys(out, provider, &mut files);
        let _ = writeln!(out, "    algorithms: {ALGORITHMS}");
        out.push_str("    kid: optional\n");
        let _ = writeln!(out, "    leeway: {}s", provider.leeway_seconds);
        if let Some(seconds) = provider.max_lifetime_seconds {
            let _ = writeln!(out, "    max_lifetime: {seconds}s");
        }
        if let Some(header) = &provider.header {
            let _ = writeln!(out, "    credential: {{ header: {} }}", scalar(header));
        }
        if !provider.extra.is_empty() {
            out.push_str("    claims:\n      extra:\n");
            for (name, path) in &provider.extra {
                let path = list(path.iter().map(String::as_str));
                let _ = writeln!(out, "        {}: {path}", scalar(name));
            }
        }
    }
    (true, files)
}

fn write_keys(out: &mut String, provider: &Provider, files: &mut Vec<(String, String)>) {
    match &provider.keys {
        Keys::Url(url) if url.starts_with("http:") => {
            let _ = writeln!(out, "    keys: {{ jwks: {}, allow_insecure_http: true }}", scalar(url));
        }
        Keys::Url(url) => {
            let _ = writeln!(out, "    keys: {{ jwks: {} }}", scalar(url));
        }
        Keys::File(path) => {
            let _ = writeln!(out, "    keys: {{ jwks_file: {} }}", scalar(path));
        }
        Keys::Inline(content) => {
            let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
            let stem: String = provider.name.chars().map(plain).take(64).collect();
            let mut name = format!("{stem}.jwks");
            while files.iter().any(|(taken, _)| *taken == name) {
                name.insert(0, 'x');
            }
            let _ = writeln!(out, "    keys: {{ jwks_file: {} }}", scalar(&name));
            files.push((name, content.clone()));
        }
    }
}

/// A requirement that nothing meets, for what is refused between rules that allow.
fn nobody(out: &mut String, with_tokens: bool) {
    out.push_str("\nrequirements:\n");
    comment(
        out,
        "  ",
        "Nothing meets this. It refuses the requests of one rule alone, where `deny: true` would refuse those of more \
         specific rules, too.",
    );
    if with_tokens {
        out.push_str("  nobody:\n    audience: unchecked\n");
        out.push_str("    claims: [{ path: sub, present: true }, { path: sub, absent: true }]\n");
    } else {
        out.push_str("  nobody: { caller: { spiffe: [\"spiffe://nobody.invalid/nobody\"] } }\n");
    }
}

fn write_rule(out: &mut String, model: &Model, rule: &PlannedRule, with_tokens: bool) {
    for origin in &rule.origins {
        comment(out, "  ", &format!("From {origin}."));
    }
    for note in rule.decision.notes.iter().filter_map(|note| model.notes.all.get(*note)) {
        let place = if note.place.is_empty() { String::new() } else { format!("{}: ", note.place) };
        comment(out, "  ", &format!("Narrowed: {place}{}.", note.message));
    }
    let _ = writeln!(out, "  - name: {}", scalar(&rule.name));
    let mut parts = Vec::new();
    if !rule.hosts.is_empty() {
        let hosts: Vec<String> = rule.hosts.iter().map(ToString::to_string).collect();
        parts.push(format!("hosts: {}", list(hosts.iter().map(String::as_str))));
    }
    let paths: Vec<String> = rule.paths.iter().map(ToString::to_string).collect();
    if paths != ["/**"] {
        parts.push(format!("paths: {}", list(paths.iter().map(String::as_str))));
    }
    if !rule.methods.is_empty() {
        parts.push(format!("methods: {}", list(rule.methods.iter().map(String::as_str))));
    }
    if !parts.is_empty() {
        let _ = writeln!(out, "    match: {{ {} }}", parts.join(", "));
    }
    match &rule.decision.answer {
        Answer::Deny if !rule.closes => out.push_str("    deny: true\n"),
        Answer::Deny if with_tokens => out.push_str("    require: nobody\n"),
        Answer::Deny => out.push_str("    allow: anonymous\n    require: nobody\n"),
        Answer::Anonymous(None) => out.push_str("    allow: anonymous\n"),
        Answer::Anonymous(Some(callers)) => {
            let ids = list(callers.iter().map(String::as_str));
            let _ = writeln!(out, "    allow: anonymous\n    require: {{ caller: {{ spiffe: {ids} }} }}");
        }
        Answer::Optional(wanted) => {
            out.push_str("    allow: optional\n");
            write_wanted(out, model, wanted);
        }
        Answer::Require(wanted) => write_wanted(out, model, wanted),
    }
}

fn write_wanted(out: &mut String, model: &Model, wanted: &Wanted) {
    let providers: Vec<&Provider> = wanted.issuers.iter().filter_map(|index| model.providers.get(*index)).collect();
    out.push_str("    require:\n");
    let _ = writeln!(out, "      issuers: {}", list(providers.iter().map(|provider| provider.name.as_str())));
    let any = (!wanted.any.is_empty()).then(|| format!("any: {}", list(wanted.any.iter().map(String::as_str))));
    let all = (!wanted.all.is_empty()).then(|| format!("all: {}", list(wanted.all.iter().map(String::as_str))));
    match [any, all].into_iter().flatten().collect::<Vec<_>>() {
        parts if parts.is_empty() => out.push_str("      audience: unchecked\n"),
        parts => {
            let _ = writeln!(out, "      audience: {{ {} }}", parts.join(", "));
        }
    }
    if !wanted.claims.is_empty() {
        out.push_str("      claims:\n");
        for condition in &wanted.claims {
            let _ = writeln!(out, "        - {}", written(condition));
        }
    }
    if let Some(callers) = &wanted.callers {
        let _ = writeln!(out, "      caller: {{ spiffe: {} }}", list(callers.iter().map(String::as_str)));
    }
    if providers.iter().any(|provider| provider.removes_token) {
        out.push_str("    remove_token: true\n");
    }
    let mut inject: Vec<&(String, String)> = providers.iter().flat_map(|provider| &provider.inject).collect();
    inject.sort();
    inject.dedup();
    if !inject.is_empty() {
        out.push_str("    inject:\n");
        for (header, template) in inject {
            let _ = writeln!(out, "      {}: {}", scalar(header), scalar(template));
        }
    }
}

fn written(condition: &Condition) -> String {
    let path = |path: &[String]| list(path.iter().map(String::as_str));
    let values = |tests: &BTreeSet<ClaimTest>| tests.iter().map(value).collect::<Vec<_>>();
    match condition {
        Condition::In(claim, tests) => match values(tests).as_slice() {
            [only] => format!("{{ path: {}, equals: {only} }}", path(claim)),
            several => format!("{{ path: {}, in: [{}] }}", path(claim), several.join(", ")),
        },
        Condition::NotIn(claim, tests) => {
            format!("{{ path: {}, not_in: [{}] }}", path(claim), values(tests).join(", "))
        }
        Condition::Test(claim, test) => {
            let test = match test {
                ClaimTest::Present => "present: true".to_owned(),
                ClaimTest::Holds(text) => format!("contains: {}", scalar(text)),
                ClaimTest::Pattern(text) => format!("pattern: {}", scalar(text)),
                other => format!("equals: {}", value(other)),
            };
            format!("{{ path: {}, {test} }}", path(claim))
        }
    }
}

fn value(test: &ClaimTest) -> String {
    match test {
        ClaimTest::Text(text) | ClaimTest::Holds(text) | ClaimTest::Pattern(text) => scalar(text),
        ClaimTest::Flag(flag) => flag.to_string(),
        ClaimTest::Number(number) => number.to_string(),
        ClaimTest::Present => "true".to_owned(),
    }
}
