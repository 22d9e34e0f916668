//! Strict JSON for what an attacker can write: one reading or none.
//!
//! A duplicate member at any depth (also one that is spelled with escapes), nesting beyond [`MAX_DEPTH`], bytes that
//! are not UTF-8, a byte-order mark, text after the value and numbers beyond the range of a double are all refused
//! (RFC 7515 §4, RFC 7519 §4, RFC 8259). Integers of up to 64 bits keep their exact value.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

/// Deepest nesting of arrays and objects.
pub const MAX_DEPTH: usize = 32;

/// Why a text is not acceptable JSON. It never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Bytes that are not UTF-8.
    #[error("it is not UTF-8")]
    Encoding,
    /// A member name that occurs twice in one object.
    #[error("an object has two members of one name")]
    Duplicate,
    /// More than [`MAX_DEPTH`] levels.
    #[error("it is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// Anything else that RFC 8259 does not allow, or a number out of range.
    #[error("it is not JSON (line {line}, column {column})")]
    Syntax {
        /// From one.
        line: usize,
        /// From one, in bytes.
        column: usize,
    },
    /// JSON, but not an object.
    #[error("it is not a JSON object")]
    NotAnObject,
}

/// Reads one JSON value.
///
/// # Errors
/// Where the bytes have no reading, or more than one.
pub fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|_| JsonError::Encoding)?;
    let fault = Cell::new(None);
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict { depth: 0, fault: &fault }.deserialize(&mut reader);
    let value = value.and_then(|value| reader.end().map(|()| value));
    let syntax = |error: &serde_json::Error| JsonError::Syntax { line: error.line(), column: error.column() };
    value.map_err(|error| fault.get().unwrap_or_else(|| syntax(&error)))
}

/// Reads one JSON object.
///
/// # Errors
/// As [`parse`], and where the value is not an object.
pub fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, JsonError> {
    match parse(bytes)? {
        Value::Object(map) => Ok(map),
        _ => Err(JsonError::NotAnObject),
    }
}

#[derive(Clone, Copy)]
struct Strict<'f> {
    depth: usize,
    fault: &'f Cell<Option<JsonError>>,
}

impl Strict<'_> {
    fn refuse<E: serde::de::Error>(self, fault: JsonError) -> E {
        self.fault.set(Some(fault));
        E::custom("refused")
    }

    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(self.refuse(JsonError::TooDeep));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let Entry::Vacant(place) = map.entry(name) else { return Err(self.refuse(JsonError::Duplicate)) };
            place.insert(members.next_value_seed(inner)?);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_reading_or_none() {
        for (text, fault) in [
            (&br#"{"a":1,"a":1}"#[..], JsonError::Duplicate),
            (br#"{"a":1,"\u0061":2}"#, JsonError::Duplicate),
            (br#"{"x":[{"b":{"c":1,"c":2}}]}"#, JsonError::Duplicate),
            (b"\xff", JsonError::Encoding),
            (b"{\"a\":\"\xc0\xaf\"}", JsonError::Encoding),
        ] {
            assert_eq!(parse(text), Err(fault), "{}", String::from_utf8_lossy(text));
        }
        for text in
            ["\u{feff}{}", "{} {}", "{}x", r#""\ud800""#, "1e400", "-1e400", "", " ", "{}\0", "01", "[1,]", "NaN"]
        {
            assert!(matches!(parse(text.as_bytes()), Err(JsonError::Syntax { .. })), "{text}");
        }
        assert_eq!(parse_object(b"[]"), Err(JsonError::NotAnObject));
        // Precomposed and decomposed spellings are two names (RFC 8259 §8.3).
        assert_eq!(parse_object("{\"é\":1,\"e\u{301}\":2}".as_bytes()).unwrap().len(), 2);
    }

    #[test]
    fn integers_of_64_bits_are_exact() {
        assert_eq!(parse(b"9007199254740993").unwrap().as_i64(), Some(9_007_199_254_740_993));
        assert_eq!(parse(b"18446744073709551615").unwrap().as_u64(), Some(u64::MAX));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        for depth in [MAX_DEPTH + 1, 127, 128, 200, 5_000, 100_000] {
            assert_eq!(parse(nested(depth).as_bytes()), Err(JsonError::TooDeep), "{depth}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_json_like_text_makes_it_panic(text in r#"[\[\]{}",:0-9eE.+\-\\utrfalsn ]{0,120}"#) {
            // What it accepts, the lenient reader accepts as well.
            if let Ok(value) = parse(text.as_bytes()) {
                prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
            }
        }

        #[test]
        fn it_reads_what_was_written(value in any_json()) {
            let text = serde_json::to_vec(&value).unwrap();
            let lenient: Value = serde_json::from_slice(&text).unwrap();
            prop_assert_eq!(parse(&text).unwrap(), lenient);
        }
    }
}
