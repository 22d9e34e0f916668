//! From an answer to the wire. [`frame`] is the one maker of a `CheckResponse`: an allow has status 0 and an
//! `ok_response`, a denial another status and a `denied_response`, and no third thing can be built.
//!
//! Every header is sent with `OVERWRITE_IF_EXISTS_OR_ADD` and without the older `append`: what Envoy does where neither
//! is set has changed between its versions. In a denial that action keeps repeated names.
//!
//! Dynamic metadata: one struct `tollgate` in the filter's namespace `envoy.filters.http.ext_authz`, which other
//! filters of the same kind share, with `decision_id`, `rule`, `reason`, `subject`, `client` and `issuer`. In access
//! logs: `%DYNAMIC_METADATA(envoy.filters.http.ext_authz:tollgate:reason)%`. What is not known is left out. Envoy writes texts
//! into its logs as they are: in what a token says, controls and the like are percent-encoded.

mod fields;
mod message;
mod prepared;

use std::borrow::Cow;

use bytes::Bytes;

use self::message::{Field, Message};
pub use self::prepared::Prepared;
use super::wire;
use crate::core::answer::{AllowedRequest, Answer, DeniedResponse, Verdict};
use crate::core::guard::AUTHORIZATION;
use crate::core::reason::{Reason, RpcCode};

/// The name of our struct in the filter's dynamic metadata.
pub const METADATA: &str = "tollgate";

/// The whole gRPC frame of an answer, in Envoy's terms.
pub fn frame(answer: &Answer) -> Bytes {
    let mut message = Message::with_capacity(room(answer));
    match &answer.verdict {
        Verdict::Allow(allowed) if answer.reason.allows() => allow(&mut message, allowed),
        Verdict::Deny(denied) => deny(&mut message, DenialCode::of(answer.reason), denied),
        // An allow for a reason that denies is a defect, and no allow.
        Verdict::Allow(_) => {
            let status = Reason::InternalError.http_status();
            denial(&mut message, DenialCode::of(Reason::InternalError), status, |_| {});
        }
    }
    message.nested(fields::RESPONSE_METADATA, |metadata| {
        entry(metadata, METADATA, |value| value.nested(fields::VALUE_STRUCT, |ours| known(ours, answer)));
    });
    message.into_frame()
}

fn allow(message: &mut Message, allowed: &AllowedRequest) {
    status(message, RpcCode::Ok);
    message.nested(fields::RESPONSE_OK, |ok| {
        for (name, value) in allowed.set() {
            header(ok, fields::ALLOWED_HEADERS, name, &[value]);
        }
        if let Some(token) = allowed.bearer() {
            header(ok, fields::ALLOWED_HEADERS, AUTHORIZATION, &["Bearer ", token.expose()]);
        }
        for name in allowed.remove() {
            ok.text(fields::ALLOWED_REMOVE, name);
        }
        for (name, value) in allowed.response_headers() {
            header(ok, fields::ALLOWED_RESPONSE_HEADERS, name, &[value]);
        }
    });
}

fn deny(message: &mut Message, code: DenialCode, denied: &DeniedResponse) {
    // A status that is no error would be a page served by the gate. Envoy's own default is 403.
    let status = if (400..=599).contains(&denied.http_status()) { denied.http_status() } else { 403 };
    denial(message, code, status, |response| {
        for (name, value) in denied.headers().iter() {
            header(response, fields::DENIED_HEADERS, name, &[value]);
        }
        response.text(fields::DENIED_BODY, denied.body());
    });
}

fn denial(message: &mut Message, code: DenialCode, http_status: u16, rest: impl FnOnce(&mut Message)) {
    status(message, code.0);
    message.nested(fields::RESPONSE_DENIED, |response| {
        response.nested(fields::DENIED_STATUS, |status| status.number(fields::STATUS_CODE, http_status.into()));
        rest(response);
    });
}

fn status(message: &mut Message, code: RpcCode) {
    message.nested(fields::RESPONSE_STATUS, |status| status.number(fields::STATUS_CODE, code as u32));
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
}

/// A header to set, its value in pieces.
fn header(message: &mut Message, field: Field, name: &str, value: &[&str]) {
    message.nested(field, |option| {
        option.nested(fields::OPTION_HEADER, |header| {
            header.text(fields::KEY, name);
            header.nested(fields::VALUE, |text| value.iter().for_each(|piece| text.push(piece)));
        });
        option.number(fields::OPTION_ACTION, wire::AppendAction::OverwriteIfExistsOrAdd as u32);
    });
}

/// What is known of a decision, as the fields of a struct.
fn known(message: &mut Message, answer: &Answer) {
    let mut field = |key, text: &str| entry(message, key, |value| value.text(fields::VALUE_STRING, text));
    field("decision_id", answer.decision_id.hex().as_str());
    field("reason", answer.reason.code());
    if let Some(rule) = &answer.rule {
        field("rule", &rule.name);
    }
    if let Some(principal) = &answer.principal {
        if let Some(subject) = principal.subject() {
            field("subject", &one_line(subject));
        }
        if let Some(client) = principal.client() {
            field("client", &one_line(client));
        }
        field("issuer", principal.issuer());
    }
}

/// An entry of a `google.protobuf.Struct`: its key and a `Value`.
fn entry(message: &mut Message, key: &str, value: impl FnOnce(&mut Message)) {
    message.nested(fields::STRUCT_FIELDS, |entry| {
        entry.text(fields::KEY, key);
        entry.nested(fields::VALUE, value);
    });
}

/// Percent-encodes everything but spaces, visible ASCII and other scripts' letters and digits; `%` as well, so that the
/// text has one reading.
fn one_line(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c != '%' && (c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric());
    if text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if plain(c) {
            line.push(c);
        } else {
            line.extend(c.encode_utf8(&mut [0; 4]).bytes().map(percent_encoding::percent_encode_byte));
        }
    }
    line.into()
}

/// About as many bytes as the message has: a guess that falls short costs time, nothing else.
fn room(answer: &Answer) -> usize {
    /// Of the metadata, without what a token says, and of lengths.
    const FIXED: usize = 256;
    /// Beside the texts of one header.
    const HEADER: usize = 12;
    let headers = |sum: usize, (name, value): (&str, &str)| sum + name.len() + value.len() + HEADER;
    let verdict = match &answer.verdict {
        Verdict::Allow(allowed) => {
            let token = allowed.bearer().map(|token| ("authorization: bearer", token.expose()));
            let sum = allowed.set().chain(token).chain(allowed.response_headers()).fold(0, headers);
            allowed.remove().fold(sum, |sum, name| sum + name.len() + 2)
        }
        Verdict::Deny(denied) => denied.headers().iter().fold(denied.body().len(), headers),
    };
    let rule = answer.rule.as_ref().map_or(0, |rule| rule.name.len());
    let principal = answer.principal.as_ref().map_or(0, |principal| {
        principal.subject().map_or(0, str::len) + principal.client().map_or(0, str::len) + principal.issuer().len()
    });
    FIXED + verdict + rule + principal
}

#[cfg(test)]
mod tests;
