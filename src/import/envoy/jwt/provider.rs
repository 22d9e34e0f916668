//! A provider of `jwt_authn`, as an issuer.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::super::model::{Effect, ImportError, Keys, Model, Provider};
use super::super::super::read::View;
use super::Known;
use crate::config::tree::Value;
use crate::core::request::is_token;

const KEYS: [&str; 23] = [
    "issuer",
    "audiences",
    "remote_jwks",
    "local_jwks",
    "forward",
    "from_headers",
    "from_params",
    "from_cookies",
    "forward_payload_header",
    "pad_forward_payload_header",
    "payload_in_metadata",
    "header_in_metadata",
    "failed_status_in_metadata",
    "normalize_payload_in_metadata",
    "clock_skew_seconds",
    "jwt_cache_config",
    "claim_to_headers",
    "clear_route_cache",
    "require_expiration",
    "max_lifetime",
    "subjects",
    "jwks_cache_duration",
    "provider_name",
];

/// Longest leeway that Tollgate takes, in seconds.
const MAX_LEEWAY: u64 = 300;
/// Envoy's own.
const DEFAULT_LEEWAY: u64 = 60;

pub(super) fn read(name: &str, view: &View<'_>, model: &mut Model) -> Known {
    for key in ["header_in_metadata", "failed_status_in_metadata"] {
        model.lost_claims.extend(view.text_of(key).map(str::to_owned));
    }
    if view.field("normalize_payload_in_metadata").is_some() {
        // Texts become lists there.
        model.lost_claims.extend(view.text_of("payload_in_metadata").map(str::to_owned));
    }
    // Envoy takes a client's own of these off each request, whatever becomes of the provider.
    for (header, name) in header_names(view) {
        if can_be_removed(&name) {
            model.set_headers.insert(name);
        } else {
            let message =
                format!("the header `{name}` is set for the upstream, and Tollgate can neither set nor remove it");
            model.errors.push(ImportError { place: header.place(), message });
        }
    }
    match said(name, view, model) {
        Ok((provider, audiences)) => {
            model.providers.push(provider);
            Known::Said { index: model.providers.len() - 1, audiences }
        }
        Err(why) => {
            model.lost_claims.extend(view.text_of("payload_in_metadata").map(str::to_owned));
            let message = format!("the provider `{name}` is not imported: {why}; its tokens are refused");
            Known::Lost(model.notes.unsayable(view.place(), message))
        }
    }
}

fn said(name: &str, view: &View<'_>, model: &mut Model) -> Result<(Provider, Vec<String>), String> {
    if let Some(key) = view.unknown(&KEYS) {
        return Err(format!("`{key}` is not known here"));
    }
    if view.field("subjects").is_some() {
        return Err("Tollgate has no condition on subjects by issuer".to_owned());
    }
    let issuer = view.text_of("issuer").filter(|issuer| !issuer.is_empty());
    let issuer = issuer.ok_or("it names no `issuer`, and would take tokens of any")?.to_owned();
    if issuer.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("its `issuer` holds white space".to_owned());
    }
    let audiences: Option<Vec<String>> =
        view.list("audiences").iter().map(|view| view.text().map(str::to_owned)).collect();
    let audiences = audiences.ok_or("its audiences are not a list of texts")?;
    let keys = keys(view)?;
    let place = || view.place();
    if matches!(&keys, Keys::Url(url) if url.starts_with("http:")) {
        let message = "nobody can change its keys on their way: they come from the URL as it stands, without TLS, and not \
                       through Envoy's cluster";
        model.notes.add(place(), Effect::Assumed, message);
    }
    let (header, elsewhere) = header(view)?;
    let looks_elsewhere = elsewhere.then(|| {
        let message = "only the first place where Tollgate can look for a token is looked at";
        model.notes.add(place(), Effect::Narrowed, message);
        model.notes.all.len() - 1
    });
    let same = |other: &Provider| other.issuer == issuer && other.header == header;
    if model.providers.iter().any(same) {
        return Err("another provider has the same issuer and takes its tokens from the same place".to_owned());
    }
    if view.field("from_headers").is_none() && !elsewhere {
        let message = "no tokens come in the query parameter `access_token`, where Envoy looks, too";
        model.notes.add(place(), Effect::Assumed, message);
    }
    if model.providers.iter().any(|other| other.header != header) {
        let message = "requests have one token: Tollgate refuses several";
        model.notes.add(place(), Effect::Assumed, message);
    }
    if !view.flag("require_expiration") {
        model.notes.add(place(), Effect::Assumed, "its tokens have `exp`; Tollgate refuses one without");
    }
    let leeway = match view.field("clock_skew_seconds") {
        None => DEFAULT_LEEWAY,
        Some(value) => match number(&value) {
            Some(0) => DEFAULT_LEEWAY,
            Some(seconds) => seconds,
            None => return Err("`clock_skew_seconds` is not a number".to_owned()),
        },
    };
    if leeway > MAX_LEEWAY {
        model.notes.add(place(), Effect::Narrowed, "clocks may differ by five minutes at most");
    }
    let max_lifetime_seconds = match view.field("max_lifetime") {
        None => None,
        Some(value) => {
            let seconds = value.text().and_then(|text| text.strip_suffix('s')).and_then(|text| text.parse().ok());
            Some(seconds.filter(|seconds| *seconds > 0).ok_or("`max_lifetime` is not read")?)
        }
    };
    let (inject, extra) = headers(view, model);
    let provider = Provider {
        name: label(name, model),
        place: format!("the provider `{name}` ({})", view.spot()),
        issuer,
        keys,
        header,
        looks_elsewhere,
        leeway_seconds: leeway.min(MAX_LEEWAY),
        max_lifetime_seconds,
        claims_key: view.text_of("payload_in_metadata").filter(|key| !key.is_empty()).map(str::to_owned),
        removes_token: !view.flag("forward"),
        inject,
        extra,
    };
    Ok((provider, audiences))
}

