//! Envoy's matchers: of texts, headers, paths and values.

use super::super::formula::{Atom, ClaimTest, Formula, HostTest};
use super::super::model::Model;
use super::super::path::PathTest;
use super::super::read::View;
use crate::core::request::is_token;

/// A `StringMatcher` of a kind that can be looked into.
pub(super) enum Text {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
    Regex(String),
}

/// Something that Tollgate cannot say, with a note.
pub(super) fn unsayable(view: &View<'_>, model: &mut Model, message: impl Into<String>) -> Formula {
    Formula::Atom(Atom::Unsayable(model.notes.unsayable(view.place(), message)))
}

/// Reads a `StringMatcher`; also whether it ignores case. `None` where it says something else.
pub(super) fn text(view: &View<'_>) -> Option<(Text, bool)> {
    let ignore_case = view.flag("ignore_case");
    if view.unknown(&["exact", "prefix", "suffix", "contains", "safe_regex", "ignore_case"]).is_some() {
        return None;
    }
    let regex = view.field("safe_regex").and_then(|regex| regex.text_of("regex"));
    let mut found = [
        view.text_of("exact").map(|text| Text::Exact(text.to_owned())),
        view.text_of("prefix").map(|text| Text::Prefix(text.to_owned())),
        view.text_of("suffix").map(|text| Text::Suffix(text.to_owned())),
        view.text_of("contains").map(|text| Text::Contains(text.to_owned())),
        regex.map(|text| Text::Regex(text.to_owned())),
    ]
    .into_iter()
    .flatten();
    let only = found.next()?;
    found.next().is_none().then_some((only, ignore_case))
}

/// A test on the path as a formula; unsayable where Tollgate has no pattern for it.
pub(super) fn path_test(view: &View<'_>, model: &mut Model, test: PathTest) -> Formula {
    if !test.is_sayable() {
        let message = "no pattern of Tollgate's says this path; where it matters, requests are refused";
        return unsayable(view, model, message);
    }
    let message = match &test {
        PathTest::Prefix(text) if !text.ends_with('/') => format!(
            "the prefix `{text}` ends inside of segments, too (`{text}x`); said is `{text}` and what is below it"
        ),
        PathTest::Prefix(text) => {
            format!("`{text}` has other spellings, which Envoy tells apart and Tollgate does not")
        }
        PathTest::Exact(text) => format!("`{text}` has other spellings, which Envoy tells apart and Tollgate does not"),
        PathTest::ExactWithQuery(text) => {
            format!("`:path` is `{text}` only without a query, which Tollgate leaves out of paths")
        }
    };
    let note = model.notes.unsayable(view.place(), message);
    Formula::Atom(Atom::Path(test, note))
}

/// `/a` and what is below it.
pub(super) fn separated(view: &View<'_>, model: &mut Model, text: &str) -> Formula {
    let exact = path_test(view, model, PathTest::Exact(text.to_owned()));
    let below = path_test(view, model, PathTest::Prefix(format!("{text}/")));
    Formula::Any(vec![exact, below])
}

/// A text matcher on the path; `whole`: with its query.
pub(super) fn path(view: &View<'_>, model: &mut Model, whole: bool) -> Formula {
    let exact = |text: String| if whole { PathTest::ExactWithQuery(text) } else { PathTest::Exact(text) };
    match text(view) {
        Some((Text::Exact(text), false)) => path_test(view, model, exact(text)),
        Some((Text::Prefix(text), false)) => path_test(view, model, PathTest::Prefix(text)),
        Some((Text::Regex(regex), false)) => path_regex(view, model, &regex, whole),
        _ => unsayable(view, model, "paths are said by whole segments from their beginning, in their own case"),
    }
}

