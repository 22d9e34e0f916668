//! Envoy's external authorization protocol: wire types at the edge, listeners, limits, drain.
//!
//! One call's way: `front` takes the time and a place among the calls in flight, [`service`] has the message decoded
//! ([`decode`]), decided and encoded ([`encode`]). Listeners are [`server`]'s; a connection's way is `accept`, `tls`,
//! `preface`, `connection`.
//!
//! *Invariant:* every decision, and every failure to come to one, leaves as an RPC that succeeds. RPC errors are left
//! to what is no Check at all: undecodable frames, unknown methods, messages beyond the limit.

mod accept;
mod codec;
mod connection;
mod cork;
mod deadline;
pub mod decode;
pub mod encode;
mod front;
pub mod health;
mod inline;
mod message;
mod preface;
mod quiet;
pub mod reflection;
mod reply;
pub mod server;
pub mod service;
mod taken;
mod tls;
mod unix;
pub mod wire;

pub use health::Health;
pub use server::{BindError, Drained, Running, Server};
pub use service::Decide;
pub use tls::TlsError;
