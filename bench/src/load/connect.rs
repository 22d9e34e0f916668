//! Connections to the server that is measured.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use tokio::io::{AsyncRead, AsyncWrite, join};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::answer::Outcome;
use super::batch::Batch;
use super::call::{Asks, Headers, call};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A unix socket.
    Unix(PathBuf),
    /// An address of this machine.
    Tcp(SocketAddr),
}

impl FromStr for Endpoint {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text.strip_prefix("unix:") {
            Some(path) => Ok(Self::Unix(path.into())),
            None => Ok(Self::Tcp(text.parse().with_context(|| format!("`{text}` is no address and no `unix:` path"))?)),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

/// One connection. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: SendRequest<Bytes>,
    driver: tokio::task::JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// Opens a connection, and waits until the server has said how many calls it takes.
    pub(super) async fn open(endpoint: &Endpoint) -> anyhow::Result<Self> {
        let opened = match endpoint {
            Endpoint::Unix(path) => {
                let (reader, writer) = UnixStream::connect(path).await?.into_split();
                handshake(reader, writer).await
            }
            Endpoint::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let (reader, writer) = stream.into_split();
                handshake(reader, writer).await
            }
        };
        opened.with_context(|| format!("cannot speak HTTP/2 to {endpoint}"))
    }

    /// Calls that the server takes at one time.
    pub(super) fn room(&self) -> usize {
        self.sender.current_max_send_streams()
    }
}

async fn handshake(
    reader: impl AsyncRead + Unpin + Send + 'static,
    writer: impl AsyncWrite + Unpin + Send + 'static,
) -> anyhow::Result<Connection> {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(1 << 20)
        .initial_connection_window_size(1 << 24)
        .max_concurrent_reset_streams(100_000)
        .max_send_buffer_size(1 << 20);
    let batch = Batch::default();
    let (sender, mut connection) = builder.handshake::<_, Bytes>(join(reader, batch.clone())).await?;
    // A ping is answered after the settings were sent.
    let pings = connection.ping_pong();
    // What breaks a connection is seen, and counted, by the calls on it.
    let driver = tokio::spawn(batch.drive(connection, writer));
    let connection = Connection { sender, driver };
    if let Some(mut pings) = pings {
        timeout(Duration::from_secs(5), pings.ping(h2::Ping::opaque())).await??;
    }
    Ok(connection)
}

/// Makes one call on a connection of its own and says what became of it. For waiting until a server serves.
///
/// # Errors
/// The connection could not be opened, or nothing was answered within two seconds.
pub async fn probe(endpoint: &Endpoint, body: Bytes) -> anyhow::Result<Outcome> {
    timeout(Duration::from_secs(2), async {
        let connection = Connection::open(endpoint).await?;
        Ok(call(connection.sender.clone(), &Headers::new(Asks::Check, None)?, body).await)
    })
    .await
    .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_and_written_alike() {
        for text in ["unix:/run/gate.sock", "127.0.0.1:9191", "[::1]:80"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        assert!("somewhere".parse::<Endpoint>().is_err());
    }
}