/// A regular expression on the path, where it is one of the simple ones.
pub(super) fn path_regex(view: &View<'_>, model: &mut Model, regex: &str, whole: bool) -> Formula {
    let regex = regex.strip_prefix('^').unwrap_or(regex);
    let regex = regex.strip_suffix('$').filter(|rest| !rest.ends_with('\\')).unwrap_or(regex);
    if let Some(base) = regex.strip_suffix("(/.*)?").or_else(|| regex.strip_suffix("(?:/.*)?")).and_then(plain)
        && !whole
    {
        return separated(view, model, &base);
    }
    if let Some(prefix) = regex.strip_suffix(".*").and_then(plain) {
        return path_test(view, model, PathTest::Prefix(prefix));
    }
    match plain(regex) {
        Some(text) if whole => path_test(view, model, PathTest::ExactWithQuery(text)),
        Some(text) => path_test(view, model, PathTest::Exact(text)),
        None => unsayable(view, model, "a regular expression that is neither a text nor a prefix cannot be said"),
    }
}

/// The text that a regular expression without operators is.
fn plain(regex: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = regex.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(chars.next().filter(|c| c.is_ascii_punctuation())?),
            '.' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^' | '$' => return None,
            c => out.push(c),
        }
    }
    Some(out)
}

const HEADER_KEYS: [&str; 11] = [
    "name",
    "string_match",
    "exact_match",
    "prefix_match",
    "suffix_match",
    "contains_match",
    "safe_regex_match",
    "present_match",
    "invert_match",
    "treat_missing_header_as_empty",
    "range_match",
];

/// A `HeaderMatcher`.
pub(super) fn header(view: &View<'_>, model: &mut Model) -> Formula {
    let name = view.text_of("name").unwrap_or_default().to_ascii_lowercase();
    let strange = view.unknown(&HEADER_KEYS).is_some() || view.flag("treat_missing_header_as_empty");
    let pseudo = matches!(name.as_str(), ":path" | ":method" | ":authority" | "host");
    if strange || !pseudo {
        let message = format!("a condition on the header `{name}` is not said; where it matters, requests are refused");
        return unsayable(view, model, message);
    }
    let old = |key: &str| view.text_of(key).map(str::to_owned);
    let matched = match view.field("string_match") {
        Some(matcher) => text(&matcher),
        None => old("exact_match")
            .map(Text::Exact)
            .or_else(|| old("prefix_match").map(Text::Prefix))
            .or_else(|| old("suffix_match").map(Text::Suffix))
            .or_else(|| old("contains_match").map(Text::Contains))
            .or_else(|| view.field("safe_regex_match")?.text_of("regex").map(|text| Text::Regex(text.to_owned())))
            .map(|text| (text, false)),
    };
    let tests = HEADER_KEYS.iter().filter(|key| key.contains("_match") && **key != "invert_match");
    let only_one = tests.filter(|key| view.field(key).is_some()).count() == 1;
    let formula = match (name.as_str(), matched) {
        _ if !only_one => unsayable(view, model, "a header matcher that says several things, or nothing, is not read"),
        (_, None) if view.flag("present_match") => Formula::Const(true),
        (":path", Some((Text::Exact(text), false))) => path_test(view, model, PathTest::ExactWithQuery(text)),
        (":path", Some((Text::Prefix(text), false))) => path_test(view, model, PathTest::Prefix(text)),
        (":path", Some((Text::Regex(regex), false))) => path_regex(view, model, &regex, true),
        (":method", Some((Text::Exact(text), false))) if method(&text).is_some() => Formula::Atom(Atom::Method(text)),
        (":method", Some((Text::Regex(regex), false))) if regex.split('|').all(|word| method(word).is_some()) => {
            Formula::Any(regex.split('|').map(|word| Formula::Atom(Atom::Method(word.to_owned()))).collect())
        }
        (":authority" | "host", Some((Text::Exact(text), _))) => host(view, model, HostTest::Exact(text)),
        (":authority" | "host", Some((Text::Suffix(text), _))) => host(view, model, HostTest::Below(text)),
        _ => unsayable(view, model, format!("this condition on `{name}` cannot be said")),
    };
    if view.flag("invert_match") { formula.not() } else { formula }
}

