//! From the tree to the file's types. Unknown keys are reported and left out on the way; a value of the wrong
//! type is reported, left out, and reading starts over, so that one pass over a file finds everything.

use std::fmt;

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::names::{boolean_hint, did_you_mean, listed, nearest, shown};
use super::place::At;
use super::tree::{Entry, Node, Value};

/// The name under which a type asks for a choice by shape; its variants are some of `scalar`, `list` and `map`.
pub(super) const BY_SHAPE: &str = "$shape";

/// Reads a section. `None` where nothing of it could be kept.
pub(crate) fn decode<T: DeserializeOwned>(at: &At<'_>) -> Option<T> {
    /// More errors of one section than a reader wants to see.
    const MOST: usize = 50;
    let node = at.node()?;
    for _ in 0..MOST {
        match T::deserialize(Reader { at: *at, node }) {
            Ok(value) => return Some(value),
            Err(failure) => {
                let culprit = failure.node.unwrap_or(std::ptr::from_ref(node));
                if !report(at, node, culprit, &failure.message) {
                    report(at, node, std::ptr::from_ref(node), &failure.message);
                }
                if at.sink().is_broken(node) {
                    return None;
                }
            }
        }
    }
    at.sink().set_broken(node);
    None
}

/// Finds the failing node below `at`, reports it there and leaves it out.
fn report(at: &At<'_>, node: &Node, culprit: *const Node, message: &str) -> bool {
    if std::ptr::from_ref(node) == culprit {
        at.error(message);
        at.sink().set_broken(node);
        return true;
    }
    at.entries().iter().any(|entry| report(&at.entry(entry), &entry.value, culprit, message))
        || at.items().iter().enumerate().any(|(index, item)| report(&at.item(index, item), item, culprit, message))
}

/// Reports every repeated key below, and `<<`.
pub(crate) fn report_duplicates(at: &At<'_>) {
    for entry in at.entries() {
        if let Some((line, column)) = entry.duplicate_of {
            at.entry_key(entry).error(format!("the key `{}` is already there, at {line}:{column}", shown(&entry.key)));
        }
        if entry.key == "<<" {
            at.entry_key(entry)
                .error("merge keys are not part of YAML 1.2; for rules, share a set under `requirements`");
            at.sink().set_broken(&entry.value);
        }
        report_duplicates(&at.entry(entry));
    }
    for (index, item) in at.items().iter().enumerate() {
        report_duplicates(&at.item(index, item));
    }
}

/// Reports a key that its map does not know.
pub(crate) fn report_unknown(at: &At<'_>, entry: &Entry, known: &[&'static str]) {
    if entry.key != "<<" {
        let hint = did_you_mean(&entry.key, known.iter().copied());
        let message =
            format!("unknown key `{}`{hint} known here: {}", shown(&entry.key), listed(known.iter().copied()));
        at.entry_key(entry).error(message);
    }
    at.sink().set_broken(&entry.value);
}

/// Why a value is not of its type, and which one.
#[derive(Debug)]
pub(super) struct Failure {
    message: String,
    node: Option<*const Node>,
    /// What was found instead is still to be added.
    bare: bool,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), node: None, bare: false }
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self { bare: true, ..Self::custom(format_args!("expected {expected}")) }
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }
}

/// Reads one node.
#[derive(Clone, Copy)]
struct Reader<'a> {
    at: At<'a>,
    node: &'a Node,
}

impl<'a> Reader<'a> {
    fn fail<T>(self, expected: &str, hint: &str) -> Result<T, Failure> {
        let message = format!("expected {expected}, found {}{hint}", self.node.describe());
        Err(Failure { message, node: Some(self.node), bare: false })
    }

    /// Refuses a number outside of these bounds.
    fn within(self, least: i64, most: i64) -> Result<(), Failure> {
        let number = match self.node.value {
            Value::Unsigned(n) => i64::try_from(n).ok(),
            Value::Signed(n) => Some(n),
            _ => return Ok(()),
        };
        match number {
            Some(n) if (least..=most).contains(&n) => Ok(()),
            Some(_) | None => self.fail(&format!("a whole number from {least} to {most}"), ""),
        }
    }

    /// Points a failure that does not yet know its node at this one.
    fn here<T>(self, result: Result<T, Failure>) -> Result<T, Failure> {
        result.map_err(|failure| match failure {
            Failure { message, node: None, bare: true } => {
                let message = format!("{message}, found {}", self.node.describe());
                Failure { message, node: Some(self.node), bare: false }
            }
            Failure { message, node, bare } => Failure { message, node: node.or(Some(self.node)), bare },
        })
    }

