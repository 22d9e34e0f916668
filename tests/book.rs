//! The book: every page is in it, every link leads somewhere, and what pages show loads, runs, or is what the program says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/markdown.rs"]
mod markdown;
#[path = "support/program.rs"]
mod program;

use std::fs;
use std::path::{Path, PathBuf};

use markdown::{anchors, blocks, links, running_text};
use program::{tollgate, words};
use tollgate::config;
use tollgate::core::reason::Reason;
use tollgate::lint::lint;

/// Pages whose every block is held by this suite. Those of other pages are held by suites of their own.
const HELD: [&str; 9] = [
    "comparison",
    "concepts",
    "gateways",
    "getting-started",
    "issuers",
    "migrating",
    "operating",
    "outbound",
    "streams",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join(format!("docs/{name}.md"))).unwrap()
}

/// Every page: the project's own, and those of `docs/` and `envoy/`.
fn pages() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["", "docs", "envoy"] {
        let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        found.extend(entries.filter(|path| path.extension().is_some_and(|ext| ext == "md")));
    }
    found.sort();
    assert!(found.len() > 25, "{found:?}");
    found
}

fn contents() -> PathBuf {
    root().join("docs/SUMMARY.md")
}

/// Where a link leads from a page, and its anchor; `None` for those that leave the project.
fn target(page: &Path, link: &str) -> Option<(PathBuf, Option<String>)> {
    if link.contains("://") {
        return None;
    }
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor.to_owned())));
    let to = if file.is_empty() { page.to_owned() } else { page.parent().unwrap().join(file) };
    Some((to.canonicalize().unwrap_or(to), anchor))
}

#[test]
fn every_page_is_in_the_table_of_contents_once() {
    let text = fs::read_to_string(contents()).unwrap();
    let listed: Vec<PathBuf> = links(&text).into_iter().map(|link| target(&contents(), link).unwrap().0).collect();
    for page in pages().into_iter().filter(|page| *page != contents()) {
        let times = listed.iter().filter(|listed| **listed == page).count();
        assert_eq!(times, 1, "docs/SUMMARY.md lists {} so often", page.display());
    }
    // What is listed is put into the book.
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let copied = makefile.split("@cp -r ").nth(1).and_then(|rest| rest.split(" target/book-src").next()).unwrap();
    for path in listed {
        let first = path.strip_prefix(root()).unwrap().iter().next().unwrap().to_str().unwrap();
        assert!(copied.split(' ').any(|name| name == first), "`make book` does not copy {first}");
    }
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let mut checked = 0;
    for page in pages().into_iter().chain([root().join("proto/README.md")]) {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            let Some((to, anchor)) = target(&page, link) else { continue };
            assert!(to.exists(), "{}: `{link}` leads nowhere", page.display());
            if let Some(anchor) = anchor {
                let known = anchors(&fs::read_to_string(&to).unwrap());
                assert!(known.contains(&anchor), "{}: `{link}`: no such heading in {known:?}", page.display());
                checked += 1;
            }
        }
    }
    assert!(checked > 40, "{checked}");
}

#[test]
fn every_picture_is_shown_and_nothing_needs_another_renderer() {
    let texts: Vec<(PathBuf, String)> =
        pages().into_iter().map(|page| (page.clone(), fs::read_to_string(page).unwrap())).collect();
    for (page, text) in &texts {
        let drawn = blocks(text).iter().any(|(info, _)| info == "mermaid");
        assert!(!drawn, "{}: mdBook does not draw mermaid: make it a picture in docs/images", page.display());
    }
    for entry in fs::read_dir(root().join("docs/images")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(texts.iter().any(|(_, text)| text.contains(&format!("images/{name})"))), "{name} is shown nowhere");
        if name.ends_with(".svg") {
            let picture = fs::read_to_string(&path).unwrap();
            assert!(
                picture.contains("<title id=\"t\">") && picture.contains("<desc id=\"d\">"),
                "{name}: say what it shows"
            );
        }
    }
}

