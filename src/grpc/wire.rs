//! The bytes: a lean view of Envoy's Check protocol, generated from `proto/tollgate/wire/v1/check.proto`.

pub use generated::*;

/// The service's name on the wire.
pub const SERVICE: &str = "envoy.service.auth.v3.Authorization";

/// Bytes of a message to the services beside Check: it names a service or a symbol. A stream may hold that much for as
/// long as its message is not whole.
pub(super) const MAX_SMALL_MESSAGE: usize = 4 * 1024;

/// The path of `Check` on the wire.
pub const CHECK_PATH: &str = "/envoy.service.auth.v3.Authorization/Check";

#[allow(missing_docs, clippy::all, clippy::allow_attributes_without_reason, reason = "generated")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/tollgate.wire.v1.rs"));
}

macro_rules! generated_service {
    ($name:ident, $side:literal, $doc:literal) => {
        #[doc = $doc]
        #[allow(
            missing_docs,
            unreachable_pub,
            clippy::all,
            clippy::allow_attributes_without_reason,
            clippy::wildcard_imports,
            reason = "generated"
        )]
        pub(crate) mod $name {
            include!(concat!(env!("OUT_DIR"), "/", $side, "/envoy.service.auth.v3.Authorization.rs"));
        }
    };
}

generated_service!(server, "server", "The service's server, on messages that are bytes.");
generated_service!(client, "client", "The service's client, on the lean types.");