    fn map<'de, V: Visitor<'de>>(self, entries: &'a [Entry], visitor: V) -> Result<V::Value, Failure> {
        self.here(visitor.visit_map(Entries { at: self.at, rest: entries.iter(), value: None }))
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.value {
            Value::Null => self.here(visitor.visit_unit()),
            Value::Bool(b) => self.here(visitor.visit_bool(*b)),
            Value::Unsigned(n) => self.here(visitor.visit_u64(*n)),
            Value::Signed(n) => self.here(visitor.visit_i64(*n)),
            Value::Float(n) => self.here(visitor.visit_f64(*n)),
            Value::Text(text) => self.here(visitor.visit_str(text)),
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Map(entries) => self.map(entries, visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.value {
            Value::Bool(b) => self.here(visitor.visit_bool(*b)),
            Value::Text(text) => self.fail("a boolean", boolean_hint(text)),
            _ => self.fail("a boolean", ""),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.value {
            Value::Unsigned(n) => self.here(visitor.visit_u64(*n)),
            Value::Text(text) if text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()) => {
                self.fail("a whole number", "; leading zeros are not allowed: YAML versions disagree on what they mean")
            }
            Value::Text(text) if text.parse::<u64>().is_ok() => self.fail("a whole number", "; leave the quotes out"),
            _ => self.fail("a whole number", ""),
        }
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.value {
            Value::Signed(n) => self.here(visitor.visit_i64(*n)),
            _ => self.deserialize_u64(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.value {
            Value::Text(text) => self.here(visitor.visit_str(text)),
            Value::Bool(_) | Value::Unsigned(_) | Value::Signed(_) | Value::Float(_) => {
                self.fail("text", "; put it in quotes")
            }
            Value::Null | Value::List(_) | Value::Map(_) => self.fail("text", ""),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.node.value {
            Value::Null => self.fail("a value", "; leave the key out where nothing is meant"),
            _ => self.here(visitor.visit_some(self)),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.value {
            Value::List(items) => self.here(visitor.visit_seq(Items { at: self.at, rest: items.iter().enumerate() })),
            _ => self.fail("a list", "; write `[…]` or lines that start with `- `"),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.value {
            Value::Map(entries) => self.map(entries, visitor),
            _ => self.fail("a map", ""),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let Value::Map(entries) = &self.node.value else {
            return self.fail("a map", &format!("; its keys are {}", listed(fields.iter().copied())));
        };
        for entry in entries.iter().filter(|entry| !fields.contains(&entry.key.as_str())) {
            if !self.at.sink().is_broken(&entry.value) {
                report_unknown(&self.at, entry, fields);
            }
        }
        self.map(entries, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        if name == BY_SHAPE {
            let shape = match &self.node.value {
                Value::List(_) => "list",
                Value::Map(_) => "map",
                _ => "scalar",
            };
            if !variants.contains(&shape) {
                let article = |shape: &str| match shape {
                    "scalar" => "a text",
                    "list" => "a list",
                    _ => "a map",
                };
                let expected: Vec<&str> = variants.iter().map(|shape| article(shape)).collect();
                return self.fail(&expected.join(" or "), "");
            }
            return self.here(visitor.visit_enum(Shaped { reader: self, shape }));
        }
        match &self.node.value {
            Value::Text(text) if variants.contains(&text.as_str()) => {
                self.here(visitor.visit_enum(text.as_str().into_deserializer()))
            }
            _ => {
                let expected = match variants {
                    [only] => format!("`{only}`"),
                    _ => format!("one of {}", listed(variants.iter().copied())),
                };
                let meant = match &self.node.value {
                    Value::Text(text) => nearest(text, variants.iter().copied()),
                    _ => None,
                };
                let hint = meant.map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
                self.fail(&expected, &hint)
            }
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Failure> {
        self.here(visitor.visit_newtype_struct(self))
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.within(0, u8::MAX.into())?;
        self.deserialize_u64(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.within(0, u16::MAX.into())?;
        self.deserialize_u64(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.within(0, u32::MAX.into())?;
        self.deserialize_u64(visitor)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.within(i32::MIN.into(), i32::MAX.into())?;
        self.deserialize_i64(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// The entries of a map that are not left out.
struct Entries<'a> {
    at: At<'a>,
    rest: std::slice::Iter<'a, Entry>,
    value: Option<&'a Entry>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Failure> {
        let sink = self.at.sink();
        match self.rest.find(|entry| entry.duplicate_of.is_none() && !sink.is_broken(&entry.value)) {
            Some(entry) => {
                self.value = Some(entry);
                seed.deserialize(entry.key.as_str().into_deserializer()).map(Some)
            }
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let entry = self.value.take().ok_or_else(|| de::Error::custom("a value without a key"))?;
        seed.deserialize(Reader { at: self.at.entry(entry), node: &entry.value })
    }
}

/// The items of a list that are not left out.
struct Items<'a> {
    at: At<'a>,
    rest: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        let sink = self.at.sink();
        match self.rest.find(|(_, node)| !sink.is_broken(node)) {
            Some((index, node)) => seed.deserialize(Reader { at: self.at.item(index, node), node }).map(Some),
            None => Ok(None),
        }
    }
}

/// A choice by the node's shape, whose content is the node itself.
struct Shaped<'a> {
    reader: Reader<'a>,
    shape: &'static str,
}

impl<'de> EnumAccess<'de> for Shaped<'_> {
    type Error = Failure;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Failure> {
        let variant = seed.deserialize(de::value::StrDeserializer::<Failure>::new(self.shape))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Shaped<'_> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Failure> {
        seed.deserialize(self.reader)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Failure> {
        self.reader.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Failure> {
        self.reader.deserialize_struct("", fields, visitor)
    }
}
