//! What a case expects, as its file says it.

use crate::cases::expect::Wanted;
use crate::cases::file::{AbsentFile, DecisionFile, ExpectFile};
use crate::cases::{Expect, request};
use crate::config::names::{nearest, shown};
use crate::config::place::At;
use crate::config::value::{ByShape, Never, Ordered};
use crate::core::reason::Reason;

/// What stands for no rule and for no token.
const NONE: &str = "none";

/// Judges what is expected. `None`, and errors, where it cannot be.
pub(super) fn expect(at: &At<'_>, file: &ByShape<String, Never, ExpectFile>) -> Option<Expect> {
    match file {
        ByShape::Scalar(text) => in_a_word(at, text),
        ByShape::Map(file) => in_full(at, file),
        ByShape::List(never) => match *never {},
    }
}

/// `allow`, `deny`, or a reason.
fn in_a_word(at: &At<'_>, text: &str) -> Option<Expect> {
    match text {
        "allow" => Some(Expect { allowed: Some(true), ..Expect::default() }),
        "deny" => Some(Expect { allowed: Some(false), ..Expect::default() }),
        code => {
            let reason = reason(at, code, "`allow`, `deny`, or a reason, such as `insufficient_scope`")?;
            Some(Expect { reason: Some(reason), ..Expect::default() })
        }
    }
}

fn reason(at: &At<'_>, code: &str, expected: &str) -> Option<Reason> {
    let reason = Reason::from_code(code);
    if reason.is_none() {
        let codes = || Reason::ALL.iter().map(|reason| reason.code()).chain(["allow", "deny"]);
        let hint = nearest(code, codes()).map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
        at.error(format!("expected {expected}, found `{}`{hint}", shown(code)));
    }
    reason
}

fn in_full(at: &At<'_>, file: &ExpectFile) -> Option<Expect> {
    let allowed = file.decision.map(|decision| decision == DecisionFile::Allow);
    let code = file.reason.as_ref();
    let reason = code.and_then(|code| reason(&at.key("reason"), code, "a reason, such as `insufficient_scope`"));
    let named = |name: &Option<String>| name.as_ref().map(|name| (name != NONE).then(|| name.clone()));
    let expect = Expect {
        allowed,
        reason,
        rule: named(&file.rule),
        status: file.status,
        headers: headers(&at.key("headers"), &file.headers),
        response_headers: headers(&at.key("response_headers"), &file.response_headers),
        upstream_token: named(&file.upstream_token),
    };
    if code.is_some() && reason.is_none() {
        return None;
    }
    if expect == Expect::default() {
        at.missing("nothing is expected; say `decision`, `reason`, `rule`, `status`, `headers`, `response_headers` or `upstream_token`");
        return None;
    }
    agree(at, &expect).then_some(expect)
}

/// Whether what is expected can come together.
fn agree(at: &At<'_>, expect: &Expect) -> bool {
    let by_reason = expect.reason.map(Reason::allows);
    if let (Some(said), Some(by_reason), Some(reason)) = (expect.allowed, by_reason, expect.reason)
        && said != by_reason
    {
        let does = if by_reason { "allows" } else { "denies" };
        at.key("reason").error(format!("`{}` {does}, against `decision`", reason.code()));
        return false;
    }
    let allowed = expect.allowed.or(by_reason);
    if let (Some(allowed), Some(status)) = (allowed, expect.status)
        && allowed != (status == 200)
    {
        at.key("status").error("an allowed request has the status 200, and a denied one never");
        return false;
    }
    let denied = allowed == Some(false) || expect.status.is_some_and(|status| status != 200);
    for (key, there) in
        [("headers", !expect.headers.is_empty()), ("upstream_token", matches!(expect.upstream_token, Some(Some(_))))]
    {
        if denied && there {
            at.key(key).error("a denied request goes to no upstream; the client's are `response_headers`");
            return false;
        }
    }
    true
}

/// Judges the names of headers, and that each is there once.
fn headers(at: &At<'_>, file: &Ordered<ByShape<String, Never, AbsentFile>>) -> Vec<(String, Wanted)> {
    let mut read: Vec<(String, Wanted)> = Vec::new();
    for (name, wanted) in &file.0 {
        let at = at.key(name);
        let Some(lower) = request::header_name(name) else {
            at.error(format!("`{}` cannot be the name of a header", shown(name)));
            continue;
        };
        if read.iter().any(|(known, _)| *known == lower) {
            at.error(format!("the header `{lower}` is already there; names are read without regard to case"));
        }
        let wanted = match wanted {
            ByShape::Scalar(value) => Wanted::Value(value.clone()),
            ByShape::Map(AbsentFile { absent: Some(_) }) => Wanted::Absent,
            ByShape::Map(AbsentFile { absent: None }) => {
                at.missing("expected a value, or `{ absent: true }`");
                continue;
            }
            ByShape::List(never) => match *never {},
        };
        read.push((lower, wanted));
    }
    read
}
