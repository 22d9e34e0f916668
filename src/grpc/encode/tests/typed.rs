//! An answer as a typed message: what a frame must say.

use super::super::wire::check_response::HttpResponse;
use super::super::wire::value::Kind;
use super::super::*;

/// Says an answer in Envoy's terms.
pub(super) fn response(answer: &Answer) -> wire::CheckResponse {
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

fn allow(allowed: &AllowedRequest, metadata: wire::Struct) -> wire::CheckResponse {
    let credential = allowed.bearer().map(|token| header(AUTHORIZATION, &format!("Bearer {}", token.expose())));
    let ok = wire::Allowed {
        headers: allowed.set().map(|(name, value)| header(name, value)).chain(credential).collect(),
        headers_to_remove: allowed.remove().map(str::to_owned).collect(),
        response_headers_to_add: allowed.response_headers().map(|(name, value)| header(name, value)).collect(),
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
        status: Some(wire::Status { code: code.0 as i32 }),
        http_response: Some(HttpResponse::DeniedResponse(denied)),
        dynamic_metadata: Some(metadata),
    }
}

pub(super) fn header(name: &str, value: &str) -> wire::HeaderOption {
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
        ("subject", principal.and_then(|p| p.subject()).map(|text| one_line(text).into_owned())),
        ("client", principal.and_then(|p| p.client()).map(|text| one_line(text).into_owned())),
        ("issuer", principal.map(|p| p.issuer().to_string())),
    ];
    let fields = known.into_iter().filter_map(|(key, value)| Some(field(key, Kind::StringValue(value?)))).collect();
    wire::Struct { fields: vec![field(METADATA, Kind::StructValue(wire::Struct { fields }))] }
}

fn field(key: &str, kind: Kind) -> wire::Field {
    wire::Field { key: key.to_owned(), value: Some(wire::Value { kind: Some(kind) }) }
}
