//! Plain scalars, by YAML 1.2's core schema (§10.3.2), less what YAML versions disagree on.

use std::borrow::Cow;

use super::Value;

/// What a plain scalar stands for. Numbers with leading zeros, octal and hexadecimal ones, infinities and NaN are
/// text: where a number is wanted, text is an error.
pub(super) fn resolve(text: Cow<'_, str>) -> Value {
    match &*text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    number(&text).unwrap_or_else(|| Value::Text(text.into_owned()))
}

fn number(text: &str) -> Option<Value> {
    let negative = text.starts_with('-');
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let leading_zero = whole.len() > 1 && whole.starts_with('0');
    let some = !whole.is_empty() || fraction.is_some_and(|fraction| !fraction.is_empty());
    if !some || leading_zero || !digits(whole) || !fraction.is_none_or(digits) {
        return None;
    }
    if exponent.is_some_and(|exponent| exponent.is_empty() || !digits(exponent)) {
        return None;
    }
    if fraction.is_none() && exponent.is_none() {
        let value =
            if negative { text.parse().ok().map(Value::Signed) } else { unsigned.parse().ok().map(Value::Unsigned) };
        if let Some(value) = value {
            return Some(if value == Value::Signed(0) { Value::Unsigned(0) } else { value });
        }
    }
    text.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_resolve_by_the_core_schema() {
        let text = |text: &str| Value::Text(text.to_owned());
        for (plain, want) in [
            ("", Value::Null),
            ("~", Value::Null),
            ("null", Value::Null),
            ("nULL", text("nULL")),
            ("true", Value::Bool(true)),
            ("FALSE", Value::Bool(false)),
            ("yes", text("yes")),
            ("0", Value::Unsigned(0)),
            ("-0", Value::Unsigned(0)),
            ("+7", Value::Unsigned(7)),
            ("-7", Value::Signed(-7)),
            ("18446744073709551615", Value::Unsigned(u64::MAX)),
            ("18446744073709551616", Value::Float(18_446_744_073_709_551_616.0)),
            ("007", text("007")),
            ("0o17", text("0o17")),
            ("0x1F", text("0x1F")),
            ("1_000", text("1_000")),
            ("1.5", Value::Float(1.5)),
            (".5", Value::Float(0.5)),
            ("1.", Value::Float(1.0)),
            ("1e3", Value::Float(1000.0)),
            ("1e", text("1e")),
            ("1e999", text("1e999")),
            (".", text(".")),
            ("-", text("-")),
            (".inf", text(".inf")),
            (".nan", text(".nan")),
            ("1.2.3", text("1.2.3")),
            ("12:30", text("12:30")),
            ("2026-01-01", text("2026-01-01")),
        ] {
            assert_eq!(resolve(plain.into()), want, "{plain}");
        }
    }
}
