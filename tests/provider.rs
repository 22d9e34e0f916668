//! Calls to a provider's endpoints, on real sockets, by the rows of hostile inputs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "provider/bounds.rs"]
mod bounds;
#[path = "provider/breaker.rs"]
mod breaker;
#[path = "provider/clients.rs"]
mod clients;
#[path = "provider/discovered.rs"]
mod discovered;
#[path = "provider/fixture.rs"]
mod fixture;
#[path = "support/http.rs"]
mod http;
#[path = "provider/proxy.rs"]
mod proxy;
#[path = "provider/tls.rs"]
mod tls;
#[path = "support/wait.rs"]
mod wait;
