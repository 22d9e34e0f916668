//! The claims of machine-to-machine tokens.

use std::fmt::Write as _;

/// Who issues the tokens.
pub const ISSUER: &str = "https://your-env.scalekit.example";

/// Whom they are meant for.
pub const AUDIENCE: &str = "api.yourplatform.example";

/// The scope that the measured rule requires.
pub const SCOPE: &str = "call:payments";

const SERVICES: [&str; 4] = ["order-service", "user-service", "ledger-service", "search-service"];

/// How long tokens last: longer than the longest run, and than they are kept on disk.
const LIFETIME: u64 = 24 * 3600;

/// A payload of that many bytes, or of as many as it needs. Clients are all different, services and organisations not.
pub(super) fn payload(with_scope: bool, nth: u64, now: u64, bytes: usize) -> String {
    let service = SERVICES[usize::try_from(nth % 4).unwrap_or(0)];
    let scope = if with_scope { SCOPE } else { "call:other" };
    let mut json = String::with_capacity(bytes.max(512));
    // A String takes whatever is written.
    let _ = write!(
        json,
        r#"{{"iss":"{ISSUER}","aud":["{AUDIENCE}"],"client_id":"m2m_{nth:08}","sub":"m2m_{nth:08}","oid":"org_{org:03}","scopes":["read:payments","{scope}"],"custom_claims":{{"service_name":"{service}""#,
        org = nth % 1000,
    );
    let mut end = String::new();
    let _ = write!(end, r#"}},"iat":{now},"exp":{exp},"jti":"tkn_{nth:08x}"}}"#, exp = now + LIFETIME);
    const PAD: &str = r#","deployment":"""#;
    if let Some(room) = bytes.checked_sub(json.len() + end.len() + PAD.len()) {
        json.push_str(r#","deployment":""#);
        json.extend("eu-central-1/shop/blue/".chars().cycle().take(room));
        json.push('"');
    }
    json.push_str(&end);
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_json_of_the_wanted_length() {
        for bytes in [0, 400, 490] {
            let text = payload(true, 12, 1_700_000_000, bytes);
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(json["scopes"][1], SCOPE);
            assert_eq!(json["custom_claims"]["service_name"], "order-service");
            assert_eq!(json["exp"].as_u64().unwrap() - json["iat"].as_u64().unwrap(), LIFETIME);
            if bytes > 0 {
                assert_eq!(text.len(), bytes);
            }
        }
        assert!(!payload(false, 12, 1_700_000_000, 0).contains(SCOPE));
    }
}
