//! Names in messages: what was probably meant, and how much of an input is shown.

/// An input cut to a length that fits a message, with control characters escaped.
pub(crate) fn shown(text: &str) -> String {
    const MOST: usize = 80;
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == MOST {
            out.push('…');
            break;
        }
        if c.is_control() || is_invisible(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Characters that reorder or hide text on a terminal.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The known name that `name` was probably meant to be.
pub(crate) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    const LOOKED_AT: usize = 1000;
    if name.len() > 128 {
        return None;
    }
    let folded = fold(name);
    known
        .into_iter()
        .take(LOOKED_AT)
        .map(|candidate| (strsim::damerau_levenshtein(&folded, &fold(candidate)), candidate))
        .filter(|(distance, candidate)| {
            let shorter = name.len().min(candidate.len());
            *distance < shorter && *distance <= 1 + shorter / 4
        })
        .min()
        .map(|(_, candidate)| candidate)
}

fn fold(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-' | '.')).flat_map(char::to_lowercase).collect()
}

/// `; did you mean `x`?` or a semicolon, to be appended to a message that goes on.
pub(crate) fn did_you_mean<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    nearest(name, known).map_or_else(|| ";".to_owned(), |found| format!("; did you mean `{found}`?"))
}

/// "`a`, `b` and `c`", at most twenty of them.
pub(crate) fn listed<'k>(names: impl IntoIterator<Item = &'k str>) -> String {
    const MOST: usize = 20;
    let mut quoted: Vec<String> = names.into_iter().map(|name| format!("`{}`", shown(name))).collect();
    if quoted.len() > MOST {
        let more = quoted.len() - MOST;
        quoted.truncate(MOST);
        return format!("{} and {more} more", quoted.join(", "));
    }
    match quoted.split_last() {
        None => "none".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// What to say of a text where a boolean is wanted, after what was found.
pub(crate) fn boolean_hint(text: &str) -> &'static str {
    match text.to_ascii_lowercase().as_str() {
        _ if matches!(text, "true" | "false") => "; leave the quotes out",
        "yes" | "no" | "on" | "off" | "y" | "n" | "true" | "false" => "; YAML 1.2 has `true` and `false` alone",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found() {
        let known = ["audience", "issuers", "max_age", "remove_token"];
        for (name, want) in [
            ("audiance", Some("audience")),
            ("issuer", Some("issuers")),
            ("maxAge", Some("max_age")),
            ("max-age", Some("max_age")),
            ("remvoe_token", Some("remove_token")),
            ("zzz", None),
        ] {
            assert_eq!(nearest(name, known), want, "{name}");
        }
    }

    #[test]
    fn input_in_messages_is_short_and_visible() {
        assert_eq!(shown("a\u{1b}[31m\u{202e}b"), "a\\u{1b}[31m\\u{202e}b");
        assert_eq!(shown(&"x".repeat(100)).chars().count(), 81);
        assert_eq!(listed(["a", "b", "c"]), "`a`, `b` and `c`");
    }
}
