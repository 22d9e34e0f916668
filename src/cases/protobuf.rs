//! A `CheckRequest` in the JSON mapping of Protocol Buffers, as the bytes of the message: by the very schema that the
//! gate's reflection serves.

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde::de::IgnoredAny;

use crate::grpc::reflection::CHECK_DESCRIPTOR;

const CHECK_REQUEST: &str = "envoy.service.auth.v3.CheckRequest";

/// Whether these bytes are meant to be JSON. A message's first byte is its first field's key, a line break; what begins
/// like that is JSON where it can be read as such.
pub(super) fn is_json(bytes: &[u8]) -> bool {
    let begins = bytes.trim_ascii_start().first() == Some(&b'{');
    begins && (bytes.first() != Some(&b'\n') || serde_json::from_slice::<IgnoredAny>(bytes).is_ok())
}

/// The bytes of the message. Of fields, both spellings are read: `context_extensions` and `contextExtensions`.
///
/// # Errors
/// In words: where, and what is wrong there.
pub(super) fn from_json(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut track = serde_path_to_error::Track::new();
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let read = DynamicMessage::deserialize(descriptor()?, tracked);
    let message = read.map_err(|error| match track.path().to_string() {
        path if path == "." => without_values(&error.to_string()),
        path => format!("`{path}`: {}", without_values(&error.to_string())),
    })?;
    json.end().map_err(|error| error.to_string())?;
    Ok(message.encode_to_vec())
}

/// What is wrong, without a text that stands where another thing belongs: it may be a token.
fn without_values(error: &str) -> String {
    const OPENING: &str = "string \"";
    let span = error.find(OPENING).zip(error.rfind('"')).filter(|(from, to)| from + OPENING.len() <= *to);
    match span.and_then(|(from, to)| Some((error.get(..from)?, error.get(to + 1..)?))) {
        Some((before, after)) => format!("{before}a text{after}"),
        None => error.to_owned(),
    }
}

fn descriptor() -> Result<MessageDescriptor, String> {
    let pool = DescriptorPool::decode(CHECK_DESCRIPTOR).map_err(|error| error.to_string())?;
    pool.get_message_by_name(CHECK_REQUEST).ok_or_else(|| format!("`{CHECK_REQUEST}` is not in the schema"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::request::Direction;
    use crate::grpc::decode;

    #[test]
    fn json_becomes_the_message_that_envoy_would_send() {
        for (context, map) in [("context_extensions", "header_map"), ("contextExtensions", "headerMap")] {
            let json = format!(
                r#"{{"attributes":{{"source":{{"principal":"spiffe://a/b"}},"{context}":{{"tier":"gold"}},
                "request":{{"time":"2026-01-01T00:00:00Z","http":{{"method":"GET","host":"a.b","path":"/x?y=1","size":"-1",
                "headers":{{"x-a":"1"}},"{map}":{{"headers":[{{"key":"x-b","rawValue":"/w=="}}]}}}}}}}}}}"#
            );
            assert!(is_json(json.as_bytes()));
            let message = from_json(json.as_bytes()).unwrap();
            let request = decode::request(&message, Direction::Inbound).unwrap();
            assert_eq!((request.method, request.host, request.path), ("GET", "a.b", "/x?y=1"));
            assert_eq!((request.principal, &*request.context_extensions), ("spiffe://a/b", &[("tier", "gold")][..]));
            let mut lines: Vec<_> = request.headers.iter().map(|line| (line.name, line.value)).collect();
            lines.sort();
            assert_eq!(lines, [("x-a", &b"1"[..]), ("x-b", b"\xff")]);
            assert!(!is_json(&message));
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (json, place, what) in [
            (r#"{"attributes":{"request":{"http":{"methode":"GET"}}}}"#, "attributes.request.http", "methode"),
            ("{\"attributes\":\n {\"request\": 7}}", "attributes.request", "line 2"),
            ("{\"attributes\":", "attributes", "EOF"),
            ("{} {}", "", "trailing"),
        ] {
            let error = from_json(json.as_bytes()).unwrap_err();
            assert!(error.contains(place) && error.contains(what), "{json}: {error}");
        }
    }

    #[test]
    fn what_stands_in_the_wrong_place_is_not_repeated() {
        for value in ["Bearer hunter2", "hun\"ter2", "hunter2, expected \"x\""] {
            for path in [r#"{"attributes":{"request":{"http":{"headers":@}}}}"#, r#"{"attributes":@}"#] {
                let json = path.replace('@', &serde_json::json!(value).to_string());
                let error = from_json(json.as_bytes()).unwrap_err();
                assert!(error.contains("attributes") && error.contains("a text"), "{error}");
                assert!(!error.contains("hunter2") && !error.contains("ter2"), "{error}");
            }
            let raw = r#"{"attributes":{"request":{"http":{"headerMap":{"headers":[{"key":"a","rawValue":@}]}}}}}"#;
            let error = from_json(raw.replace('@', &serde_json::json!(value).to_string()).as_bytes()).unwrap_err();
            assert!(!error.contains("ter2"), "{error}");
        }
    }

    #[test]
    fn a_message_that_looks_like_json_at_first_is_none() {
        // 123 bytes of attributes: a line break, and an opening brace.
        let mut message = vec![b'\n', b'{'];
        message.extend([b'"'; 123]);
        assert!(!is_json(&message) && is_json(b"\n{}") && is_json(b" {") && !is_json(b""));
    }
}
