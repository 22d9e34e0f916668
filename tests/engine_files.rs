//! The engine on real configuration files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod specs;
#[path = "support/wait.rs"]
mod wait;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use specs::{deps, request, soon};
use tokio_util::sync::CancellationToken;
use tollgate::core::reason::Reason;
use tollgate::engine::{Engine, LoadError, Readiness};

const SERVER: &str = "server:\n  check:\n    - { listen: \"127.0.0.1:0\", direction: inbound }\n";
const RULES: &str = "rules:\n  - name: health\n    match: { paths: [/healthz] }\n    allow: anonymous\n";

fn replace(path: &Path, text: impl AsRef<[u8]>) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, path).unwrap();
}

async fn reason(engine: &Engine, path: &str) -> Reason {
    engine.check(request(path), soon()).await.reason
}

/// Row 223: every way in which a file can be broken leaves the old policy serving and the replica ready.
#[tokio::test]
async fn row_223_no_broken_file_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    let good = format!("{SERVER}{RULES}");
    replace(&path, &good);
    let (deps, heard) = deps();
    let engine = Engine::load(&path, deps).await.unwrap();
    assert_eq!(reason(&engine, "/healthz").await, Reason::AllowedAnonymous);
    let before = engine.snapshot();

    let token_rule = "  - name: t\n    match: { paths: [/t] }\n    require: { audience: unchecked, ";
    let broken: Vec<(&str, Vec<u8>)> = vec![
        ("syntax error", format!("{good}  - [").into()),
        ("unknown field", format!("{good}rulez: []\n").into()),
        ("unknown field in a rule", format!("{good}    permit: all\n").into()),
        ("duplicate key", format!("{good}{RULES}").into()),
        ("unknown issuer", format!("{good}{token_rule}issuers: [nobody] }}\n").into()),
        ("bad pattern", format!("{good}{token_rule}claims: [{{ path: a, pattern: \"(\" }}] }}\n").into()),
        ("empty", Vec::new()),
        ("comments only", b"# soon\n".to_vec()),
        ("half-written", good.as_bytes()[..good.len() - 12].to_vec()),
        ("not text", vec![0xff, 0xfe, 0]),
        ("100 MB", vec![b'#'; 100 << 20]),
        (
            "another rule's name",
            format!("{good}  - name: health\n    match: {{ paths: [/x] }}\n    deny: true\n").into(),
        ),
    ];
    for (what, text) in &broken {
        replace(&path, text);
        let error = engine.reload().await.expect_err(what);
        assert!(matches!(error, LoadError::Config(_)), "{what}: {error}");
        assert!(error.messages().iter().all(|message| message.contains("policy.yaml")), "{what}: {error}");
        assert!(Arc::ptr_eq(&before, &engine.snapshot()), "{what}");
        assert_eq!(reason(&engine, "/healthz").await, Reason::AllowedAnonymous, "{what}");
        assert_eq!(engine.readiness(), Readiness::Ready, "{what}");
        assert_eq!(engine.status().last_reload.unwrap().error, Some(error), "{what}");
    }
    std::fs::remove_file(&path).unwrap();
    engine.reload().await.expect_err("missing");
    assert_eq!(reason(&engine, "/healthz").await, Reason::AllowedAnonymous);
    replace(&path, &good);
    assert_eq!(engine.reload().await, Ok(2));
    let refused = heard.0.lock().unwrap().iter().filter(|(applied, _)| !applied).count();
    assert_eq!(refused, broken.len() + 1, "each refusal is reported");
}

/// Row 224: a policy without rules must be written as one, and denies everything.
#[tokio::test]
async fn row_224_removing_every_rule_is_explicit_and_denies_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    replace(&path, format!("{SERVER}{RULES}"));
    let engine = Engine::load(&path, deps().0).await.unwrap();
    replace(&path, SERVER);
    engine.reload().await.expect_err("leaving `rules` out is no way to remove them");
    assert_eq!(reason(&engine, "/healthz").await, Reason::AllowedAnonymous);
    replace(&path, format!("{SERVER}rules: []\n"));
    engine.reload().await.unwrap();
    assert_eq!(reason(&engine, "/healthz").await, Reason::NoRule);
}

/// Files that come to and leave `rules_dir` count, without a word in the main file.
#[tokio::test]
async fn rule_files_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    std::fs::create_dir(folder.path().join("rules.d")).unwrap();
    replace(&path, format!("{SERVER}rules_dir: rules.d\n{RULES}"));
    let engine = Engine::load(&path, deps().0).await.unwrap();
    let stop = CancellationToken::new();
    let following = tokio::spawn(Arc::clone(&engine).follow_files(stop.clone()));
    assert_eq!(reason(&engine, "/more").await, Reason::NoRule);

    let until = async |want: Reason| {
        wait::eventually(want, async || reason(&engine, "/more").await == want).await;
    };
    let more = folder.path().join("rules.d/more.yaml");
    replace(&more, "rules:\n  - name: more\n    match: { paths: [/more] }\n    allow: anonymous\n");
    until(Reason::AllowedAnonymous).await;
    std::fs::remove_file(&more).unwrap();
    until(Reason::NoRule).await;
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(20), following).await.expect("an end").unwrap();
}