/// A folder with the files that policies of pages name.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("secrets")).unwrap();
    for name in ["client", "orders", "oauth-public.key"] {
        fs::write(directory.path().join("secrets").join(name), "not-a-secret\n").unwrap();
    }
    directory
}

fn load(directory: &Path, shown: &str, policy: &str) -> config::Config {
    let policy = policy.replace(" /secrets/", &format!(" {}/secrets/", directory.display()));
    let policy = policy.replace("[/secrets/", &format!("[{}/secrets/", directory.display()));
    config::load_from(&policy, directory, Path::new(shown))
        .unwrap_or_else(|errors| panic!("{shown}:\n{errors}\n{policy}"))
}

#[test]
fn every_policy_loads_and_is_as_it_is_meant() {
    let directory = directory();
    let mut policies = 0;
    for name in HELD {
        for (info, text) in blocks(&page(name)) {
            let shown = format!("docs/{name}.md");
            if info.starts_with("yaml file ") {
                let report = lint(&load(directory.path(), &shown, &text));
                assert!(report.findings.is_empty(), "{shown}, {info}: {:#?}", report.findings);
                policies += 1;
            } else if info == "yaml issuer" {
                let issuer: String = text.lines().map(|line| format!("    {line}\n")).collect();
                let server = "server: { check: [{ listen: \"unix:/run/in.sock\", direction: inbound }] }";
                load(directory.path(), &shown, &format!("{server}\nissuers:\n  example:\n{issuer}rules: []\n"));
                policies += 1;
            }
        }
    }
    assert!(policies >= 9, "{policies}");
}

#[test]
fn sessions_are_what_the_program_says() {
    let folder = directory();
    let text = page("getting-started");
    let policy = blocks(&text).into_iter().find(|(info, _)| info == "yaml file getting-started").unwrap().1;
    fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    let mut sessions = 0;
    for (_, block) in blocks(&text).into_iter().filter(|(info, _)| info == "console") {
        for session in format!("\n{block}").split("\n$ tollgate ").skip(1) {
            let command_ends = session.match_indices('\n').find(|(at, _)| !session[..*at].ends_with('\\')).unwrap().0;
            let (command, shown) = session.split_at(command_ends);
            let words = words(&command.replace("\\\n", " "));
            let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
            let ran = tollgate(folder.path(), &arguments, b"");
            assert!(ran.code < 2, "{command}: {}", ran.err);
            assert_eq!(ran.out.trim_end(), shown.trim(), "{command}");
            sessions += 1;
        }
    }
    assert_eq!(sessions, 3);
}

/// Names and values.
type Headers = &'static [(&'static str, &'static str)];

