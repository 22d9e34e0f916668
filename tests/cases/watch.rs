//! `tollgate test --watch`.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::wait::LATE;
use super::{POLICY, Setup};

/// A run that goes on, and ends with this.
struct Watching {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watching {
    fn start(setup: &Setup, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args([&["test", "--config", "policy.yaml", "--watch"], arguments].concat())
            .current_dir(setup.0.path())
            .env_remove("TOLLGATE_CONFIG")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { _child: child, lines }
    }

    /// What the next run says, once it waits again.
    async fn run(&mut self) -> String {
        let mut said = String::new();
        loop {
            let line = timeout(LATE, self.lines.next_line()).await.unwrap_or_else(|_| panic!("no more than: {said}"));
            let line = line.unwrap().unwrap_or_else(|| panic!("it ended: {said}"));
            if line.starts_with("waiting for changes") {
                return said;
            }
            said += &format!("{line}\n");
        }
    }
}

#[tokio::test]
async fn what_changes_is_tested_again() {
    let setup = Setup::new(POLICY);
    let case = |path: &str| format!("cases: [ {{ request: GET a.b{path}, claims: none, expect: allow }} ]\n");
    setup.write("policy.test.yaml", case("/healthz"));
    // A report beside the cases is no change of theirs.
    let mut watching = Watching::start(&setup, &["--junit", "report.xml"]);
    assert!(watching.run().await.contains("1 passed in 1 file"));

    setup.write("policy.yaml", POLICY.replace("/healthz", "/health"));
    assert!(watching.run().await.contains("0 passed, 1 failed"));

    setup.write("policy.test.yaml", case("/health"));
    assert!(watching.run().await.contains("1 passed in 1 file"));

    // What cannot be read is told, and the next change is waited for.
    setup.write("policy.yaml", "rules: [7]\n");
    assert!(watching.run().await.contains("error: the configuration cannot be put into service"));

    setup.write("policy.yaml", POLICY);
    assert!(watching.run().await.contains("0 passed, 1 failed"));

    // A file of cases that comes up, and a file that it names.
    setup.write("check.json", r#"{"attributes":{"request":{"http":{"method":"GET","host":"a.b","path":"/healthz"}}}}"#);
    setup.write("more.test.yaml", "cases: [ { recorded: check.json, expect: allow } ]\n");
    assert!(watching.run().await.contains("1 passed, 1 failed in 2 files"));

    setup.write("check.json", r#"{"attributes":{"request":{"http":{"method":"GET","host":"a.b","path":"/none"}}}}"#);
    assert!(watching.run().await.contains("0 passed, 2 failed in 2 files"));
}
