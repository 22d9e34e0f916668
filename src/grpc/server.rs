//! Listeners, from binding to the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tonic::service::Routes;

use super::accept::Accepting;
use super::connection::{Connections, Ending};
use super::front::Front;
use super::health::Health;
use super::reflection;
use super::service::{CheckService, Decide};
use super::tls::{Tls, TlsError};
use crate::config::server::{Address, Drain, Limits, ServerSpec};
use crate::core::request::Direction;
use crate::listen::{self, Socket};
use crate::telemetry::Recorder;

/// Longest time for connections to notice that they are closed.
const LAST_MOMENTS: Duration = Duration::from_secs(1);

/// Why the server cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A listener cannot be opened.
    #[error(transparent)]
    Listen(#[from] listen::BindError),
    /// A certificate, a key or an authority is not usable.
    #[error("`{address}`: {error}")]
    Tls {
        /// The address as configured.
        address: String,
        /// What is wrong.
        error: TlsError,
    },
    /// The schema for reflection is damaged.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Listeners that are open but not served yet: the operating system lets peers wait.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Listener>,
    limits: Limits,
    deadline: Duration,
    /// Reflection, where it is wanted; what belongs to a decider comes later.
    routes: Routes,
}

#[derive(Debug)]
struct Listener {
    socket: Socket,
    address: Address,
    direction: Direction,
    trusted: bool,
    tls: Option<Arc<Tls>>,
}

impl Server {
    /// Opens every listener of `spec.check`, and reads their certificates.
    ///
    /// # Errors
    /// The first listener that cannot be opened; those opened before it are closed again.
    pub async fn bind(spec: &ServerSpec) -> Result<Self, BindError> {
        let mut routes = Routes::default();
        if spec.reflection {
            routes = reflection::add(routes)?;
        }
        let mut listeners = Vec::with_capacity(spec.check.len());
        for check in &spec.check {
            let tls = check.tls.as_ref().map(Tls::load).transpose();
            let tls = tls.map_err(|error| BindError::Tls { address: listen::name(&check.address), error })?;
            let socket = Socket::open(&check.address).await?;
            let address = socket.address(&check.address);
            let (direction, trusted) = (check.direction, check.is_trusted());
            listeners.push(Listener { socket, address, direction, trusted, tls: tls.map(Arc::new) });
        }
        Ok(Self { listeners, limits: spec.limits.clone(), deadline: spec.deadline, routes })
    }

    /// Where it listens, in the order of the configuration, with the ports that were taken.
    pub fn addresses(&self) -> Vec<Address> {
        self.listeners.iter().map(|listener| listener.address.clone()).collect()
    }

    /// Serves, until [`Running::drain`] ends it or the value is dropped. `health` is told to others as it is: say
    /// [`Health::set_serving`] when calls are welcome.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn run<D: Decide>(self, decider: Arc<D>, recorder: Arc<Recorder>, health: Health) -> Running {
        let Self { listeners, limits, deadline, routes } = self;
        let routes = routes.add_service(health.server()).prepare();
        let places = Arc::new(Semaphore::new(limits.max_in_flight.min(Semaphore::MAX_PERMITS)));
        let (tasks, stop, ending) = (TaskTracker::new(), CancellationToken::new(), Ending::default());
        let mut accepting = JoinSet::new();
        let mut following = Vec::new();
        for Listener { socket, address, direction, trusted, tls } in listeners {
            let listener: Arc<str> = listen::name(&address).into();
            let check = CheckService {
                decider: Arc::clone(&decider),
                recorder: Arc::clone(&recorder),
                direction,
                trusted,
                limit: deadline,
            };
            let front = Front::new(check, routes.clone(), Arc::clone(&places), limits.max_message_bytes);
            if let Some(tls) = &tls {
                let follow = Arc::clone(tls).follow(listener.to_string());
                following.push(AbortOnDropHandle::new(tokio::spawn(follow)));
            }
            let accept = Accepting {
                listener: Arc::clone(&listener),
                connections: Connections::new(listener, front, tls, &limits, ending.clone()),
                max_connections: limits.max_connections,
                tasks: tasks.clone(),
                stop: stop.clone(),
            };
            match socket {
                Socket::Tcp(listener) => accepting.spawn(accept.run(listener)),
                Socket::Unix(listener, file) => accepting.spawn(async move {
                    accept.run(listener).await;
                    drop(file);
                }),
            };
        }
        Running { health, stop, ending, tasks, accepting, _following: following }
    }
}

/// Listeners that are served. Dropping it closes every connection at once.
#[derive(Debug)]
pub struct Running {
    health: Health,
    stop: CancellationToken,
    ending: Ending,
    tasks: TaskTracker,
    accepting: JoinSet<()>,
    _following: Vec<AbortOnDropHandle<()>>,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that had calls in flight when the grace ended, and were closed.
    pub cut_off: usize,
}

impl Running {
    /// Ends it: says NOT_SERVING and serves on for `delay`, for Envoy to notice; then accepts no more, tells every
    /// connection to go away, and waits up to `grace` for what is in flight.
    pub async fn drain(mut self, drain: &Drain) -> Drained {
        self.health.drain();
        tokio::time::sleep(drain.delay).await;
        self.stop.cancel();
        while self.accepting.join_next().await.is_some() {}
        // After the listeners: a connection that was accepted last is told, too.
        self.ending.go_away.cancel();
        self.health.close();
        self.tasks.close();
        if timeout(drain.grace, self.tasks.wait()).await.is_ok() {
            return Drained { cut_off: 0 };
        }
        let cut_off = self.tasks.len();
        self.ending.close.cancel();
        let _ = timeout(LAST_MOMENTS, self.tasks.wait()).await;
        Drained { cut_off }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ending.close.cancel();
    }
}
