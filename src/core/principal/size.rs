//! What values take on the heap, as the program's allocator rounds: mimalloc has four sizes between two powers of two.

use serde_json::{Map, Value};

/// What an allocation of so many bytes takes.
pub(super) fn allocated(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        1..=64 => bytes.next_multiple_of(16),
        _ => bytes.next_multiple_of(bytes.next_power_of_two() / 8),
    }
}

/// A node of the map holds eleven members, used or not.
const NODE_BYTES: usize = 11 * (size_of::<String>() + size_of::<Value>()) + 16;

/// About what an object's members take. Nodes are about half full.
pub(super) fn of_object(map: &Map<String, Value>) -> usize {
    let members: usize = map.iter().map(|(name, value)| allocated(name.len()) + of_value(value)).sum();
    let nodes = if map.len() <= 11 { map.len().min(1) } else { map.len().div_ceil(6) };
    nodes * allocated(NODE_BYTES) + members
}

/// What a value holds beside itself.
pub(super) fn of_value(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => allocated(text.len()),
        Value::Array(items) => allocated(items.len() * size_of::<Value>()) + items.iter().map(of_value).sum::<usize>(),
        Value::Object(map) => of_object(map),
    }
}
