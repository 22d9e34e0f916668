//! Opaque tokens of a real provider, through a real Envoy: `make test-idp`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/idp_client_key.rs"]
mod client_key;
#[path = "support/idp_opaque.rs"]
mod provider;
#[path = "support/idp_proxy.rs"]
mod proxy;
#[path = "support/envoy.rs"]
mod support;

#[path = "idp/opaque/tests.rs"]
mod tests;
#[path = "support/wait.rs"]
mod wait;
