//! A real Keycloak as a child process, in development mode, with the demo's realm.

use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::DemoError;
use super::super::envoy::tail;
use super::realm::Realm;

/// Time for Keycloak to start: half a minute on a machine that does nothing else.
const PATIENCE: Duration = Duration::from_secs(300);
/// Time for it to stop, after which it is killed.
const FAREWELL: Duration = Duration::from_secs(20);
/// Between two looks at something that is about to happen.
const PAUSE: Duration = Duration::from_millis(200);

/// Runs a command until it is told to stop, or until whoever runs this has ended, however: that closes standard input.
/// Then it ends the whole process group and removes the folder `$1`; where it was told to stop, it waits to hear whether
/// to keep that. Who dies cannot tidy up.
const GUARD: &str = r#"
directory=$1; shift
exec 3<&0 </dev/null
"$@" 3<&- &
child=$!
trap '' TERM
{
    read -r word <&3
    kill -TERM 0
    tries=0
    while kill -0 "$child" 2>/dev/null; do
        tries=$((tries + 1))
        if [ "$tries" -gt 100 ]; then kill -KILL "$child"; fi
        sleep 0.1
    done
    if [ "$word" = stop ]; then read -r word <&3; fi
    if [ "$word" != keep ]; then rm -rf "$directory"; fi
} &
wait "$child"
"#;

/// Finds a Keycloak: the folder that `TOLLGATE_KEYCLOAK` names, else the one that `make idp` fetched below the current
/// directory.
pub fn find() -> Option<PathBuf> {
    let named = std::env::var_os("TOLLGATE_KEYCLOAK").filter(|name| !name.is_empty()).map(PathBuf::from);
    let home = named.unwrap_or_else(|| PathBuf::from(".tools/keycloak"));
    home.join("bin/kc.sh").is_file().then_some(home)
}

/// A Keycloak. It ends, and its files are removed, when this is dropped or the process ends.
#[derive(Debug)]
pub struct Keycloak {
    directory: PathBuf,
    address: SocketAddr,
    process: Option<Child>,
    /// The guard of one that was stopped: it removes the files unless it hears that they are still needed.
    stopped: Option<ChildStdin>,
}

impl Keycloak {
    /// Starts the Keycloak in the folder `home`, which is only read, on `port` of loopback, or on a free one where that
    /// is 0, and waits until it answers for `realm`.
    ///
    /// # Errors
    /// Where it does not start; the error holds the end of its log.
    pub async fn start(home: &Path, port: u16, realm: &str) -> Result<Self, DemoError> {
        let port = if port == 0 { free_port()? } else { port };
        let directory =
            tempfile::Builder::new().prefix("tollgate-keycloak-").tempdir().map_err(DemoError::Directory)?;
        furnish(directory.path(), home, realm).map_err(|error| DemoError::File { path: home.to_owned(), error })?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // From here on the guard removes the folder.
        let mut keycloak = Self { directory: directory.keep(), address, process: None, stopped: None };
        keycloak.start_again().await?;
        Ok(keycloak)
    }

    /// Starts it again after [`Keycloak::stop`], with the data that it had.
    ///
    /// # Errors
    /// As [`Keycloak::start`].
    pub async fn start_again(&mut self) -> Result<(), DemoError> {
        let failed = |why: String, log: &str| DemoError::Keycloak { why, log: tail(log) };
        let mut process = self.spawn().map_err(|error| failed(error.to_string(), ""))?;
        let late = Instant::now() + PATIENCE;
        let realm = Realm::new(self.address);
        let why = loop {
            match process.try_wait() {
                Ok(Some(status)) => break format!("it ended with {status}"),
                Err(error) => break error.to_string(),
                Ok(None) if realm.answers().await => {
                    self.process = Some(process);
                    return Ok(());
                }
                Ok(None) if Instant::now() >= late => break format!("it is not ready after {} s", PATIENCE.as_secs()),
                Ok(None) => sleep(PAUSE).await,
            }
        };
        Err(failed(why, &self.log()))
    }

    /// Stops it, as an operator would; its data stay for [`Keycloak::start_again`].
    ///
    /// # Errors
    /// Where it does not end.
    pub async fn stop(&mut self) -> Result<(), DemoError> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let failed = |why: String| DemoError::Keycloak { why, log: String::new() };
        if let Some(mut guard) = process.stdin.take() {
            guard.write_all(b"stop\n").map_err(|error| failed(error.to_string()))?;
            self.stopped = Some(guard);
        }
        let late = Instant::now() + FAREWELL;
        while process.try_wait().map_err(|error| failed(error.to_string()))?.is_none() {
            if Instant::now() >= late {
                return Err(failed(format!("it does not end in {} s", FAREWELL.as_secs())));
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("keycloak.log")).unwrap_or_default()
    }

