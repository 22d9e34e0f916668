//! `tollgate serve` as an operator's process manager sees it: start, health, reload by signal and by file, drain, end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Everything here is done in milliseconds, or is broken.
const LIMIT: Duration = Duration::from_secs(30);

const POLICY: &str = r#"
server:
  check:
    - { listen: "unix:inbound.sock", direction: inbound }
    - { listen: "127.0.0.1:0", direction: inbound }
  probes: { listen: "127.0.0.1:0" }
  drain: { delay: 10ms, grace: 1s }
rules:
  - { name: health, match: { direction: inbound, paths: ["/healthz"] }, allow: anonymous }
"#;

/// A running gate. Ended when dropped.
struct Gate {
    folder: TempDir,
    child: Child,
    log: Receiver<String>,
}

fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    program.env_remove("TOLLGATE_CONFIG").env_remove("TOLLGATE_LOG");
    program
}

impl Gate {
    /// Starts one with this configuration; `SOCKET` is a unix socket's path in a folder of its own.
    fn start(policy: &str) -> Self {
        Self::with_threads("2", policy)
    }

    fn with_threads(threads: &str, policy: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, policy);
        let mut child = program()
            .args(["serve", "--threads", threads, "--config", "policy.yaml"])
            .current_dir(&folder)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, log) = channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        thread::spawn(move || lines.map_while(Result::ok).all(|line| sender.send(line).is_ok()));
        Self { folder, child, log }
    }

    /// Waits for a log line that holds all of these.
    fn said(&self, parts: &[&str]) -> String {
        let deadline = Instant::now() + LIMIT;
        let mut seen = Vec::new();
        loop {
            match self.log.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if parts.iter().all(|part| line.contains(part)) => return line,
                Ok(line) => seen.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no line with {parts:?} in {seen:#?}")
                }
            }
        }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    fn ended(&mut self) -> ExitStatus {
        wait(&mut self.child)
    }

    fn health(&self, address: &str) -> (Option<i32>, String) {
        let done = program().args(["health", "--address", address]).output().unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap())
    }

    fn socket(&self) -> String {
        format!("unix:{}", socket(&self.folder).display())
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn socket(folder: &TempDir) -> PathBuf {
    folder.path().join("inbound.sock")
}

/// Replaces the configuration as editors do: beside it, then in one step.
fn write(folder: &TempDir, policy: &str) {
    let policy = policy.replace("unix:inbound.sock", &format!("unix:{}", socket(folder).display()));
    let aside = folder.path().join("policy.yaml.new");
    fs::write(&aside, policy).unwrap();
    fs::rename(aside, folder.path().join("policy.yaml")).unwrap();
}

fn wait(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "it does not end");
        thread::yield_now();
    }
}

/// Starts one that is meant to end at once; its exit code and standard error.
fn fails(folder: &Path, policy: &str) -> (Option<i32>, String) {
    fs::write(folder.join("policy.yaml"), policy).unwrap();
    let done = program().args(["serve", "--config", "policy.yaml"]).current_dir(folder).output().unwrap();
    (done.status.code(), String::from_utf8(done.stderr).unwrap())
}

/// The port in a log line of JSON.
fn address(line: &str) -> String {
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    line["address"].as_str().unwrap_or_else(|| panic!("{line}")).to_owned()
}

#[test]
fn it_serves_on_every_listener_until_it_is_told_to_end() {
    serves_until_it_is_told_to_end("2");
}

#[test]
fn so_it_does_with_one_thread() {
    serves_until_it_is_told_to_end("1");
}

