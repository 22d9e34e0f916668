//! The program as a process: what goes in, and what it leaves behind.
#![allow(dead_code, reason = "each suite uses a part")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// What a run left behind.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }
}

/// Runs the program in a folder, with nothing of this process's environment that it reads.
pub(crate) fn tollgate(folder: &Path, arguments: &[&str], input: &[u8]) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("TOLLGATE_CONFIG")
        .env_remove("TOLLGATE_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input has closed it.
    let _ = child.stdin.take().unwrap().write_all(input);
    let done = child.wait_with_output().unwrap();
    Ran {
        code: done.status.code().expect("not ended by a signal"),
        out: String::from_utf8(done.stdout).unwrap(),
        err: String::from_utf8(done.stderr).unwrap(),
    }
}

/// Splits a command line as a shell does, as far as documents need it.
pub(crate) fn words(line: &str) -> Vec<String> {
    let parts = line.split('\'').enumerate();
    parts
        .flat_map(|(at, part)| match at % 2 {
            1 => vec![part.to_owned()],
            _ => part.split_whitespace().map(str::to_owned).collect(),
        })
        .collect()
}

/// The members of a JSON value, each once, in order, as documents name them: `answer.set[].name`. What is below the open
/// ones has names of its own, and is left out.
pub(crate) fn members(value: &Value, open: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    collect_members(value, "", open, &mut found);
    found.sort();
    found.dedup();
    found
}

fn collect_members(value: &Value, path: &str, open: &[&str], found: &mut Vec<String>) {
    match value {
        _ if open.contains(&path) => {}
        Value::Object(of) => {
            for (name, value) in of {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                found.push(path.clone());
                collect_members(value, &path, open, found);
            }
        }
        Value::Array(items) => {
            items.iter().for_each(|item| collect_members(item, &format!("{path}[]"), open, found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