/// A name for the issuer that no other one has.
fn label(name: &str, model: &Model) -> String {
    let plain = |c: char| if c.is_ascii_graphic() { c } else { '-' };
    let base: String = name.chars().map(plain).take(100).collect();
    let base = if base.is_empty() { "issuer".to_owned() } else { base };
    let mut label = base.clone();
    let mut number = 2;
    while model.providers.iter().any(|provider| provider.name == label) {
        label = format!("{base}-{number}");
        number += 1;
    }
    label
}

fn number(view: &View<'_>) -> Option<u64> {
    match &view.node.value {
        Value::Unsigned(number) => Some(*number),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    }
}

fn keys(view: &View<'_>) -> Result<Keys, String> {
    match (view.field("remote_jwks"), view.field("local_jwks")) {
        (Some(remote), None) => {
            let url = remote.field("http_uri").and_then(|view| view.text_of("uri"));
            let url = url.ok_or("its `remote_jwks` has no `uri`")?;
            let parsed = url::Url::parse(url).map_err(|_| "its `remote_jwks` has no URL")?;
            let plain = parsed.username().is_empty() && parsed.password().is_none() && parsed.fragment().is_none();
            if !matches!(parsed.scheme(), "http" | "https") || !plain {
                return Err("its `remote_jwks` is at no URL that Tollgate would ask".to_owned());
            }
            Ok(Keys::Url(url.to_owned()))
        }
        (None, Some(local)) => match local.only() {
            Some((kind, value)) if kind == "inline_string" => inline(value.text().unwrap_or_default()),
            Some((kind, value)) if kind == "inline_bytes" => {
                let bytes = STANDARD.decode(value.text().unwrap_or_default()).map_err(|_| "its keys are not base64")?;
                inline(&String::from_utf8(bytes).map_err(|_| "its keys are not text")?)
            }
            _ => match local.text_of("filename") {
                Some(path) if local.unknown(&["filename", "watched_directory"]).is_none() => {
                    Ok(Keys::File(path.to_owned()))
                }
                _ => Err("its keys are neither in a file nor in the configuration itself".to_owned()),
            },
        },
        _ => Err("it has `remote_jwks` or `local_jwks`, one of them".to_owned()),
    }
}

fn inline(text: &str) -> Result<Keys, String> {
    let set: Option<serde_json::Value> = serde_json::from_str(text).ok();
    let is_set = set.and_then(|set| set.get("keys").map(serde_json::Value::is_array)) == Some(true);
    is_set.then(|| Keys::Inline(text.to_owned())).ok_or_else(|| "its keys are no JWKS".to_owned())
}

