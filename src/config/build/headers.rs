//! Names and values of headers that the configuration speaks of.

use crate::config::names::shown;
use crate::config::place::At;
use crate::core::request::is_token;

/// Headers that frame a message or belong to one hop (RFC 9110 §7.6.1): neither the gate nor Envoy may touch them.
const FRAMING: [&str; 10] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// A header's name, in lower case. `None`, and an error, where it is none, or is not for this use.
fn name(at: &At<'_>, text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    // Upstreams that fold `_` and `.` would take `content_length` for what it looks like.
    let folded = crate::core::table::fold(&lower);
    let problem = if let Some(pseudo) = lower.strip_prefix(':') {
        format!("`:{}` is a pseudo-header, which cannot be set or removed", shown(pseudo))
    } else if !is_token(&lower) || lower.len() > 128 {
        format!("`{}` is not a header name", shown(text))
    } else if FRAMING.contains(&&*folded) {
        format!("`{lower}` belongs to the connection, not to the request; it cannot be set or removed")
    } else if folded.starts_with("x-envoy-") {
        format!("`{lower}` steers Envoy itself; choose a name outside of `x-envoy-`")
    } else {
        return Some(lower);
    };
    at.error(problem);
    None
}

/// The name of an identity header: one that only the gate may set. `credentials` are the headers that carry tokens.
pub(in crate::config) fn identity(at: &At<'_>, text: &str, credentials: &[String]) -> Option<String> {
    let name = name(at, text)?;
    let folded = crate::core::table::fold(&name);
    if folded == "authorization" || folded == "proxy-authorization" || credentials.iter().any(|known| *known == folded)
    {
        at.error(format!("`{name}` carries the credential; to keep it from the upstream write `remove_token: true`"));
        return None;
    }
    if matches!(&*folded, "cookie" | "content-type" | "content-encoding") {
        at.error(format!("`{name}` belongs to the request's content; choose a name of your own, such as `x-user-id`"));
        return None;
    }
    Some(name)
}

/// The name of a header that carries tokens.
pub(in crate::config) fn credential(at: &At<'_>, text: &str) -> Option<String> {
    let name = name(at, text)?;
    let problem = match name.as_str() {
        "authorization" => "`authorization` is the default, as `Authorization: Bearer`; leave `credential` out",
        "cookie" => "tokens in cookies are not supported; use a header of their own",
        _ => return Some(name),
    };
    at.error(problem);
    None
}

/// The name of a response header.
pub(in crate::config) fn response(at: &At<'_>, text: &str, denial: bool) -> Option<String> {
    let name = name(at, text)?;
    let problem = match name.as_str() {
        "www-authenticate" => "challenges are made by the gate; see `realm` and `resource_metadata`",
        "content-type" if denial => "the content type goes with the body; see `body.content_type`",
        "content-type" | "content-encoding" => "the upstream's answer says what it holds; this cannot be set here",
        _ => return Some(name),
    };
    at.error(problem);
    None
}

/// The name of a header that selects a rule.
pub(in crate::config) fn selecting(at: &At<'_>, text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let problem = match lower.as_str() {
        "host" | ":authority" => "write `hosts`; they are normalised first",
        ":path" => "write `paths`; they are normalised first",
        ":method" => "write `methods`",
        _ if !is_token(&lower) => {
            at.error(format!("`{}` is not a header name", shown(text)));
            return None;
        }
        _ => return Some(lower),
    };
    at.error(problem);
    None
}

/// A header's fixed value: visible ASCII with spaces inside, at most 8 KiB.
pub(in crate::config) fn value(at: &At<'_>, text: &str) -> bool {
    let good = !text.is_empty()
        && text.len() <= 8192
        && text.trim_matches(' ') == text
        && text.bytes().all(|b| (b' '..=b'~').contains(&b));
    if !good {
        at.error("expected a header value: visible ASCII, with spaces at most inside, without line breaks");
    }
    good
}
