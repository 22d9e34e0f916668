//! The addresses that the gate listens on.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use super::finding::{Finding, Subject};
use super::tls;
use crate::cli::check::shown;
use crate::clock::Timestamp;
use crate::config::server::{Address, ServerSpec, TlsSpec};

/// Longest path of a unix socket, its closing NUL left out.
const MAX_SOCKET_PATH: usize = 107;

/// One listener, whatever it is for.
pub(super) struct Listener<'a> {
    purpose: &'static str,
    address: Address,
    tls: Option<&'a TlsSpec>,
}

/// Every listener of a configuration.
pub(super) fn all(server: &ServerSpec) -> Vec<Listener<'_>> {
    let check = server.check.iter().map(|listener| Listener {
        purpose: "Check",
        address: listener.address.clone(),
        tls: listener.tls.as_ref(),
    });
    let probes = server.probes.map(|address| ("probes", Address::Tcp(address)));
    let control = server.control.as_ref().map(|control| ("control", control.address.clone()));
    let http = probes.into_iter().chain(control).map(|(purpose, address)| Listener { purpose, address, tls: None });
    check.chain(http).collect()
}

impl Listener<'_> {
    /// Tries the address without disturbing who may be there, and reads the TLS files.
    pub(super) async fn examine(self, now: Timestamp) -> Subject {
        let mut findings = vec![match &self.address {
            Address::Unix { path, .. } => unix(path),
            Address::Tcp(address) => tcp(*address),
        }];
        if let Some(spec) = self.tls {
            findings.extend(tls::examine(spec, now));
        }
        Subject { name: format!("{} listener on {}", self.purpose, shown(&self.address)), findings }
    }
}

/// Whoever listens already is most likely the gate that this configuration is for.
fn taken() -> Finding {
    Finding::warning(
        "something listens there already",
        "fine if it is this gate, which `tollgate health` tells; otherwise choose another address or stop the other",
    )
}

fn tcp(address: SocketAddr) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::fine("free"),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => taken(),
        Err(error) => {
            let remedy = match error.kind() {
                io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege: choose one above",
                io::ErrorKind::AddrNotAvailable => "this machine does not have that address: see `ip address`",
                _ => "choose another address",
            };
            Finding::fault(format!("cannot be bound: {error}"), remedy)
        }
    }
}

fn unix(path: &Path) -> Finding {
    if path.as_os_str().len() > MAX_SOCKET_PATH {
        return Finding::fault(
            format!("the path is longer than {MAX_SOCKET_PATH} bytes, which is what a unix socket's may have"),
            "choose a shorter one",
        );
    }
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Finding::fault("something that is not a socket is there", "remove it, or choose another path");
        }
        Ok(_) if UnixStream::connect(path).is_ok() => return taken(),
        // A socket that nobody listens on is replaced by `serve`.
        Ok(_) | Err(_) => {}
    }
    let Some(folder) = path.parent() else {
        return Finding::fault("the path has no folder", "name an absolute path");
    };
    let trial = folder.join(format!(".tollgate-{}", std::process::id()));
    match UnixListener::bind(&trial) {
        Ok(_) => match fs::remove_file(&trial) {
            Ok(()) => Finding::fine("a socket can be made there"),
            Err(error) => Finding::warning(
                format!("a socket can be made in `{}`, but not removed: {error}", folder.display()),
                format!("remove `{}`, and give this user the right to", trial.display()),
            ),
        },
        Err(error) => {
            let remedy = match error.kind() {
                io::ErrorKind::NotFound => "make that folder, or mount the volume that Envoy sees, too",
                io::ErrorKind::PermissionDenied => "give this user the right to write there",
                io::ErrorKind::ReadOnlyFilesystem => "mount a volume there: the root file system is read-only",
                _ => "choose another folder",
            };
            Finding::fault(format!("no socket can be made in `{}`: {error}", folder.display()), remedy)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Mark;
    use super::*;

    #[test]
    fn a_free_port_is_fine_and_a_taken_one_is_told() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        assert_eq!(tcp(address).mark, Mark::Warning);
        drop(taken);
        assert_eq!(tcp(address).mark, Mark::Fine);
        assert_eq!(tcp("192.0.2.1:9191".parse().unwrap()).mark, Mark::Fault);
    }

    #[test]
    fn socket_paths_are_tried() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        assert_eq!(unix(&path), Finding::fine("a socket can be made there"));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing is left behind");

        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(unix(&path).mark, Mark::Warning, "somebody listens");
        drop(listener);
        assert_eq!(unix(&path).mark, Mark::Fine, "a socket that is left over is replaced");

        fs::write(folder.path().join("file"), "").unwrap();
        assert_eq!(unix(&folder.path().join("file")).mark, Mark::Fault);
        assert_eq!(unix(&folder.path().join("no/x.sock")).mark, Mark::Fault);
        assert_eq!(unix(&folder.path().join("x".repeat(120))).mark, Mark::Fault);
    }
}
