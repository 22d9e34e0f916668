//! What denials look like.

use std::sync::Arc;

use super::headers;
use crate::config::file::rule::DenialFile;
use crate::config::place::At;
use crate::core::denial::is_known_status;
use crate::core::rule::DenialStyle;

/// Judges a `denial`, whose keys replace those of `base`.
pub(in crate::config) fn build(at: &At<'_>, file: &DenialFile, base: &DenialStyle) -> DenialStyle {
    let mut style = base.clone();
    if let Some(realm) = &file.realm {
        let good = |b: u8| (b' '..=b'~').contains(&b) && b != b'"' && b != b'\\';
        if realm.is_empty() || realm.len() > 256 || !realm.bytes().all(good) {
            at.key("realm").error("expected visible ASCII without `\"` and `\\`");
        }
        style.realm = Some(realm.as_str().into());
    }
    if let Some(text) = &file.resource_metadata {
        let url = url::Url::parse(text).ok().filter(|url| url.scheme() == "https" && url.fragment().is_none());
        let plain = text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        if url.is_none() || !plain {
            at.key("resource_metadata").error("expected an `https:` URL without fragment (RFC 9728 §3)");
        }
        style.resource_metadata = Some(text.as_str().into());
    }
    if let Some(status) = file.status {
        if !(400..=599).contains(&status) {
            at.key("status").error(format!("`{status}` would not be a denial; expected 400 to 599"));
        } else if !is_known_status(status) {
            at.key("status").error(format!(
                "Envoy cannot send `{status}`: its StatusCode has 400 to 417, 421 to 424, 426, 428, 429, 431, 500 to 508, 510 and 511 alone"
            ));
        }
        style.status = Some(status);
    }
    if let Some(body) = &file.body {
        let at = at.key("body");
        let content_type = at.required("content_type", body.content_type.as_ref(), "such as `text/plain`");
        let text = at.required("text", body.text.as_ref(), "what the client reads");
        if let Some(content_type) = content_type
            && !is_media_type(content_type)
        {
            at.key("content_type").error("expected a media type, such as `text/plain` or `text/html; charset=utf-8`");
        }
        if text.is_some_and(|text| text.len() > 64 << 10) {
            at.key("text").error("is longer than 64 KiB");
        }
        if let (Some(content_type), Some(text)) = (content_type, text) {
            style.body = Some((content_type.as_str().into(), text.as_str().into()));
        }
    }
    if let Some(headers) = &file.headers {
        style.headers = response_headers(&at.key("headers"), &headers.0, true);
    }
    style
}

/// Judges response headers: fixed values, each name once.
pub(in crate::config) fn response_headers(
    at: &At<'_>,
    entries: &[(String, String)],
    denial: bool,
) -> Vec<(Arc<str>, Arc<str>)> {
    let mut made: Vec<(Arc<str>, Arc<str>)> = Vec::new();
    for (name, text) in entries {
        let at = at.key(name);
        let good = headers::value(&at, text);
        if let Some(name) = headers::response(&at, name, denial)
            && good
        {
            if made.iter().any(|(known, _)| **known == *name) {
                at.error(format!("`{name}` is there twice"));
            }
            made.push((name.into(), text.as_str().into()));
        }
    }
    made
}

/// `type/subtype` and parameters (RFC 9110 §8.3.1), loosely.
fn is_media_type(text: &str) -> bool {
    let (kind, parameters) = text.split_once(';').map_or((text, None), |(kind, rest)| (kind, Some(rest)));
    let token = crate::core::request::is_token;
    let named = kind.trim_end().split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype));
    named && parameters.is_none_or(|rest| !rest.trim().is_empty() && rest.bytes().all(|b| (b' '..=b'~').contains(&b)))
}
