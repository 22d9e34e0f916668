//! Reading an introspection answer (RFC 7662 §2.2, §2.3).

use http::StatusCode;
use serde_json::{Map, Value};

use crate::authn::json;
use crate::net::Fetched;
use crate::provider::CallError;

/// Longest answer read, in bytes.
pub(super) const MAX_BYTES: usize = 256 << 10;

/// What an issuer says of a token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// It is good; what else was said, `active` left out.
    Active(Map<String, Value>),
    /// It is not, or is not known.
    Inactive,
}

/// Why there is no word on a token. The texts hold nothing of the answer but its status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoAnswer {
    /// The way to the issuer, or the issuer itself, is broken: it said nothing about anything.
    #[error("{0}")]
    Outage(String),
    /// It was not asked, since it failed too often lately: in whichever way.
    #[error("{0}")]
    LeftAlone(String),
    /// It does not know the gate as a client.
    #[error("the gate's own credentials are refused (status {0})")]
    Refused(u16),
    /// Anything else.
    #[error("{0}")]
    Unusable(String),
}

impl From<CallError> for NoAnswer {
    fn from(error: CallError) -> Self {
        match error {
            // That all places are taken says nothing about the issuer, only about how much is asked of it.
            CallError::Busy => Self::Unusable(error.to_string()),
            CallError::Open => Self::LeftAlone(error.to_string()),
            error if error.is_outage() => Self::Outage(error.to_string()),
            error => Self::Unusable(error.to_string()),
        }
    }
}

/// Reads an answer of any status.
pub(super) fn read(answer: &Fetched) -> Result<Answer, NoAnswer> {
    let status = answer.status;
    if status.is_server_error() {
        return Err(NoAnswer::Outage(format!("answered with status {}", status.as_u16())));
    }
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) || refuses_client(answer) {
        return Err(NoAnswer::Refused(status.as_u16()));
    }
    if status != StatusCode::OK {
        return Err(NoAnswer::Unusable(format!("answered with status {}", status.as_u16())));
    }
    if !answer.is_json() {
        // A signed answer (RFC 9701) is not asked for, and not read.
        return Err(NoAnswer::Unusable("the answer's content type is not `application/json`".to_owned()));
    }
    let mut members =
        json::parse_object(&answer.body).map_err(|error| NoAnswer::Unusable(format!("the answer: {error}")))?;
    match members.remove("active") {
        Some(Value::Bool(true)) => Ok(Answer::Active(members)),
        Some(Value::Bool(false)) => Ok(Answer::Inactive),
        Some(_) => Err(NoAnswer::Unusable("the answer's `active` is neither `true` nor `false`".to_owned())),
        None => Err(NoAnswer::Unusable("the answer has no `active`".to_owned())),
    }
}

/// RFC 6749 §5.2 lets servers say `invalid_client` with a 400, too.
fn refuses_client(answer: &Fetched) -> bool {
    let error = || json::parse_object(&answer.body).ok()?.remove("error");
    answer.status == StatusCode::BAD_REQUEST
        && error().is_some_and(|error| error == "invalid_client" || error == "unauthorized_client")
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::net::FetchError;

    fn answer(status: u16, content_type: Option<&str>, body: &str) -> Fetched {
        let mut headers = HeaderMap::new();
        if let Some(value) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_str(value).unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        Fetched { status, headers, body: body.to_owned().into() }
    }

    const JSON: Option<&str> = Some("application/json");

    #[test]
    fn row_174_active_is_the_boolean_true_or_the_answer_is_none() {
        let run = |body: &str| read(&answer(200, JSON, body));
        assert_eq!(run(r#"{"active":false,"sub":"x"}"#), Ok(Answer::Inactive));
        let Ok(Answer::Active(members)) = run(r#"{"active":true,"sub":"x"}"#) else { panic!() };
        assert_eq!(Value::Object(members), serde_json::json!({ "sub": "x" }));
        for body in [
            "{}",
            r#"{"active":"true"}"#,
            r#"{"active":1}"#,
            r#"{"active":null}"#,
            r#"{"active":[true]}"#,
            r#"{"Active":true}"#,
            r#"{"active":true,"active":true}"#,
            r#"{"active":false,"\u0061ctive":true}"#,
            r#"{"active":true,"sub":"a","sub":"b"}"#,
            r#"[{"active":true}]"#,
            r#"{"active":true}x"#,
            r#"{"active":tr"#,
            "true",
            "",
            "<html>",
        ] {
            assert!(matches!(run(body), Err(NoAnswer::Unusable(_))), "{body}");
        }
    }

    #[test]
    fn only_json_is_read() {
        let run = |content_type| read(&answer(200, content_type, r#"{"active":true}"#)).is_ok();
        for good in ["application/json", "application/json; charset=utf-8", "Application/JSON ;charset=utf-8"] {
            assert!(run(Some(good)), "{good}");
        }
        for bad in ["text/html", "text/json", "application/token-introspection+jwt", "application/jsonp", ""] {
            assert!(!run(Some(bad)), "{bad}");
        }
        assert!(!run(None));
    }

    #[test]
    fn faults_are_told_apart() {
        let run = |status, body| read(&answer(status, JSON, body)).unwrap_err();
        let active = r#"{"active":true}"#;
        for status in [500, 502, 503, 504] {
            assert!(matches!(run(status, active), NoAnswer::Outage(_)), "{status}");
        }
        for status in [401, 403] {
            assert_eq!(run(status, active), NoAnswer::Refused(status));
        }
        assert_eq!(run(400, r#"{"error":"invalid_client"}"#), NoAnswer::Refused(400));
        for status in [201, 204, 301, 302, 307, 400, 404, 405, 429] {
            assert!(matches!(run(status, active), NoAnswer::Unusable(_)), "{status}");
        }
        for (error, outage) in [
            (CallError::Busy, false),
            (CallError::Open, false),
            (CallError::Fetch(FetchError::Timeout), true),
            (CallError::Fetch(FetchError::Broken), true),
            (CallError::Fetch(FetchError::TooLarge(1)), false),
            (CallError::Credentials("no file".into()), false),
            (CallError::Metadata("no endpoint".into()), false),
        ] {
            assert_eq!(matches!(NoAnswer::from(error.clone()), NoAnswer::Outage(_)), outage, "{error}");
        }
    }
}