/// The header that is looked at, and whether there are other places.
fn header(view: &View<'_>) -> Result<(Option<String>, bool), String> {
    let other = view.field("from_params").is_some() || view.field("from_cookies").is_some();
    let headers = view.list("from_headers");
    if headers.is_empty() {
        return if other { Err("its tokens come in the query or in cookies".to_owned()) } else { Ok((None, false)) };
    }
    for header in &headers {
        let name = header.text_of("name").unwrap_or_default().to_ascii_lowercase();
        let prefix = header.text_of("value_prefix").unwrap_or_default();
        let several = other || headers.len() > 1;
        match (name.as_str(), prefix) {
            ("authorization", "Bearer ") => return Ok((None, several)),
            ("authorization" | "cookie" | "host", _) => {}
            (_, "") if is_token(&name) && !name.starts_with("x-envoy-") => return Ok((Some(name), several)),
            _ => {}
        }
    }
    Err("its tokens come in no header that holds the bare token, nor as `Authorization: Bearer`".to_owned())
}

/// Headers and their templates.
type Inject = Vec<(String, String)>;

/// Claims by the names that templates have for them.
type Extra = BTreeMap<String, Vec<String>>;

/// The headers that it sets for the upstream, lower case, each with its place.
fn header_names<'d>(view: &View<'d>) -> Vec<(View<'d>, String)> {
    let payload =
        view.field("forward_payload_header").map(|header| (header.clone(), header.text().unwrap_or_default()));
    let claims = view.list("claim_to_headers").into_iter().map(|entry| {
        let name = entry.text_of("header_name").unwrap_or_default();
        (entry, name)
    });
    payload.into_iter().chain(claims).map(|(view, name)| (view, name.to_ascii_lowercase())).collect()
}

/// Whether Tollgate removes a header of this name where it is an identity header.
fn can_be_removed(name: &str) -> bool {
    let folded = name.replace(['_', '.'], "-");
    let framing =
        ["authorization", "proxy-authorization", "cookie", "host", "connection", "keep-alive", "te", "trailer"];
    let steers = ["x-envoy-", "content-", "transfer-", "proxy-", "upgrade", "http2-settings"];
    is_token(name) && !framing.contains(&&*folded) && !steers.iter().any(|start| folded.starts_with(start))
}

/// Headers for the upstream, and the claims that they are made of.
fn headers(view: &View<'_>, model: &mut Model) -> (Inject, Extra) {
    let (mut inject, mut extra) = (Vec::new(), BTreeMap::new());
    let mut wanted: Vec<(View<'_>, String, String)> = Vec::new();
    if let Some(header) = view.field("forward_payload_header") {
        let name = header.text().unwrap_or_default().to_ascii_lowercase();
        wanted.push((header, name, "{claims}".to_owned()));
    }
    for entry in view.list("claim_to_headers") {
        let name = entry.text_of("header_name").unwrap_or_default().to_ascii_lowercase();
        let claim = entry.text_of("claim_name").unwrap_or_default();
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let key: String = claim.chars().map(plain).collect();
        let path: Vec<String> = claim.split('.').map(str::to_owned).collect();
        let taken = extra.get(&key).is_some_and(|known| *known != path);
        let usable = !taken && path.iter().all(|step| !step.is_empty());
        wanted.push((entry, name, if usable { format!("{{claim.{key}}}") } else { String::new() }));
        if usable {
            extra.insert(key, path);
        }
    }
    for (view, name, template) in wanted {
        let folded = name.replace(['_', '.'], "-");
        let others = model.providers.iter().flat_map(|provider| &provider.inject);
        let clash = others.chain(&inject).any(|(known, other): &(String, String)| {
            (*known == name && *other != template) || (*known != name && known.replace(['_', '.'], "-") == folded)
        });
        if template.is_empty() || !can_be_removed(&name) || clash {
            let message = format!("the header `{name}` is not set for the upstream; a client's own is removed");
            model.notes.add(view.place(), Effect::LeftOut, message);
        } else if !inject.contains(&(name.clone(), template.clone())) {
            inject.push((name, template));
        }
    }
    (inject, extra)
}
