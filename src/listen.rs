//! Opening the sockets that are listened on: for Check, for probes, for control.

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::time::timeout;

use crate::config::server::Address;

/// Longest wait for a sign of life from whoever holds a socket file.
const PROBE: Duration = Duration::from_secs(1);

/// Why a listener cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The operating system refuses.
    #[error("`{address}` cannot be listened on: {error}")]
    Refused {
        /// The address as configured.
        address: String,
        /// Its reason.
        error: io::Error,
    },
    /// Something other than a socket is where the socket should be.
    #[error("`{}` is there already and is no socket: remove it or listen elsewhere", .0.display())]
    Occupied(PathBuf),
    /// Another process listens there.
    #[error("`{}` is in use: another process listens on it", .0.display())]
    InUse(PathBuf),
    /// Control would be reachable from other machines.
    #[error("`{0}` is not a loopback address: control listens on loopback or a unix socket only")]
    NotLocal(SocketAddr),
    /// Anybody would be in control.
    #[error("the control token is empty")]
    NoToken,
}

/// An open listener.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpListener),
    /// A unix socket, and its name, which goes with it.
    Unix(UnixListener, SocketFile),
}

/// A connection of either kind.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Socket {
    /// Opens a socket. A socket file that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// Where the address cannot be had.
    pub async fn open(address: &Address) -> Result<Self, BindError> {
        match address {
            Address::Tcp(tcp) => TcpListener::bind(tcp).await.map(Self::Tcp).map_err(|error| refused(address, error)),
            Address::Unix { path, mode } => {
                make_way(path).await.map_err(|error| match error {
                    Blocked::Occupied => BindError::Occupied(path.clone()),
                    Blocked::InUse => BindError::InUse(path.clone()),
                    Blocked::Error(error) => refused(address, error),
                })?;
                let (listener, file) = bind_unix(path, *mode).map_err(|error| refused(address, error))?;
                Ok(Self::Unix(listener, file))
            }
        }
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// What the operating system says; the socket remains usable.
    pub async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(listener) => Box::new(listener.accept().await?.0),
            Self::Unix(listener, _) => Box::new(listener.accept().await?.0),
        })
    }

    /// The address with the port that was taken; `None` for a unix socket.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }

    /// The address with the port that was taken.
    pub fn address(&self, configured: &Address) -> Address {
        match self {
            Self::Tcp(listener) => listener.local_addr().map_or_else(|_| configured.clone(), Address::Tcp),
            Self::Unix(..) => configured.clone(),
        }
    }
}

/// An address as an operator writes it.
pub fn name(address: &Address) -> String {
    match address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix { path, .. } => format!("unix:{}", path.display()),
    }
}

fn refused(address: &Address, error: io::Error) -> BindError {
    BindError::Refused { address: name(address), error }
}

enum Blocked {
    Occupied,
    InUse,
    Error(io::Error),
}

/// Finds out whether a socket file that is there may be replaced: only where nobody listens on it any more.
async fn make_way(path: &Path) -> Result<(), Blocked> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {}
        Ok(_) => return Err(Blocked::Occupied),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Blocked::Error(error)),
    }
    match timeout(PROBE, UnixStream::connect(path)).await {
        Ok(Err(error)) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => Ok(()),
        Ok(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => Err(Blocked::Error(error)),
        Ok(_) | Err(_) => Err(Blocked::InUse),
    }
}

/// Binds beside the path and moves the socket there, so that nobody finds it with permissions other than `mode`, and
/// what was there is replaced at once.
fn bind_unix(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&beside)?;
    let placed = std::fs::set_permissions(&beside, Permissions::from_mode(mode))
        .and_then(|()| std::fs::rename(&beside, path))
        .and_then(|()| SocketFile::at(path));
    if placed.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    Ok((listener, placed?))
}

/// A socket's name in the file system, removed on drop where it is still this socket's.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A successor may have put its own in place.
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = std::fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &Path) -> Address {
        Address::Unix { path: path.to_owned(), mode: 0o640 }
    }

    #[tokio::test]
    async fn a_socket_has_its_mode_and_goes_with_its_listener() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("check.sock");
        let socket = Socket::open(&at(&path)).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        UnixStream::connect(&path).await.unwrap();
        drop(socket);
        assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("check.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let socket = Socket::open(&at(&path)).await.unwrap();
        assert!(matches!(Socket::open(&at(&path)).await, Err(BindError::InUse(_))));
        UnixStream::connect(&path).await.unwrap();
        drop(socket);
    }

    #[tokio::test]
    async fn a_successors_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("check.sock");
        let socket = Socket::open(&at(&path)).await.unwrap();
        std::fs::remove_file(&path).unwrap();
        let _successor = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(socket);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(Socket::open(&at(&path)).await, Err(BindError::Occupied(_))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
