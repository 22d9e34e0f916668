//! The HTTP listeners for probes and for control. They are never the Check listener, and not each other.
//!
//! Probes (`/healthz`, `/readyz`, `/metrics`) are open to the kubelet and Prometheus, so they show nothing that a
//! stranger must not see. Control (`/status`, `/config`, `/reload`, `/log-level`) answers on loopback or a unix socket
//! alone. Whoever is there may read how the gate fares; the policy, and whatever changes something, are for who has the
//! token.

mod control;
mod guard;
mod mask;
mod page;
mod probes;
mod render;
mod serve;
mod window;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::config::server::{Address, ControlListener};
use crate::engine::Engine;
use crate::listen::{BindError, Socket};
use crate::secret::Secret;
use crate::telemetry::{LogLevel, Recorder};
use control::Shown;
use window::Window;

/// The listener for `/healthz`, `/readyz` and `/metrics`, open.
#[derive(Debug)]
pub struct Probes {
    bound: Socket,
}

impl Probes {
    /// Opens it; port 0 takes a free one.
    ///
    /// # Errors
    /// Where the address cannot be had.
    pub async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        Ok(Self { bound: Socket::open(&Address::Tcp(address)).await? })
    }

    /// Where it listens.
    pub fn bound(&self) -> &Socket {
        &self.bound
    }

    /// Serves until `stop`. From `draining` on, `/readyz` says 503.
    pub async fn serve(
        self,
        engine: Arc<Engine>,
        recorder: Arc<Recorder>,
        draining: CancellationToken,
        stop: CancellationToken,
    ) {
        serve::serve(self.bound, probes::router(engine, recorder, draining), stop).await;
    }
}

/// The listener for `/status`, `/config`, `/reload` and `/log-level`, open.
#[derive(Debug)]
pub struct Control {
    bound: Socket,
    token: Secret,
}

impl Control {
    /// Opens it; port 0 takes a free one.
    ///
    /// # Errors
    /// Where the address cannot be had, is neither loopback nor a unix socket, or the token is empty.
    pub async fn bind(listener: &ControlListener) -> Result<Self, BindError> {
        if let Address::Tcp(address) = listener.address
            && !address.ip().is_loopback()
        {
            return Err(BindError::NotLocal(address));
        }
        if listener.token.expose().is_empty() {
            return Err(BindError::NoToken);
        }
        Ok(Self { bound: Socket::open(&listener.address).await?, token: listener.token.clone() })
    }

    /// Where it listens.
    pub fn bound(&self) -> &Socket {
        &self.bound
    }

    /// Serves until `stop`.
    pub async fn serve(self, engine: Arc<Engine>, recorder: Arc<Recorder>, level: LogLevel, stop: CancellationToken) {
        let window = Arc::new(Window::new(Arc::clone(&recorder)));
        let sampling = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&window).follow()));
        let shown = Shown { engine, recorder, window, level };
        serve::serve(self.bound, control::router(shown, self.token), stop).await;
        drop(sampling);
    }
}
