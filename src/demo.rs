//! The development issuer, the echo upstream and the guided tour of `tollgate demo`. Never part of `serve`.

pub mod client;
pub mod envoy;
pub mod issuer;
pub mod keys;
mod paint;
pub mod passport;
mod tour;
pub mod upstream;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the demo cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A key cannot be made or used.
    #[error("the demo's keys cannot be made")]
    Keys,
    /// A file cannot be read or written.
    #[error("`{}`: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There is no room for temporary files.
    #[error("no temporary directory can be made: {0}")]
    Directory(io::Error),
    /// A port is taken.
    #[error("{what} cannot listen on {address}: {error}")]
    Listen {
        /// Who wanted to listen.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// A request got no answer.
    #[error(transparent)]
    Call(#[from] client::CallError),
    /// `TOLLGATE_ENVOY` is wrong.
    #[error("`TOLLGATE_ENVOY` names `{}`, which is no file: correct it, or unset it", .0.display())]
    NoSuchEnvoy(PathBuf),
    /// Envoy does not run.
    #[error("envoy does not start: {why}\n{log}")]
    Envoy {
        /// What was seen.
        why: String,
        /// The end of its log.
        log: String,
    },
    /// A shipped configuration is not as the demo expects it.
    #[error("the shipped configuration does not hold `{0}` exactly once")]
    Shipped(String),
}
