//! The status as one page for people. It is plain HTML: no script, nothing from elsewhere, and every text is escaped,
//! whoever it came from.

use std::fmt::Write as _;
use std::sync::LazyLock;

use serde_json::Value;

use crate::html::{self, Page, STYLE};

/// Nothing may be loaded, run, framed or sent: only this one style, told by its digest.
pub(super) fn security_policy() -> &'static str {
    static POLICY: LazyLock<String> =
        LazyLock::new(|| format!("{}; frame-ancestors 'none'", html::security_policy(STYLE)));
    &POLICY
}

/// The page that shows this status, as [`super::render::status`] makes it.
pub(super) fn page(status: &Value) -> String {
    let mut out = Page(String::with_capacity(16 * 1024));
    out.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Tollgate status</title>");
    out.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    out.raw("<meta name=\"color-scheme\" content=\"light dark\"><meta http-equiv=\"refresh\" content=\"10\"><style>");
    out.raw(STYLE);
    out.raw("</style></head><body><main>");
    head(&mut out, status);
    reload(&mut out, &status["last_reload"]);
    reasons(&mut out, &status["reasons"]);
    issuers(&mut out, &status["issuers"]);
    providers(&mut out, status);
    tokens(&mut out, &status["tokens"]);
    sources(&mut out, &status["sources"]);
    out.raw("</main></body></html>\n");
    out.0
}

fn head(out: &mut Page, status: &Value) {
    out.raw("<header><h1>Tollgate</h1>");
    let ready = status["ready"].as_bool() == Some(true);
    out.badge(if ready { "ready" } else { "not ready" }, ready);
    out.raw("</header><dl>");
    let level = &status["log_level"];
    let level = match (level["then"].as_str(), level["seconds_left"].as_u64()) {
        (Some(then), Some(left)) => format!("{}, then {then} in {left} s", text(&level["filter"])),
        _ => text(&level["filter"]),
    };
    for (name, value) in [
        ("version", text(&status["version"])),
        ("generation", text(&status["generation"])),
        ("loaded", text(&status["loaded_at"])),
        ("rules", text(&status["rules"])),
        ("log level", level),
    ] {
        out.pair(name, &value);
    }
    for issuer in items(&status["waiting_for"]) {
        out.pair("waiting for keys of", &text(issuer));
    }
    out.raw("</dl>");
}

fn reload(out: &mut Page, reload: &Value) {
    out.title("Last reload");
    if reload.is_null() {
        out.note("None since the start.");
        return;
    }
    let applied = reload["applied"].as_bool() == Some(true);
    out.raw("<p>");
    out.badge(if applied { "in service" } else { "refused: the old one serves" }, applied);
    out.raw(" ");
    out.text(&text(&reload["at"]));
    out.raw("</p>");
    if reload["restart_needed"].as_bool() == Some(true) {
        out.note("`server` was changed: restart to apply that part.");
    }
    for error in items(&reload["errors"]) {
        out.raw("<pre class=\"bad\">");
        out.text(&text(error));
        out.raw("</pre>");
    }
}

fn reasons(out: &mut Page, reasons: &Value) {
    out.title("Top reasons");
    let lately = format!("last {} s", text(&reasons["seconds"]));
    out.table(&["reason", "outcome", "fault", &lately, "since start"], items(&reasons["top"]), |row, reason| {
        let allows = reason["allows"].as_bool() == Some(true);
        row.name(&reason["reason"]);
        row.state(if allows { "allow" } else { "deny" }, allows);
        row.cell(&reason["fault"]);
        row.number(&reason["last_minute"]);
        row.number(&reason["since_start"]);
    });
}

fn issuers(out: &mut Page, issuers: &Value) {
    out.title("Issuers");
    let columns = ["issuer", "keys", "age", "state", "cached tokens", "cache", "evictions"];
    out.table(&columns, items(issuers), |row, issuer| {
        let failed = issuer["last_error"].is_string();
        let expired = issuer["expired"].as_bool() == Some(true);
        row.name(&issuer["name"]);
        row.number(&issuer["keys"]);
        row.span(&issuer["age_seconds"]);
        let state = if expired {
            "too old"
        } else if failed {
            "not refreshed"
        } else {
            "fresh"
        };
        row.state(state, !failed && !expired);
        let cache = &issuer["cache"];
        row.number(&cache["entries"]);
        row.share(&cache["bytes"], &cache["max_bytes"]);
        row.number(&cache["evictions"]);
        row.error(&issuer["last_error"], columns.len());
    });
}

fn providers(out: &mut Page, status: &Value) {
    out.title("Providers");
    let columns = ["provider", "breaker", "in flight", "last answer"];
    out.table(&columns, items(&status["providers"]), |row, provider| {
        row.name(&provider["name"]);
        row.state(&text(&provider["breaker"]), provider["breaker"] == "closed");
        row.number(&provider["in_flight"]);
        row.cell(&provider["last_success"]);
        row.error(provider["last_error"].get("text").unwrap_or(&Value::Null), columns.len());
    });
    out.title("Slowest providers");
    let columns = ["provider", "endpoint", "calls", "mean ms", "p50 ms at most", "p99 ms at most"];
    out.table(&columns, items(&status["slowest_providers"]), |row, latency| {
        row.name(&latency["provider"]);
        row.cell(&latency["endpoint"]);
        for number in ["calls", "mean_ms", "p50_ms_at_most", "p99_ms_at_most"] {
            row.number(&latency[number]);
        }
    });
}

