//! Opening a TCP or unix socket.

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener};

use crate::config::server::Address;

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
    /// Control would be reachable from other machines.
    #[error("`{0}` is not a loopback address: control listens on loopback or a unix socket only")]
    NotLocal(SocketAddr),
    /// Anybody would be in control.
    #[error("the control token is empty")]
    NoToken,
}

/// An open listener.
#[derive(Debug)]
pub enum Bound {
    /// TCP.
    Tcp(TcpListener),
    /// A unix socket.
    Unix(UnixListener),
}

impl Bound {
    pub(super) async fn open(address: &Address) -> Result<Self, BindError> {
        match address {
            Address::Tcp(address) => TcpListener::bind(address)
                .await
                .map(Self::Tcp)
                .map_err(|error| BindError::Refused { address: address.to_string(), error }),
            Address::Unix { path, mode } => open_unix(path, *mode).map(Self::Unix),
        }
    }

    /// The address with the port that was taken; `None` for a unix socket.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }
}

fn open_unix(path: &Path, mode: u32) -> Result<UnixListener, BindError> {
    let refused = |error| BindError::Refused { address: format!("unix:{}", path.display()), error };
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path).map_err(refused)?,
        Ok(_) => return Err(BindError::Occupied(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(refused(error)),
    }
    let listener = UnixListener::bind(path).map_err(refused)?;
    std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(refused)?;
    Ok(listener)
}
