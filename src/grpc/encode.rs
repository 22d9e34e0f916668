//! From an answer to a `CheckResponse`: the one constructor, which cannot pair a denial with status OK.

use super::wire::check_response::HttpResponse;
use super::wire::value::Kind;
use super::wire::{
    CheckResponse, DeniedHttpResponse, Field, Header, HeaderValueOption, HttpStatus, OkHttpResponse, Status, Struct,
    Value,
};
use crate::core::answer::{Answer, Verdict};
use crate::core::reason::{Reason, RpcCode};

/// `HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD`. The default of an unset action has changed between Envoy's releases, so
/// it is always said; the deprecated `append` cannot be set.
const OVERWRITE_IF_EXISTS_OR_ADD: i32 = 2;

/// Where our values stand in the filter's dynamic metadata.
pub(super) const METADATA_KEY: &str = "tollgate";

/// Makes the response.
pub(super) fn response(answer: Answer) -> CheckResponse {
    let dynamic_metadata = Some(metadata(&answer));
    let (code, http_response) = match answer.verdict {
        Verdict::Allow(allowed) => {
            let ok = OkHttpResponse {
                headers: allowed.set.into_iter().map(|(name, value)| set(&name, value)).collect(),
                headers_to_remove: allowed.remove.into_iter().map(Into::into).collect(),
                response_headers_to_add: allowed
                    .response_headers
                    .iter()
                    .map(|(name, value)| set(name, value.to_string()))
                    .collect(),
            };
            (RpcCode::Ok, HttpResponse::OkResponse(ok))
        }
        Verdict::Deny(denied) => {
            let denied_response = DeniedHttpResponse {
                status: Some(HttpStatus { code: i32::from(denied.http_status) }),
                headers: denied.headers.into_iter().map(|(name, value)| set(&name, value)).collect(),
                body: denied.body,
            };
            (denial_code(answer.reason), HttpResponse::DeniedResponse(denied_response))
        }
    };
    CheckResponse { status: Some(Status { code: code as i32 }), http_response: Some(http_response), dynamic_metadata }
}

/// The code of a denial: never OK, whatever the reason says.
fn denial_code(reason: Reason) -> RpcCode {
    match reason.rpc_code() {
        RpcCode::Ok => RpcCode::Internal,
        code @ (RpcCode::InvalidArgument
        | RpcCode::PermissionDenied
        | RpcCode::Internal
        | RpcCode::Unavailable
        | RpcCode::Unauthenticated) => code,
    }
}

fn set(name: &str, value: String) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(Header { key: name.to_owned(), value }),
        append_action: OVERWRITE_IF_EXISTS_OR_ADD,
    }
}

/// Decision id, rule, reason, subject, client, issuer and caller, as far as they are known, under one key.
fn metadata(answer: &Answer) -> Struct {
    let principal = answer.principal.as_deref();
    let parts = [
        ("decision_id", Some(answer.decision_id.to_string())),
        ("reason", Some(answer.reason.code().to_owned())),
        ("rule", answer.rule.as_ref().map(|rule| rule.name.to_string())),
        ("issuer", principal.map(|principal| principal.issuer.to_string())),
        ("subject", principal.and_then(|principal| principal.subject.as_deref()).map(Into::into)),
        ("client", principal.and_then(|principal| principal.client.as_deref()).map(Into::into)),
        ("caller", answer.caller.as_deref().map(Into::into)),
    ];
    let field = |(key, text): (&str, Option<String>)| {
        Some(Field { key: key.to_owned(), value: Some(Value { kind: Some(Kind::StringValue(text?)) }) })
    };
    let ours = Struct { fields: parts.into_iter().filter_map(field).collect() };
    let ours = Value { kind: Some(Kind::StructValue(ours)) };
    Struct { fields: vec![Field { key: METADATA_KEY.to_owned(), value: Some(ours) }] }
}
