//! Kinds of values that the file is made of: durations, sizes, choices by shape.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, EnumAccess, MapAccess, VariantAccess, Visitor};

use super::decode::BY_SHAPE;

/// A duration: `150ms`, `10m`, `1h 30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) struct Time(pub(super) Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TimeVisitor;
        impl Visitor<'_> for TimeVisitor {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration with a unit, such as `150ms` or `10m`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
                humantime::parse_duration(text)
                    .map(Time)
                    .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(TimeVisitor)
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A duration with units, such as `150ms`, `10m` or `1h 30m`.",
            "type": "string",
            "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*[a-zA-Zµ]+(\s*[0-9]+(\.[0-9]+)?\s*[a-zA-Zµ]+)*\s*$"
        })
    }
}

/// A number of bytes: `8KiB`, `64MiB`, `4096`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) struct Size(pub(super) u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;
        impl Visitor<'_> for SizeVisitor {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes, such as `8KiB`, `64MiB` or `4096`")
            }

            fn visit_u64<E>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(bytes))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                parse_size(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(SizeVisitor)
    }
}

fn parse_size(text: &str) -> Option<Size> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let shift = match unit.trim_start() {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    if number.len() > 1 && number.starts_with('0') {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(1 << shift).map(Size)
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of bytes: a whole number, or one with `B`, `KiB`, `MiB` or `GiB`.",
            "anyOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": "^[0-9]+ ?(B|KiB|MiB|GiB)$" }
            ]
        })
    }
}

/// The one value `true`: a key that is either there or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct True;

impl<'de> Deserialize<'de> for True {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if bool::deserialize(deserializer)? {
            Ok(Self)
        } else {
            Err(de::Error::custom("expected `true`; where it does not hold, leave the key out"))
        }
    }
}

impl JsonSchema for True {
    fn schema_name() -> Cow<'static, str> {
        "True".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "const": true })
    }
}

/// `true`, or a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TrueOr {
    /// `true`.
    True,
    /// The text.
    Text(String),
}

impl<'de> Deserialize<'de> for TrueOr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TrueOrVisitor;
        impl Visitor<'_> for TrueOrVisitor {
            type Value = TrueOr;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`true` or a text")
            }

            fn visit_bool<E: de::Error>(self, b: bool) -> Result<TrueOr, E> {
                if b { Ok(TrueOr::True) } else { Err(E::invalid_value(de::Unexpected::Bool(b), &self)) }
            }

            fn visit_str<E>(self, text: &str) -> Result<TrueOr, E> {
                Ok(TrueOr::Text(text.to_owned()))
            }
        }
        deserializer.deserialize_any(TrueOrVisitor)
    }
}

impl JsonSchema for TrueOr {
    fn schema_name() -> Cow<'static, str> {
        "TrueOrText".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "const": true }, { "type": "string" }] })
    }
}

/// A text, a number or a boolean.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scalar(pub(super) serde_json::Value);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        match value {
            serde_json::Value::String(_) | serde_json::Value::Bool(_) => Ok(Self(value)),
            serde_json::Value::Number(ref number) if number.is_i64() || number.is_u64() => Ok(Self(value)),
            serde_json::Value::Number(_) => {
                Err(de::Error::custom("expected a whole number: numbers with a fraction cannot be compared exactly"))
            }
            serde_json::Value::Null => Err(de::Error::custom(
                "expected text, a whole number or a boolean; `absent: true` is for claims that are not there",
            )),
            serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
                Err(de::Error::custom("expected text, a whole number or a boolean"))
            }
        }
    }
}

impl JsonSchema for Scalar {
    fn schema_name() -> Cow<'static, str> {
        "Scalar".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer", "boolean"] })
    }
}

/// A map in the file's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ordered<T>(pub(crate) Vec<(String, T)>);

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OrderedVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OrderedVisitor<T> {
            type Value = Ordered<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered(entries))
            }
        }
        deserializer.deserialize_map(OrderedVisitor(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Ordered<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("Map_of_{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        <std::collections::BTreeMap<String, T>>::json_schema(generator)
    }
}

/// Nothing: for a shape that a choice does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Never {}

/// One value, a list or a map, each with a meaning of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ByShape<S, L, M> {
    /// One value.
    Scalar(S),
    /// A list.
    List(L),
    /// A map.
    Map(M),
}

/// What a [`ByShape`] may be made of.
pub(crate) trait Shape: Sized {
    /// Whether the choice has this shape.
    const THERE: bool = true;

    /// Reads it from a choice's content.
    ///
    /// # Errors
    /// As its type's `Deserialize`.
    fn read<'de, A: VariantAccess<'de>>(variant: A) -> Result<Self, A::Error>;

    /// Its schema.
    fn schema(generator: &mut SchemaGenerator) -> Option<Schema>;
}

impl Shape for Never {
    const THERE: bool = false;

    fn read<'de, A: VariantAccess<'de>>(_: A) -> Result<Self, A::Error> {
        Err(de::Error::custom("not a shape of this value"))
    }

    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }
}

impl<T: de::DeserializeOwned + JsonSchema> Shape for T {
    fn read<'de, A: VariantAccess<'de>>(variant: A) -> Result<Self, A::Error> {
        variant.newtype_variant()
    }

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<T>())
    }
}

impl<'de, S: Shape, L: Shape, M: Shape> Deserialize<'de> for ByShape<S, L, M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ShapeVisitor<S, L, M>(PhantomData<(S, L, M)>);
        impl<'de, S: Shape, L: Shape, M: Shape> Visitor<'de> for ShapeVisitor<S, L, M> {
            type Value = ByShape<S, L, M>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value of another shape")
            }

            fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Self::Value, A::Error> {
                let (shape, content) = data.variant::<String>()?;
                match shape.as_str() {
                    "list" => L::read(content).map(ByShape::List),
                    "map" => M::read(content).map(ByShape::Map),
                    _ => S::read(content).map(ByShape::Scalar),
                }
            }
        }
        let variants: &'static [&'static str] = match (S::THERE, L::THERE, M::THERE) {
            (true, true, true) => &["scalar", "list", "map"],
            (true, true, false) => &["scalar", "list"],
            (true, false, true) => &["scalar", "map"],
            (false, true, true) => &["list", "map"],
            (true, false, false) => &["scalar"],
            (false, true, false) => &["list"],
            (false, false, true) => &["map"],
            (false, false, false) => &[],
        };
        deserializer.deserialize_enum(BY_SHAPE, variants, ShapeVisitor(PhantomData))
    }
}

impl<S: Shape, L: Shape, M: Shape> JsonSchema for ByShape<S, L, M> {
    fn schema_name() -> Cow<'static, str> {
        "ByShape".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let choices: Vec<Schema> =
            [S::schema(generator), L::schema(generator), M::schema(generator)].into_iter().flatten().collect();
        json_schema!({ "anyOf": choices })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, want) in [
            ("8KiB", Some(8192)),
            ("64 MiB", Some(64 << 20)),
            ("1GiB", Some(1 << 30)),
            ("12B", Some(12)),
            ("12", None),
            ("010KiB", None),
            ("8kb", None),
            ("-1KiB", None),
            ("", None),
            ("99999999999999999999GiB", None),
            ("18446744073709551615GiB", None),
        ] {
            assert_eq!(parse_size(text).map(|size| size.0), want, "{text}");
        }
    }
}