/// What the policies of pages make of tokens as the pages describe them: request, claims, and what is set.
#[test]
fn policies_make_of_tokens_what_pages_say() {
    type Shown = (&'static str, &'static str, [&'static str; 2], &'static str, Headers);
    const SHOWN: [Shown; 6] = [
        (
            "migrating",
            "shared-key",
            ["GET", "/orders/api/7"],
            r#"{"aud":"7","sub":"7","scopes":["*"],"iat":1777636790.5}"#,
            &[("x-client-id", "7")],
        ),
        (
            "migrating",
            "shared-key",
            ["GET", "/orders/my/7"],
            r#"{"aud":"2","sub":"42","scopes":["orders.read"]}"#,
            &[("x-client-id", "2"), ("x-user-id", "42")],
        ),
        (
            "migrating",
            "introspection",
            ["POST", "/api/process"],
            r#"{"aud":"orders","sub":"u-1","azp":"web","preferred_username":"alice","email":"a@shop.example","realm_access":{"roles":["clerk","user"]}}"#,
            &[
                ("x-roles", "clerk,user"),
                ("x-user-email", "a@shop.example"),
                ("x-user-id", "u-1"),
                ("x-user-name", "alice"),
            ],
        ),
        (
            "migrating",
            "m2m",
            ["POST", "/api/internal/payments/7"],
            r#"{"aud":["api.shop.example"],"sub":"m2m_orders","client_id":"m2m_orders","scopes":["read:payments","write:payments"],"custom_claims":{"service_name":"order-service","environment":"production"}}"#,
            &[("x-service-name", "order-service"), ("x-service-scopes", "read:payments,write:payments")],
        ),
        (
            "getting-started",
            "getting-started",
            ["GET", "/orders/7"],
            r#"{"aud":"orders","sub":"alice","scope":"orders.read"}"#,
            &[("x-user", "alice")],
        ),
        (
            "outbound",
            "exchange",
            ["GET", "/orders/7"],
            r#"{"aud":"orders","sub":"alice","scope":"orders.read"}"#,
            &[("x-user", "alice")],
        ),
    ];
    let folder = directory();
    for (name, policy, [method, path], claims, set) in SHOWN {
        let info = format!("yaml file {policy}");
        let text = blocks(&page(name)).into_iter().find(|(of, _)| *of == info).unwrap().1;
        let text = text.replace("/secrets/", &format!("{}/secrets/", folder.path().display()));
        fs::write(folder.path().join("policy.yaml"), text).unwrap();
        let explain = ["explain", "--json", "--config", "policy.yaml", "--at", "2026-05-01T12:00:00Z"];
        let request = ["--host", "shop.example", "--method", method, "--path", path, "--claims"];
        let ran = tollgate(folder.path(), &[&explain[..], &request, &[claims]].concat(), b"");
        assert_eq!(ran.code, 0, "docs/{name}.md, {policy}: {}{}", ran.out, ran.err);
        let answer = &ran.json()["answer"];
        let pairs = answer["set"].as_array().unwrap().iter();
        let mut said: Vec<(&str, &str)> =
            pairs.map(|header| (header["name"].as_str().unwrap(), header["value"].as_str().unwrap())).collect();
        said.sort_unstable();
        assert_eq!(said, set, "docs/{name}.md, {policy}: {claims}");
        // The least that is missing refuses it.
        let less = claims
            .replace("orders.read", "other")
            .replace("[\"*\"]", "[]")
            .replace("clerk", "x")
            .replace("write:", "x:");
        let ran = tollgate(folder.path(), &[&explain[..], &request, &[&less]].concat(), b"");
        assert_eq!(ran.code, 1, "docs/{name}.md, {policy}: {}{}", ran.out, ran.err);
    }
}

/// Of a kind that nothing looks at there is no block.
#[test]
fn every_block_is_held_by_something() {
    let mut commands = 0;
    for name in HELD {
        for (info, text) in blocks(&page(name)) {
            match &*info {
                // Here.
                "yaml issuer" => {}
                "console" => assert_eq!(name, "getting-started"),
                kind if kind.starts_with("yaml file ") => {}
                // `tests/envoy_streams.rs`.
                "yaml routes" => assert!(["streams", "gateways"].contains(&name)),
                "yaml filter" => assert_eq!(name, "migrating"),
                // Consul's own; the page says that nobody ran it.
                "hcl" => assert!(page(name).contains("None of this was run against Consul by the tests")),
                // Commands, and a request as it is sent. `tests/repo.rs` knows the targets of `make`.
                "" => {
                    for line in text.lines().filter(|line| line.starts_with("tollgate ")) {
                        let line = line.split(" < ").next().unwrap();
                        let parsed = tollgate::cli::command().try_get_matches_from(words(line));
                        assert!(parsed.is_ok(), "docs/{name}.md: `{line}`: {parsed:?}");
                        commands += 1;
                    }
                }
                other => panic!("docs/{name}.md: what is `{other}`, and who looks at it?"),
            }
        }
    }
    assert!(commands >= 4, "{commands}");
}

#[test]
fn reasons_and_metrics_that_pages_name_exist() {
    let metrics = page("metrics");
    let mut named = [0; 2];
    for name in HELD {
        let text = page(name);
        for line in running_text(&text) {
            let spans: Vec<&str> = line.split('`').collect();
            for (at, span) in spans.iter().enumerate().skip(1).step_by(2) {
                let family = span.split(['{', '…']).next().unwrap();
                if family.starts_with("tollgate_") {
                    let row = if span.contains('…') { format!("| `{family}") } else { format!("| `{family}{{") };
                    let alone = format!("| `{family}`");
                    assert!(metrics.contains(&row) || metrics.contains(&alone), "docs/{name}.md: `{span}`");
                    named[0] += 1;
                }
                // `401` and the like before a code: the code is a reason with that status.
                let status = spans[at - 1].trim_end().rsplit(|c: char| !c.is_ascii_digit()).next().unwrap();
                let is_code = span.chars().all(|c| c.is_ascii_lowercase() || c == '_') && span.contains('_');
                if let (Ok(status @ 400..600), true) = (status.parse::<u16>(), is_code) {
                    let reason = Reason::ALL.iter().find(|reason| reason.code() == *span);
                    let reason = reason.unwrap_or_else(|| panic!("docs/{name}.md: `{span}` is no reason"));
                    assert_eq!(reason.http_status(), status, "docs/{name}.md: `{span}`");
                    named[1] += 1;
                }
            }
        }
    }
    assert!(named.iter().all(|count| *count >= 5), "{named:?}");
}

/// What `docs/concepts.md` says of defaults is what `docs/policy.md` says, which other tests hold to the program.
#[test]
fn defaults_are_said_alike() {
    let (concepts, policy) = (page("concepts"), page("policy"));
    for (row, said) in [
        ("| `cache.max_age` | duration, up to `1day` | `5m` |", "| 5 min, never past its `exp`"),
        ("| `cache.active` | duration, up to `1day` | `30s` |", "| active 30 s, inactive 5 s |"),
        ("| `cache.inactive` | duration, up to `5m` | `5s` |", "| active 30 s, inactive 5 s |"),
        ("| `refresh` | duration | `10m` |", "else 10 min;"),
        ("| `refresh_min`, `refresh_max` | duration | `30s`, `1h` |", "between 30 s and 1 h"),
        ("| `exchange.cache.max_age` | duration, up to `1day` | `5m` |", "| 5 min, never nearer than 10 s"),
        ("| `exchange.cache.margin` | duration, up to `10m` | `10s` |", "| 5 min, never nearer than 10 s"),
        (
            "| `client_credentials.refresh.ahead` | duration, `100ms`–`1day` | `60s` |",
            "until a minute before it expires",
        ),
        ("| `breaker.failures` | number | 5 |", "five failures in a row"),
        ("| `breaker.open` | duration, `100ms`–`10m` | `5s` |", "for five seconds at a time"),
        ("| `outage.stale_introspection` | duration, up to `1day` | `0s`, never |", "0s unless you say so"),
    ] {
        assert!(policy.contains(row), "docs/policy.md has changed: {row}");
        assert!(concepts.contains(said), "docs/concepts.md does not say {said:?}");
    }
}

#[test]
fn the_comparison_is_dated_and_keeps_up_with_ourselves() {
    let text = page("comparison");
    let sections: Vec<&str> = text.split("\n## ").skip(1).collect();
    let of_others = sections.iter().filter(|section| section.contains("**Worse") || section.starts_with("Cerbos"));
    assert_eq!(of_others.clone().count(), 7);
    for section in of_others {
        let dated = section.contains("2026") && section.contains("](https://");
        assert!(dated, "no version, month and source: {}", section.lines().next().unwrap());
    }
    // What others had and we had not, as long as we have not.
    for (page, row) in [("testing", "| unit tests for policies"), ("shadow", "| dry run")] {
        let row = text.lines().find(|line| line.starts_with(row)).unwrap();
        let ours = row.split('|').nth(2).unwrap().trim();
        let is_there = root().join(format!("docs/{page}.md")).exists();
        assert_eq!(ours == "yes", is_there, "docs/comparison.md: {row}");
    }
}
