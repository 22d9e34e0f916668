//! The chain USER → A → B → C on a real Keycloak, through A's, B's and C's own real Envoys and gates: `make test-idp`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/idp_client_key.rs"]
mod client_key;
#[path = "support/idp_proxy.rs"]
mod proxy;
#[path = "support/envoy.rs"]
mod support;

#[path = "idp/keycloak/chain.rs"]
mod chain;
#[path = "idp/keycloak/clients.rs"]
mod clients;
#[path = "idp/keycloak/outage.rs"]
mod outage;
#[path = "idp/keycloak/stage.rs"]
mod stage;
#[path = "support/wait.rs"]
mod wait;