    fn spawn(&mut self) -> io::Result<Child> {
        let log = fs::File::options().create(true).append(true).open(self.directory.join("keycloak.log"))?;
        let process = Command::new("sh")
            .args(["-c", GUARD, "sh"])
            .arg(&self.directory)
            .arg(self.directory.join("bin/kc.sh"))
            .args(["start-dev", "--import-realm", "--http-host", "127.0.0.1", "--http-port"])
            .arg(self.address.port().to_string())
            // It lives for minutes: the best code is not worth the time that it takes to make it.
            .env("JAVA_OPTS_APPEND", "-XX:TieredStopAtLevel=1")
            .env("KC_BOOTSTRAP_ADMIN_USERNAME", super::ADMIN)
            .env("KC_BOOTSTRAP_ADMIN_PASSWORD", super::ADMIN_PASSWORD)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        // The new guard has the files now.
        if let Some(mut guard) = self.stopped.take() {
            guard.write_all(b"keep\n")?;
        }
        Ok(process)
    }
}

impl Drop for Keycloak {
    fn drop(&mut self) {
        // The guard's sign to end it all.
        drop(self.stopped.take());
        match &mut self.process {
            Some(process) => drop(process.stdin.take()),
            // It is not running.
            None => drop(fs::remove_dir_all(&self.directory)),
        }
    }
}

/// A home of its own: links to what is only read, copies of what Keycloak writes to. Runs do not meet.
fn furnish(directory: &Path, home: &Path, realm: &str) -> io::Result<()> {
    let home = home.canonicalize()?;
    for folder in ["bin", "lib/quarkus", "data/import"] {
        fs::create_dir_all(directory.join(folder))?;
    }
    // Its folder is where this script is, not where a link leads.
    fs::copy(home.join("bin/kc.sh"), directory.join("bin/kc.sh"))?;
    fs::copy(home.join("lib/quarkus-run.jar"), directory.join("lib/quarkus-run.jar"))?;
    for entry in fs::read_dir(home.join("lib/quarkus"))? {
        let entry = entry?;
        fs::copy(entry.path(), directory.join("lib/quarkus").join(entry.file_name()))?;
    }
    for linked in ["lib/lib", "lib/app", "conf", "providers", "themes", "version.txt"] {
        symlink(home.join(linked), directory.join(linked))?;
    }
    fs::write(directory.join("data/import/shop-realm.json"), realm)
}

/// A free port below the range from which systems take ports for connections: Keycloak binds it half a minute later,
/// and nobody else gets it in the meantime.
fn free_port() -> Result<u16, DemoError> {
    let mut last = 0;
    for _ in 0..100 {
        last = 20_000 + rand::random::<u16>() % 10_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, last)).is_ok() {
            return Ok(last);
        }
    }
    Err(DemoError::Listen {
        what: "Keycloak",
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, last)),
        error: io::ErrorKind::AddrInUse.into(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A home whose Keycloak is this script.
    fn home(script: &str) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        for folder in ["bin", "lib/quarkus"] {
            fs::create_dir_all(home.path().join(folder)).unwrap();
        }
        fs::write(home.path().join("lib/quarkus-run.jar"), "").unwrap();
        let program = home.path().join("bin/kc.sh");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        home
    }

    async fn eventually(what: &str, holds: impl Fn() -> bool) {
        let late = Instant::now() + FAREWELL;
        while !holds() {
            assert!(Instant::now() < late, "{what}");
            sleep(PAUSE).await;
        }
    }

    #[tokio::test]
    async fn a_start_that_fails_shows_the_end_of_the_log() {
        let home = home("echo no memory is left; exit 7");
        let error = Keycloak::start(home.path(), 0, "{}").await.unwrap_err().to_string();
        assert!(error.contains("it ended with exit status: 7") && error.contains("no memory is left"), "{error}");
    }

    #[tokio::test]
    async fn it_ends_and_leaves_nothing_behind_when_it_is_no_longer_held() {
        let home = home("echo started; exec sleep 600");
        let directory = tempfile::tempdir().unwrap();
        furnish(directory.path(), home.path(), "{}").unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let mut keycloak = Keycloak { directory: directory.keep(), address, process: None, stopped: None };
        keycloak.process = Some(keycloak.spawn().unwrap());
        eventually("it starts", || keycloak.log().contains("started")).await;
        let directory = keycloak.directory.clone();
        // Stopped and started again: its files stay.
        keycloak.stop().await.unwrap();
        assert!(directory.is_dir());
        keycloak.process = Some(keycloak.spawn().unwrap());
        eventually("it starts again", || keycloak.log().matches("started").count() == 2).await;
        // As where the process ends without a drop: the guards see nothing but that their inputs are closed.
        keycloak.stop().await.unwrap();
        let inputs = (keycloak.process.take(), keycloak.stopped.take());
        std::mem::forget(keycloak);
        assert!(directory.is_dir());
        drop(inputs);
        eventually("its folder is removed", || !directory.exists()).await;
    }
}
