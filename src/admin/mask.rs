//! Hides what a configuration should not hold: it names secrets, and people write them into it all the same.

use serde_json::Value;

/// What stands in the place of a secret.
const MASKED: &str = "(masked)";
/// Parts of names whose values are secrets, wherever they stand.
const SECRET: [&str; 11] = [
    "auth-token",
    "access-token",
    "auth-key",
    "secret",
    "password",
    "passwd",
    "api-key",
    "apikey",
    "authorization",
    "cookie",
    "private-key",
];
/// Ends of names that say where a secret is.
const NAMES_ONE: [&str; 4] = ["-file", "-env", "-files", "-dir"];

/// The same with secrets hidden: texts under names that promise one, and credentials in URLs.
pub(super) fn masked(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            // `{ name: x-api-key, equals: … }`: what is compared is the secret.
            let of_secret = members.get("name").and_then(Value::as_str).is_some_and(promises_secret);
            let member = |(name, value): (&String, &Value)| {
                let value = if of_secret && name != "name" { hidden(value) } else { member(name, value) };
                (name.clone(), value)
            };
            members.iter().map(member).collect()
        }
        Value::Array(items) => Value::Array(items.iter().map(masked).collect()),
        Value::String(text) => Value::String(without_userinfo(text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn member(name: &str, value: &Value) -> Value {
    if promises_secret(name) { hidden(value) } else { masked(value) }
}

fn promises_secret(name: &str) -> bool {
    let plain = name.to_ascii_lowercase().replace('_', "-");
    !names_one(name) && SECRET.iter().any(|part| plain.contains(part))
}

fn names_one(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    NAMES_ONE.iter().any(|end| name.ends_with(end))
}

fn hidden(value: &Value) -> Value {
    match value {
        Value::String(_) | Value::Number(_) => MASKED.into(),
        Value::Array(items) => Value::Array(items.iter().map(hidden).collect()),
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                (name.clone(), if names_one(name) { masked(value) } else { hidden(value) })
            };
            members.iter().map(member).collect()
        }
        Value::Null | Value::Bool(_) => value.clone(),
    }
}

/// `https://user:password@host/` without what stands before the `@`.
fn without_userinfo(text: &str) -> String {
    let parts = || {
        let (scheme, rest) = text.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end)?;
        let (_, host) = authority.rsplit_once('@')?;
        Some(format!("{scheme}://{MASKED}@{host}{path}"))
    };
    parts().unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn literal_secrets_and_credentials_in_urls_are_hidden_and_names_are_not() {
        let written = json!({
            "client": { "id": "gate", "secret": "hunter2", "secret_file": "/run/secret", "secret_env": "GATE_SECRET" },
            "headers": { "set": { "X-Api-Key": "hunter2", "cookie": "hunter2", "x-user": "{subject}" } },
            "match": { "headers": [{ "name": "x-api-key", "equals": "hunter2" }, { "name": "x-a", "equals": "b" }] },
            "issuers": [{ "url": "https://user:hunter2@idp.example/realm?x=a@b", "passwords": ["hunter2"] }],
            "inject": { "x-api-key": { "value": "hunter2", "required": true }, "x-auth-token": "hunter2" },
            "plain": "https://idp.example/a@b",
        });
        let shown = masked(&written);
        assert!(!shown.to_string().contains("hunter2"), "{shown}");
        assert_eq!(shown["client"]["secret_file"], "/run/secret");
        assert_eq!(shown["client"]["secret_env"], "GATE_SECRET");
        assert_eq!(shown["headers"]["set"]["x-user"], "{subject}");
        assert_eq!(shown["issuers"][0]["url"], "https://(masked)@idp.example/realm?x=a@b");
        assert_eq!(shown["match"]["headers"][1]["equals"], "b");
        assert_eq!(shown["plain"], "https://idp.example/a@b");
        assert_eq!(shown["client"]["id"], "gate");
    }
}
