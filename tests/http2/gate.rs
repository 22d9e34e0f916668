//! The program itself, as a process of its own: its memory, its descriptors and its time can be judged.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use crate::wait;
use crate::wire::Wire;

/// Most that a process may grow under an attack, at its highest, in kB: what `max_in_flight` calls take that wait for their
/// messages (4096, some ten kB each, their headers and streams included), and half as much again. However much is sent,
/// it is no more than that.
const BOUND: u64 = 64 * 1024;

/// A running gate. It ends with the value.
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    _folder: TempDir,
}

impl Gate {
    pub(crate) async fn start() -> Self {
        Self::start_with("", &[]).await
    }

    /// With more lines under `server`, and run by another program, such as one that limits it.
    pub(crate) async fn start_with(more: &str, by: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let policy = format!(
            "server:
  check: [ {{ listen: \"127.0.0.1:0\", direction: inbound }} ]
  {more}
  drain: {{ delay: 0s, grace: 1s }}
rules:
  - {{ name: all, match: {{ paths: [\"/**\"] }}, allow: anonymous }}
"
        );
        fs::write(folder.path().join("policy.yaml"), policy).unwrap();
        let words =
            [by, &[env!("CARGO_BIN_EXE_tollgate"), "serve", "--threads", "2", "--config", "policy.yaml"]].concat();
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .current_dir(&folder)
            .env_remove("TOLLGATE_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::<Mutex<Vec<String>>>::default();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let heard = Arc::clone(&log);
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| heard.lock().unwrap().push(line)));
        let mut gate = Self { address: ([127, 0, 0, 1], 0).into(), child, log, _folder: folder };
        wait::until("it is ready", || !gate.lines("\"ready\"").is_empty()).await;
        let line: serde_json::Value = serde_json::from_str(&gate.lines("Check listener")[0]).unwrap();
        gate.address = line["address"].as_str().unwrap().parse().unwrap();
        // What is made once, for the first call, is no growth.
        Wire::greet(gate.address).await.answers(1).await;
        gate
    }

    /// What it has logged with this word.
    pub(crate) fn lines(&self, word: &str) -> Vec<String> {
        self.log.lock().unwrap().iter().filter(|line| line.contains(word)).cloned().collect()
    }

    /// Stops it from running, so that what is sent meanwhile is met in one piece.
    pub(crate) async fn hold(&self) {
        self.signal("STOP");
        wait::until("it stands still", || self.stat()[2] == "T").await;
    }

    pub(crate) fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("it runs")
    }

    fn stat(&self) -> Vec<String> {
        // The name of the program, in parentheses, may hold anything.
        let stat = self.proc("stat");
        let (_, rest) = stat.rsplit_once(')').unwrap();
        ["", ""].into_iter().chain(rest.split_whitespace()).map(str::to_owned).collect()
    }

    /// Ticks of processor time that it has used, 100 a second.
    pub(crate) fn ticks(&self) -> u64 {
        let stat = self.stat();
        stat[13].parse::<u64>().unwrap() + stat[14].parse::<u64>().unwrap()
    }

    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs").count()
    }

    fn status(&self, name: &str) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Resident memory in kB.
    pub(crate) fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The highest that it has been.
    pub(crate) fn peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// It answers, and has never taken more memory than before and the bound.
    pub(crate) async fn stands(&self, before: u64) {
        crate::wire::serves(self.address).await;
        let grown = self.peak().saturating_sub(before);
        assert!(grown <= BOUND, "it has grown by {grown} kB");
        assert!(self.lines("panicked").is_empty(), "{:?}", self.lines("panicked"));
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // A process that stands still is ended by this signal, too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