fn tokens(out: &mut Page, tokens: &Value) {
    out.title("Tokens that the gate obtains");
    let columns = ["token", "kind", "expires", "cached", "cache", "evictions"];
    out.table(&columns, items(tokens), |row, token| {
        row.name(&token["name"]);
        row.cell(&token["kind"]);
        row.cell(&token["expires_at"]);
        let cache = &token["cache"];
        row.number(&cache["entries"]);
        row.share(&cache["bytes"], &cache["max_bytes"]);
        row.number(&cache["evictions"]);
        row.error(&token["last_error"], columns.len());
    });
}

fn sources(out: &mut Page, sources: &Value) {
    out.title("Files");
    out.table(&["file", "SHA-256"], items(sources), |row, source| {
        row.name(&source["path"]);
        row.cell(&source["sha256"]);
    });
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

/// As people read it; a dash for what is not there.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "–".to_owned(),
        other => other.to_string(),
    }
}

impl Page {
    fn table(&mut self, columns: &[&str], items: &[Value], row: impl Fn(&mut Row<'_>, &Value)) {
        if items.is_empty() {
            self.note("None.");
            return;
        }
        self.raw("<div class=\"scroll\"><table><thead><tr>");
        for column in columns {
            self.raw("<th scope=\"col\">");
            self.text(column);
            self.raw("</th>");
        }
        self.raw("</tr></thead><tbody>");
        for item in items {
            self.raw("<tr>");
            row(&mut Row(self), item);
            self.raw("</tr>");
        }
        self.raw("</tbody></table></div>");
    }
}

/// A row of a table.
struct Row<'p>(&'p mut Page);

impl Row<'_> {
    fn name(&mut self, value: &Value) {
        self.0.raw("<th scope=\"row\">");
        self.0.text(&text(value));
        self.0.raw("</th>");
    }

    fn cell(&mut self, value: &Value) {
        self.plain(&text(value));
    }

    fn plain(&mut self, value: &str) {
        self.0.raw("<td>");
        self.0.text(value);
        self.0.raw("</td>");
    }

    fn number(&mut self, value: &Value) {
        self.0.raw("<td class=\"number\">");
        self.0.text(&text(value));
        self.0.raw("</td>");
    }

    fn state(&mut self, state: &str, good: bool) {
        self.0.raw("<td>");
        self.0.badge(state, good);
        self.0.raw("</td>");
    }

    /// Seconds, as a time.
    fn span(&mut self, seconds: &Value) {
        let time = seconds.as_u64().map(std::time::Duration::from_secs);
        self.plain(&time.map_or_else(|| text(seconds), |time| humantime::format_duration(time).to_string()));
    }

    /// How much of something is taken, in per cent.
    fn share(&mut self, part: &Value, whole: &Value) {
        let share = part.as_f64().zip(whole.as_f64().filter(|whole| *whole > 0.0));
        self.plain(&share.map_or_else(|| "–".to_owned(), |(part, whole)| format!("{:.1} %", 100.0 * part / whole)));
    }

    /// A row of its own below this one, where there is an error.
    fn error(&mut self, error: &Value, columns: usize) {
        if let Some(error) = error.as_str() {
            let _ = write!(self.0.0, "</tr><tr><td class=\"error\" colspan=\"{columns}\">");
            self.0.text(error);
            self.0.raw("</td>");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::html::is_mark;

    /// A status with this text wherever a text from elsewhere may stand.
    fn saying(said: &str) -> Value {
        json!({
            "version": said, "ready": false, "waiting_for": [said], "generation": 1, "loaded_at": said, "rules": 2,
            "sources": [{ "path": said, "sha256": said }],
            "issuers": [{ "name": said, "keys": 1, "age_seconds": 90, "expired": false, "last_error": said,
                "cache": { "entries": 1, "bytes": 50, "max_bytes": 200, "evictions": 0 } }],
            "providers": [{ "name": said, "breaker": said, "in_flight": 0, "last_success": said,
                "last_error": { "at": said, "text": said } }],
            "tokens": [{ "name": said, "kind": said, "expires_at": said, "last_error": said, "cache": null }],
            "last_reload": { "at": said, "applied": false, "errors": [said, said], "restart_needed": true },
            "reasons": { "seconds": 60, "top": [{ "reason": said, "allows": true, "fault": said, "last_minute": 1,
                "since_start": 2 }] },
            "slowest_providers": [{ "provider": said, "endpoint": said, "calls": 1, "mean_ms": 1.5,
                "p50_ms_at_most": 2.5, "p99_ms_at_most": null }],
            "log_level": { "filter": said, "then": said, "seconds_left": 3 },
        })
    }

    fn markup(page: &str) -> Vec<char> {
        page.chars().filter(|character| "<>\"'".contains(*character)).collect()
    }

    proptest! {
        #[test]
        fn no_text_makes_markup(said in "(\\PC|[<>\"'&/\u{0}\u{1b}\u{202e}]|<script>|</style>|&lt;|--&gt;|javascript:){0,20}") {
            let page = page(&saying(&said));
            prop_assert_eq!(markup(&page), markup(&super::page(&saying("x"))));
            let hidden = |character: char| character.is_control() && character != '\n' || is_mark(character);
            prop_assert!(!page.contains(hidden));
        }
    }

    #[test]
    fn what_is_there_is_shown() {
        let page = page(&saying("<b>idp & sons</b>"));
        assert!(
            page.contains("&lt;b&gt;idp &amp; sons&lt;/b&gt;") && page.contains("25.0 %") && page.contains("1m 30s")
        );
        assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://"), "{page}");
        assert!(security_policy().starts_with("default-src 'none'; style-src 'sha256-"));
    }
}
