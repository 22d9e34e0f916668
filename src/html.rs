//! Pages for people, plain HTML: no script, nothing from elsewhere, and every text is escaped, whoever it came from.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How every page looks.
pub(crate) const STYLE: &str = include_str!("html.css");

/// A content security policy (CSP Level 3): nothing may be loaded, run or sent, and this one style counts, told by its digest.
pub(crate) fn security_policy(style: &str) -> String {
    let style = STANDARD.encode(digest(&SHA256, style.as_bytes()));
    format!("default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'")
}

/// HTML that is written. Only [`Page::raw`] takes markup, and only what this program says.
pub(crate) struct Page(pub(crate) String);

impl Page {
    pub(crate) fn raw(&mut self, markup: &'static str) {
        self.0.push_str(markup);
    }

    /// A text from anywhere.
    pub(crate) fn text(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' => self.0.push('\n'),
                // Controls, and marks that turn the direction of what follows: shown, not obeyed.
                hidden if hidden.is_control() || is_mark(hidden) => {
                    // Writing to a string cannot fail.
                    let _ = write!(self.0, "\\u{{{:x}}}", u32::from(hidden));
                }
                plain => self.0.push(plain),
            }
        }
    }

    pub(crate) fn title(&mut self, title: &'static str) {
        self.raw("<h2>");
        self.text(title);
        self.raw("</h2>");
    }

    pub(crate) fn note(&mut self, note: &str) {
        self.raw("<p class=\"note\">");
        self.text(note);
        self.raw("</p>");
    }

    pub(crate) fn pair(&mut self, name: &str, value: &str) {
        self.raw("<div><dt>");
        self.text(name);
        self.raw("</dt><dd>");
        self.text(value);
        self.raw("</dd></div>");
    }

    pub(crate) fn badge(&mut self, state: &str, good: bool) {
        self.raw(if good { "<span class=\"badge good\">" } else { "<span class=\"badge bad\">" });
        self.text(state);
        self.raw("</span>");
    }
}

/// Whether a character turns or hides what is around it.
pub(crate) fn is_mark(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
