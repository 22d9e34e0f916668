//! Envoy's external authorization protocol: wire types at the edge, listeners, limits, drain.

mod connection;
mod decode;
mod encode;
mod server;
mod service;
mod timeout;
mod tls;
pub mod wire;

pub use decode::MAX_HEADER_BYTES;
pub use server::{Server, StartError};
pub use service::{CheckService, Decide};
pub use tls::TlsError;

/// The generated half of the service: Envoy's name, our types.
#[allow(missing_docs, unreachable_pub, clippy::allow_attributes_without_reason, reason = "generated")]
pub mod generated {
    include!(concat!(env!("OUT_DIR"), "/envoy.service.auth.v3.Authorization.rs"));
}

/// The public protocol, described: what reflection serves.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/envoy_auth_descriptor.bin"));

/// The service's full name.
pub const SERVICE: &str = "envoy.service.auth.v3.Authorization";
