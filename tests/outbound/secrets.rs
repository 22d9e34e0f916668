//! Row 202: client secrets and tokens are nowhere but where they are sent.

use std::io;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::idp::Reply;
use crate::world::{World, exchange, own};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn row_202_secrets_and_tokens_are_not_in_logs_errors_or_debug() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    // One thread runs everything here.
    let _guard = tracing::subscriber::set_default(subscriber);
    let world = World::new(&[("payments", exchange()), ("own", own())]).await;
    let mut said = String::new();
    let mut secrets = vec!["hunter2".to_owned(), "b3JkZXJzOmh1bnRlcjI=".to_owned()];
    for script in [0, 1, 2, 3, 4] {
        let mint = Arc::clone(&world.mint);
        world.idp.set(move |form| {
            let good = mint.grant(form);
            let token = good["access_token"].as_str().unwrap();
            match script {
                0 => Reply::Json(200, good),
                1 => {
                    let quoted = "bad words: hunter2 \u{1b}[31m";
                    Reply::Json(401, json!({ "error": "invalid_client", "error_description": quoted }))
                }
                2 => Reply::Json(200, json!({ "access_token": token, "token_type": "N_A" })),
                3 => Reply::Json(400, json!({ "error": form.one("subject_token") })),
                _ => Reply::Json(
                    200,
                    json!({ "access_token": mint.forged(&json!({})), "token_type": "Bearer",
                    "issued_token_type": crate::world::ACCESS_TOKEN }),
                ),
            }
        });
        let subject = world.subject();
        let answer = world.ask(0, Some(&subject)).await;
        said.push_str(&format!("{answer:?}{:?}", world.ask(1, None).await));
        if let tollgate::core::answer::Verdict::Allow(allowed) = &answer.verdict {
            secrets.push(allowed.bearer().unwrap().expose().to_owned());
        }
        secrets.push(subject);
        said.push_str(&format!("{:?}{:?}", world.engine.status(), world.engine.snapshot()));
        said.push_str(&format!("{:?}", world.engine));
    }
    secrets.extend(world.idp.seen().iter().filter_map(|form| form.one("subject_token")).map(str::to_owned));
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("a token could not be obtained") && log.contains("invalid_client"), "{log}");
    assert!(!log.contains("bad words"), "a provider may quote what it was sent: {log}");
    for secret in secrets {
        // Signatures and secrets whole; an unsigned part of a token says nothing that may not be said.
        let part = secret.rsplit('.').next().unwrap();
        assert!(!log.contains(part), "a secret is in the log: {part}");
        assert!(!said.contains(part), "a secret is in what is said: {part}");
    }
}
