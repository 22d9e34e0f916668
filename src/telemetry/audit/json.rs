//! JSON, written by hand into a buffer.

use std::io::Write as _;

/// Stands for what was cut off.
pub(super) const CUT: &str = "…";

/// An object that is being written. Names are ours, and need no escapes.
#[derive(Debug)]
pub(super) struct Object<'b> {
    out: &'b mut Vec<u8>,
    is_empty: bool,
}

impl<'b> Object<'b> {
    /// Begins one.
    pub(super) fn begin(out: &'b mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_empty: true }
    }

    /// Ends it.
    pub(super) fn end(self) {
        self.out.push(b'}');
    }

    /// A field whose value is written by `value`.
    pub(super) fn field(&mut self, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        value(self.out);
    }

    /// A text of letters, digits and the like.
    pub(super) fn word(&mut self, name: &str, word: &str) {
        self.field(name, |out| {
            out.push(b'"');
            out.extend_from_slice(word.as_bytes());
            out.push(b'"');
        });
    }

    /// A text from anywhere, of which no more than `most` bytes are written.
    pub(super) fn text(&mut self, name: &str, text: &str, most: usize) {
        self.field(name, |out| write_text(out, text, most));
    }

    /// A number as so many hexadecimal digits.
    pub(super) fn hex(&mut self, name: &str, number: u128, digits: usize) {
        self.field(name, |out| {
            // A Vec takes whatever is written.
            let _ = write!(out, "\"{number:0digits$x}\"");
        });
    }

    /// A number.
    pub(super) fn number(&mut self, name: &str, number: u64) {
        self.field(name, |out| {
            // A Vec takes whatever is written.
            let _ = write!(out, "{number}");
        });
    }

    /// Texts from anywhere: no more than so many, and of each no more than `most_bytes`.
    pub(super) fn texts<'t>(
        &mut self,
        name: &str,
        texts: impl IntoIterator<Item = &'t str>,
        (most, most_bytes): (usize, usize),
    ) {
        self.field(name, |out| write_texts(out, texts, (most, most_bytes)));
    }
}

/// A list of texts. Of more than `most` the mark stands for the rest.
pub(super) fn write_texts<'t>(
    out: &mut Vec<u8>,
    texts: impl IntoIterator<Item = &'t str>,
    (most, most_bytes): (usize, usize),
) {
    write_list(out, texts, most, |out, text| write_text(out, text, most_bytes));
}

/// A list of at most so many items; the mark stands for the rest.
pub(super) fn write_list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    most: usize,
    write: impl Fn(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (count, item) in items.into_iter().enumerate() {
        if count > 0 {
            out.push(b',');
        }
        if count == most {
            out.push(b'"');
            out.extend_from_slice(CUT.as_bytes());
            out.push(b'"');
            break;
        }
        write(out, item);
    }
    out.push(b']');
}

/// A string of a text's first `most` bytes, cut between two characters, with a mark where it was. Everything but ASCII that
/// can be seen, spaces, and other scripts' letters and digits is escaped: a line stays one, and moves no cursor.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str, most: usize) {
    let shown = start(text, most);
    out.push(b'"');
    let mut rest = shown;
    while !rest.is_empty() {
        let plain = rest.bytes().take_while(|b| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\')).count();
        let (run, other) = rest.split_at_checked(plain).unwrap_or((rest, ""));
        out.extend_from_slice(run.as_bytes());
        let mut chars = other.chars();
        if let Some(c) = chars.next() {
            write_char(out, c);
        }
        rest = chars.as_str();
    }
    if shown.len() < text.len() {
        out.extend_from_slice(CUT.as_bytes());
    }
    out.push(b'"');
}

/// At most so many bytes of a text, in whole characters.
fn start(text: &str, most: usize) -> &str {
    let ends = (0..=most.min(text.len())).rev();
    ends.filter_map(|end| text.get(..end)).next().unwrap_or_default()
}

fn write_char(out: &mut Vec<u8>, c: char) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        c if c.is_alphanumeric() => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        c => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // A Vec takes whatever is written.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str, most: usize) -> String {
        let mut out = Vec::new();
        write_text(&mut out, text, most);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_leaves_its_line() {
        let hostile = "a\"b\\c\r\n\t\0\u{1b}[2J\u{7f}\u{85}\u{2028}\u{202e}\u{feff}ü漢😀";
        let line = written(hostile, 1000);
        assert_eq!(
            line,
            "\"a\\\"b\\\\c\\u000d\\u000a\\u0009\\u0000\\u001b[2J\\u007f\\u0085\\u2028\\u202e\\ufeffü漢\\ud83d\\ude00\""
        );
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), hostile);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(written("abcdef", 6), "\"abcdef\"");
        assert_eq!(written("abcdefg", 6), "\"abcdef…\"");
        assert_eq!(written("aüü", 4), "\"aü…\"");
        assert_eq!(written("ü", 1), "\"…\"");
    }

    #[test]
    fn a_long_list_says_that_there_was_more() {
        let mut out = Vec::new();
        write_texts(&mut out, ["a", "b", "c"], (2, 10));
        assert_eq!(out, "[\"a\",\"b\",\"…\"]".as_bytes());
    }

    proptest! {
        #[test]
        fn what_is_written_reads_as_it_was(text in any::<String>(), most in 0..64_usize) {
            let line = written(&text, most);
            prop_assert!(line.chars().all(|c| !c.is_control()));
            let read: String = serde_json::from_str(&line).unwrap();
            let wanted = start(&text, most);
            match read.strip_suffix(CUT) {
                Some(start) if text.len() > most => prop_assert_eq!(start, wanted),
                _ => prop_assert_eq!(read, text),
            }
        }
    }
}
