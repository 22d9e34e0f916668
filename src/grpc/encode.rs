//! From an answer to the wire. [`response`] is the one maker of a `CheckResponse`: an allow has status 0 and an
//! `ok_response`, a denial another status and a `denied_response`, and no third thing can be built.
//!
//! Every header is sent with `OVERWRITE_IF_EXISTS_OR_ADD` and without the older `append`: what Envoy does where neither
//! is set has changed between its versions. In a denial that action keeps repeated names.
//!
//! Dynamic metadata: one struct `tollgate` in the filter's namespace `envoy.filters.http.ext_authz`, which other
//! filters of the same kind share, with `decision_id`, `rule`, `reason`, `subject`, `client` and `issuer`. In access
//! logs: `%DYNAMIC_METADATA(envoy.filters.http.ext_authz:tollgate:reason)%`. What is not known is left out. Envoy writes texts
//! into its logs as they are: in what a token says, controls and the like are percent-encoded.

use super::wire;
use super::wire::check_response::HttpResponse;
use super::wire::value::Kind;
use crate::core::answer::{AllowedRequest, Answer, DeniedResponse, Verdict};
use crate::core::reason::{Reason, RpcCode};

/// The name of our struct in the filter's dynamic metadata.
pub const METADATA: &str = "tollgate";

const AUTHORIZATION: &str = "authorization";

/// Says an answer in Envoy's terms.
pub fn response(answer: &Answer) -> wire::CheckResponse {
    let metadata = metadata(answer);
    match &answer.verdict {
        Verdict::Allow(allowed) if answer.reason.allows() => allow(allowed, metadata),
        Verdict::Deny(denied) => deny(DenialCode::of(answer.reason), denied, metadata),
        // An allow for a reason that denies is a defect, and no allow.
        Verdict::Allow(_) => {
            let status = wire::HttpStatus { code: Reason::InternalError.http_status().into() };
            let denied = wire::Denied { status: Some(status), headers: Vec::new(), body: String::new() };
            denial(DenialCode::of(Reason::InternalError), denied, metadata)
        }
    }
}

/// As [`response`], framed for gRPC: not compressed, its length, the message.
pub fn frame(answer: &Answer) -> bytes::Bytes {
    use bytes::BufMut as _;
    use prost::Message as _;
    let message = response(answer);
    let length = message.encoded_len();
    let mut frame = bytes::BytesMut::with_capacity(5 + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    message.encode_raw(&mut frame);
    frame.freeze()
}

fn allow(allowed: &AllowedRequest, metadata: wire::Struct) -> wire::CheckResponse {
    // Envoy removes last: what is set must not be named here.
    let bearer = allowed.bearer.as_ref();
    let is_bearer = |name: &str| bearer.is_some() && name.eq_ignore_ascii_case(AUTHORIZATION);
    let is_set = |name: &str| is_bearer(name) || allowed.set.iter().any(|(set, _)| set.eq_ignore_ascii_case(name));
    let identity = allowed.set.iter().filter(|(name, _)| !is_bearer(name)).map(|(name, value)| header(name, value));
    let credential = bearer.map(|token| header(AUTHORIZATION, &format!("Bearer {}", token.expose())));
    let ok = wire::Allowed {
        headers: identity.chain(credential).collect(),
        headers_to_remove: allowed.remove.iter().filter(|name| !is_set(name)).map(|name| name.to_string()).collect(),
        response_headers_to_add: allowed.response_headers.iter().map(|(name, value)| header(name, value)).collect(),
    };
    wire::CheckResponse {
        status: Some(wire::Status { code: RpcCode::Ok as i32 }),
        http_response: Some(HttpResponse::OkResponse(ok)),
        dynamic_metadata: Some(metadata),
    }
}

fn deny(code: DenialCode, denied: &DeniedResponse, metadata: wire::Struct) -> wire::CheckResponse {
    // A status that is no error would be a page served by the gate. Envoy's own default is 403.
    let status = if (400..=599).contains(&denied.http_status()) { denied.http_status() } else { 403 };
    let response = wire::Denied {
        status: Some(wire::HttpStatus { code: status.into() }),
        headers: denied.headers().iter().map(|(name, value)| header(name, value)).collect(),
        body: denied.body().to_owned(),
    };
    denial(code, response, metadata)
}

fn denial(code: DenialCode, denied: wire::Denied, metadata: wire::Struct) -> wire::CheckResponse {
    wire::CheckResponse {
        status: Some(wire::Status { code: code.get() }),
        http_response: Some(HttpResponse::DeniedResponse(denied)),
        dynamic_metadata: Some(metadata),
    }
}

/// A `google.rpc.Code` other than OK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DenialCode(RpcCode);

impl DenialCode {
    /// The reason's own code. A reason that allows has none that denies: then it is our fault.
    const fn of(reason: Reason) -> Self {
        match reason.rpc_code() {
            RpcCode::Ok => Self(RpcCode::Internal),
            code => Self(code),
        }
    }

    const fn get(self) -> i32 {
        self.0 as i32
    }
}

fn header(name: &str, value: &str) -> wire::HeaderOption {
    wire::HeaderOption {
        header: Some(wire::Header { key: name.to_owned(), value: value.to_owned() }),
        append_action: wire::AppendAction::OverwriteIfExistsOrAdd.into(),
    }
}

fn metadata(answer: &Answer) -> wire::Struct {
    let principal = answer.principal.as_deref();
    let known = [
        ("decision_id", Some(answer.decision_id.to_string())),
        ("reason", Some(answer.reason.code().to_owned())),
        ("rule", answer.rule.as_deref().map(|rule| rule.name.to_string())),
        ("subject", principal.and_then(|p| p.subject.as_deref()).map(one_line)),
        ("client", principal.and_then(|p| p.client.as_deref()).map(one_line)),
        ("issuer", principal.map(|p| p.issuer.to_string())),
    ];
    let fields = known.into_iter().filter_map(|(key, value)| Some(field(key, Kind::StringValue(value?)))).collect();
    wire::Struct { fields: vec![field(METADATA, Kind::StructValue(wire::Struct { fields }))] }
}

/// Percent-encodes everything but spaces, visible ASCII and other scripts' letters and digits; `%` as well, so that the
/// text has one reading.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '%' && (c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric()) {
            line.push(c);
        } else {
            line.extend(c.encode_utf8(&mut [0; 4]).bytes().map(percent_encoding::percent_encode_byte));
        }
    }
    line
}

fn field(key: &str, kind: Kind) -> wire::Field {
    wire::Field { key: key.to_owned(), value: Some(wire::Value { kind: Some(kind) }) }
}

#[cfg(test)]
mod tests;
