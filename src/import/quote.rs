//! Text as YAML has it, and as comments have it.

use std::fmt::Write as _;

/// A scalar that reads back as this text, whatever it holds. Plain where nobody could take it for anything else.
pub(super) fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let safe = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/') && text.chars().all(plain);
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n" | "null" | "inf" | "nan"
    );
    if safe && !word {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(c),
            c if c.is_alphanumeric() && (c as u32) < 0x1_0000 => out.push(c),
            c if (c as u32) < 0x1_0000 => {
                let _ = write!(out, "\\u{:04X}", c as u32);
            }
            c => {
                let _ = write!(out, "\\U{:08X}", c as u32);
            }
        }
    }
    out.push('"');
    out
}

/// `[a, b]`
pub(super) fn list<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    let items: Vec<String> = texts.into_iter().map(scalar).collect();
    format!("[{}]", items.join(", "))
}

/// A comment: lines of a bounded length, none of which can be anything but a comment.
pub(super) fn comment(out: &mut String, indent: &str, text: &str) {
    const WIDTH: usize = 110;
    let clean: String =
        text.chars().map(|c| if c.is_alphanumeric() || (' '..='~').contains(&c) { c } else { ' ' }).collect();
    let mut line = String::new();
    for word in clean.split(' ').filter(|word| !word.is_empty()) {
        if !line.is_empty() && indent.len() + 2 + line.len() + 1 + word.len() > WIDTH {
            let _ = writeln!(out, "{indent}# {line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        let _ = writeln!(out, "{indent}# {line}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::tree::{Value, parse};

    proptest! {
        #[test]
        fn texts_read_back(text in any::<String>(), other in "[a-z0-9:#&*!|>'\"%@`{}\\[\\], -]{0,12}") {
            for text in [text, other] {
                let document = format!("a: {{ b: {}, c: {} }}\n", scalar(&text), list([text.as_str(), "x"]));
                let node = parse(&document).unwrap();
                let Value::Map(entries) = node.value else { panic!() };
                let Value::Map(inner) = &entries[0].value.value else { panic!() };
                prop_assert_eq!(&inner[0].value.value, &Value::Text(text.clone()));
                let Value::List(items) = &inner[1].value.value else { panic!() };
                prop_assert_eq!(&items[0].value, &Value::Text(text.clone()));
                prop_assert_eq!(items.len(), 2);
            }
        }

        #[test]
        fn comments_say_nothing(text in any::<String>(), lines in "[a:\n\r \u{85}\u{2028}#-]{0,40}") {
            for text in [text, lines] {
                let mut document = "a: 1\n".to_owned();
                comment(&mut document, "  ", &text);
                document.push_str("b: 2\n");
                let node = parse(&document).unwrap();
                let Value::Map(entries) = node.value else { panic!() };
                prop_assert_eq!(entries.len(), 2);
            }
        }
    }

    #[test]
    fn what_could_be_taken_for_something_else_is_quoted() {
        for (text, want) in [
            ("orders", "orders"),
            ("/api/v1", "/api/v1"),
            ("true", "\"true\""),
            ("No", "\"No\""),
            ("1", "\"1\""),
            ("", "\"\""),
            ("a: b", "\"a: b\""),
            ("/a/**", "\"/a/**\""),
            ("~", "\"~\""),
            ("a\nb", "\"a\\u000Ab\""),
        ] {
            assert_eq!(scalar(text), want);
        }
    }
}
