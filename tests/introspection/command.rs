//! `tollgate token` on tokens that only their issuer understands.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::fixture::{Gate, Idp, Named, TOKEN, active, claims};

async fn token(policy: PathBuf, token: &str, more: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.arg("token").arg("--config").arg(policy).args(more);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(token.as_bytes()).await.unwrap();
    let output = tokio::time::timeout(crate::http::DEADLINE, child.wait_with_output()).await.unwrap();
    let Output { status, stdout, stderr } = output.unwrap();
    assert_eq!(String::from_utf8_lossy(&stderr), "");
    (status.code(), String::from_utf8(stdout).unwrap())
}

fn expiring(more: &Value) -> Value {
    // The command has the clock of the machine.
    let mut answer = active(more);
    answer["exp"] = json!(4_000_000_000_i64);
    answer
}

#[tokio::test]
async fn an_opaque_token_is_shown_as_its_issuer_describes_it() {
    let idp = Idp::start().await;
    idp.says(TOKEN, expiring(&json!({ "note": "\u{1b}[31mred" })));
    let gate = Gate::start(&[Named::new(&idp)]).await;
    let (code, text) = token(gate.path("policy.yaml"), TOKEN, &[]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("compact form") && !text.contains("not readable"), "{text}");
    assert!(!text.contains(TOKEN) && !text.contains("hunter2") && !text.contains('\u{1b}'), "{text}");
    for line in
        ["introspection {", "  ok      introspection        active", "  subject     alice", "accepted by issuer `idp`"]
    {
        assert!(text.contains(line), "{line}: {text}");
    }
    let (code, text) = token(gate.path("policy.yaml"), &TOKEN.replace('P', "Q"), &["--json"]).await;
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &report["reason"]), (Some(1), &json!("token_inactive")));
    assert_eq!(report["introspection"], Value::Null);
}

#[tokio::test]
async fn a_jwt_is_shown_with_what_its_issuer_says_of_it() {
    let idp = Idp::start().await;
    let gate = Gate::start(&[Named::jwts(&idp)]).await;
    let jwt = gate.jwt(&claims(&json!({ "exp": 4_000_000_000_i64, "iat": 1_700_000_000, "sub": "bob" })));
    idp.says(&jwt, expiring(&json!({})));
    let (code, text) = token(gate.path("policy.yaml"), &jwt, &[]).await;
    assert_eq!(code, Some(1), "{text}");
    for line in
        ["claims {", "introspection {", "  FAILED  agreement", "`sub`", "refused by issuer `idp`: token_conflict"]
    {
        assert!(text.contains(line), "{line}: {text}");
    }
    idp.server.kill().await;
    let (_, text) = token(gate.path("policy.yaml"), &jwt, &[]).await;
    assert!(text.contains("  FAILED  introspection        could not connect"), "{text}");
}