fn serves_until_it_is_told_to_end(threads: &str) {
    let mut gate = Gate::with_threads(threads, POLICY);
    let probes = address(&gate.said(&["probes listener"]));
    let tcp = address(&gate.said(&["Check listener", "127.0.0.1"]));
    gate.said(&["\"ready\""]);
    for place in [gate.socket(), tcp.clone(), format!("http://{probes}/healthz"), format!("http://{probes}/readyz")] {
        assert_eq!(gate.health(&place), (Some(0), "serving\n".to_owned()), "{place}");
    }
    // What a container's health check runs.
    let done = program().args(["health", "--config"]).arg(gate.folder.path().join("policy.yaml")).status().unwrap();
    assert!(done.success());
    let unknown = program().args(["health", "--address", &tcp, "--service", "no.Such"]).status().unwrap();
    assert_eq!(unknown.code(), Some(1));

    gate.signal("TERM");
    gate.said(&["draining"]);
    assert_eq!(gate.ended().code(), Some(0));
    assert_eq!(gate.health(&tcp).0, Some(1));
}

#[test]
fn an_interrupt_ends_it_too() {
    let mut gate = Gate::start(POLICY);
    gate.said(&["\"ready\""]);
    gate.signal("INT");
    assert_eq!(gate.ended().code(), Some(0));
}

#[test]
fn a_second_signal_does_not_wait_for_the_drain() {
    let mut gate = Gate::start(&POLICY.replace("delay: 10ms", "delay: 30s"));
    gate.said(&["\"ready\""]);
    gate.signal("TERM");
    gate.said(&["draining"]);
    let tcp = gate.socket();
    assert_eq!(gate.health(&tcp).0, Some(1), "it says NOT_SERVING while it drains");
    gate.signal("TERM");
    gate.said(&["second signal"]);
    assert_eq!(gate.ended().code(), Some(0));
}

#[test]
fn a_changed_file_is_taken_up_and_a_broken_one_is_not() {
    let gate = Gate::with_threads("1", POLICY);
    gate.said(&["\"ready\""]);
    write(&gate.folder, &POLICY.replace("/healthz", "/health"));
    gate.said(&["configuration is in service", "\"generation\":2"]);
    write(&gate.folder, &POLICY.replace("anonymous", "everybody"));
    gate.said(&["policy.yaml:", "rules[0].allow"]);
    gate.said(&["the old one is"]);
    assert_eq!(gate.health(&gate.socket()).0, Some(0), "the old policy serves on");
    write(&gate.folder, POLICY);
    gate.said(&["configuration is in service", "\"generation\":3"]);
}

#[test]
fn a_hang_up_reads_the_configuration_again() {
    let gate = Gate::start(POLICY);
    gate.said(&["\"ready\""]);
    gate.signal("HUP");
    gate.said(&["SIGHUP"]);
    gate.said(&["configuration is in service", "\"generation\":2"]);
    assert_eq!(gate.health(&gate.socket()).0, Some(0));
}

#[test]
fn a_configuration_with_errors_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let (code, err) =
        fails(folder.path(), &POLICY.replace("anonymous", "everybody").replace("grace: 1s", "grace: soon"));
    assert_eq!(code, Some(1), "{err}");
    for part in
        ["rules[0].allow", "server.drain.grace", "error: the configuration cannot be put into service: 2 errors"]
    {
        assert!(err.contains(part), "{part} is not in {err}");
    }
}

#[test]
fn a_listener_that_cannot_be_opened_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for listener in ["listen: \"127.0.0.1:0\", direction", "probes: { listen: \"127.0.0.1:0\""] {
        let folder = tempfile::tempdir().unwrap();
        let policy = POLICY
            .replace("unix:inbound.sock", &format!("unix:{}", socket(&folder).display()))
            .replace(listener, &listener.replace("127.0.0.1:0", &address));
        let (code, err) = fails(folder.path(), &policy);
        assert_eq!(code, Some(3), "{err}");
        assert!(err.contains(&format!("error: `{address}`")), "{err}");
    }
}

#[test]
fn a_log_filter_that_does_not_read_is_told() {
    let done = program().env("TOLLGATE_LOG", "tollgate=loud").arg("serve").output().unwrap();
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8(done.stderr).unwrap().contains("TOLLGATE_LOG"));
}
