//! Text from elsewhere, made safe for a terminal.

use std::fmt::{self, Write as _};

/// Shows text with everything but letters, digits, ASCII punctuation and spaces as `\u` escapes: no escape sequence,
/// line break, or change of writing direction of a token's making reaches the terminal.
///
/// The escapes are JSON's, so that JSON stays JSON of the same meaning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Printable<'a> {
    text: &'a str,
    keep_line_breaks: bool,
}

impl<'a> Printable<'a> {
    /// Shows the text on one line.
    pub(super) const fn line(text: &'a str) -> Self {
        Self { text, keep_line_breaks: false }
    }

    /// Shows the text, whose line breaks are ours.
    pub(super) const fn lines(text: &'a str) -> Self {
        Self { text, keep_line_breaks: true }
    }
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.text.chars() {
            let plain = c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric() || matches!(c, '§' | '…' | '–');
            if plain || (c == '\n' && self.keep_line_breaks) {
                f.write_char(c)?;
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(f, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

/// `1 rule`, `2 rules`.
pub(super) fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor_or_turns_the_text() {
        let hostile = "a\u{1b}[2Jb\r\n\u{7f}\u{9b}31m\u{202e}c\u{200b}d\u{2028}\u{e0041}ü";
        let shown = Printable::line(hostile).to_string();
        assert_eq!(shown, r"a\u001b[2Jb\u000d\u000a\u007f\u009b31m\u202ec\u200bd\u2028\udb40\udc41ü");
        assert!(Printable::lines("a\nb\r").to_string().ends_with("a\nb\\u000d"));
    }

    #[test]
    fn json_keeps_its_meaning() {
        let value = serde_json::json!({ "k\u{7f}": "\u{1b}[31m \u{202e} \u{1f600} ü \\ \"" });
        let shown = Printable::lines(&serde_json::to_string_pretty(&value).unwrap()).to_string();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
    }
}
