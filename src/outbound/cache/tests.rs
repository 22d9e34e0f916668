use serde_json::json;

use super::*;
use crate::authn::Issuer;
use crate::authn::spec::IssuerSpec;
use crate::core::reason::Reason;

const NOW: i64 = 1_800_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(NOW + seconds)
}

fn spec(max_bytes: u64) -> ExchangeCacheSpec {
    ExchangeCacheSpec { max_age: Duration::from_secs(300), margin: Duration::from_secs(10), max_bytes }
}

fn granted(token: &str, expires_at: Option<i64>) -> Granted {
    Granted { token: Secret::new(token), expires_at: expires_at.map(at), jwt: None }
}