/// A method that Tollgate takes: it refuses `get`, which is most often meant as `GET`.
fn method(text: &str) -> Option<()> {
    (is_token(text) && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-')).then_some(())
}

fn host(view: &View<'_>, model: &mut Model, test: HostTest) -> Formula {
    if !test.is_sayable() {
        return unsayable(view, model, "this is not a host, nor all hosts below a domain");
    }
    let message = "Envoy compares `:authority` with its port and case, Tollgate the host alone, so that requests for it \
                   are refused; if the host is meant at any port, say `--any-port`";
    let note = model.notes.unsayable(view.place(), message);
    Formula::Atom(Atom::Host(test, note))
}

/// A `ValueMatcher` on a claim.
pub(super) fn claim(view: &View<'_>, model: &mut Model, key: &str, path: &[String]) -> Formula {
    let message = "what a claim is not can be said of texts, numbers and booleans that are there; else the request is \
                   refused";
    let note = model.notes.unsayable(view.place(), message);
    let atom = |test: ClaimTest| Formula::Atom(Atom::Claim { key: key.to_owned(), path: path.to_vec(), test, note });
    let Some((kind, value)) = view.only() else {
        return unsayable(view, model, "a value matcher says one thing");
    };
    let test = match kind.as_str() {
        "string_match" => string_claim(&value),
        "bool_match" => match value.node.value {
            crate::config::tree::Value::Bool(flag) => Some(ClaimTest::Flag(flag)),
            _ => None,
        },
        "double_match" => value.field("exact").and_then(|value| whole(&value)).map(ClaimTest::Number),
        "present_match" => view.flag("present_match").then_some(ClaimTest::Present),
        "list_match" => {
            value.field("one_of").and_then(|one| one.field("string_match")).and_then(|matcher| match text(&matcher)? {
                (Text::Exact(text), false) => Some(ClaimTest::Holds(text)),
                _ => None,
            })
        }
        "or_match" => {
            let parts = value.list("value_matchers");
            return Formula::Any(parts.iter().map(|part| claim(part, model, key, path)).collect());
        }
        _ => None,
    };
    match test {
        Some(test) => atom(test),
        None => unsayable(view, model, "this test on a claim cannot be said; where it matters, requests are refused"),
    }
}

fn string_claim(view: &View<'_>) -> Option<ClaimTest> {
    let any = "(?s:.*)";
    match text(view)? {
        (Text::Exact(text), false) => Some(ClaimTest::Text(text)),
        (Text::Prefix(text), false) => Some(ClaimTest::Pattern(format!("{}{any}", regex::escape(&text)))),
        (Text::Suffix(text), false) => Some(ClaimTest::Pattern(format!("{any}{}", regex::escape(&text)))),
        (Text::Contains(text), false) => Some(ClaimTest::Pattern(format!("{any}{}{any}", regex::escape(&text)))),
        // Classes such as `\d` are wider here than in RE2, and so is what flags turn on.
        (Text::Regex(text), false) => {
            let simple = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
            // What is written differently for the two: words' ends, classes inside of classes, counts without a least.
            let escapes = text
                .as_bytes()
                .windows(2)
                .all(|two| !matches!(two, [b'\\', c] if c.is_ascii_alphanumeric() || matches!(c, b'<' | b'>')));
            let flags = ["(?", "[:", "&&", "--", "~~", "[]", "[^]", "{,"].iter().any(|mark| text.contains(mark));
            (simple && escapes && !flags && !has_nested_class(&text) && regex::Regex::new(&text).is_ok())
                .then_some(ClaimTest::Pattern(text))
        }
        (_, true) => None,
    }
}

/// Whether a `[` stands inside of a class: RE2 takes it for itself, Rust for a class of its own.
fn has_nested_class(text: &str) -> bool {
    let (mut inside, mut escaped) = (false, false);
    for c in text.chars() {
        match c {
            _ if std::mem::take(&mut escaped) => {}
            '\\' => escaped = true,
            '[' if inside => return true,
            '[' => inside = true,
            ']' => inside = false,
            _ => {}
        }
    }
    false
}

fn whole(view: &View<'_>) -> Option<i64> {
    use crate::config::tree::Value;
    const EXACT: i64 = 1 << 53;
    let number = match &view.node.value {
        Value::Unsigned(number) => i64::try_from(*number).ok()?,
        Value::Signed(number) => *number,
        _ => return None,
    };
    (-EXACT..=EXACT).contains(&number).then_some(number)
}
