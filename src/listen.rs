//! Opening a TCP or unix socket.

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncWrite};
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

/// A connection of either kind.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An open listener.
#[derive(Debug)]
pub enum Bound {
    /// TCP.
    Tcp(TcpListener),
    /// A unix socket.
    Unix(UnixListener),
}

impl Bound {
    /// Opens a listener. A socket file that is left over is replaced.
    ///
    /// # Errors
    /// What the operating system says, or a file that is no socket where the socket should be.
    pub async fn open(address: &Address) -> Result<Self, BindError> {
        match address {
            Address::Tcp(address) => TcpListener::bind(address)
                .await
                .map(Self::Tcp)
                .map_err(|error| BindError::Refused { address: address.to_string(), error }),
            Address::Unix { path, mode } => open_unix(path, *mode).map(Self::Unix),
        }
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// What the operating system says; the listener remains usable.
    pub async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Self::Unix(listener) => Box::new(listener.accept().await?.0),
        })
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
