//! The gate behind a real Envoy with the shipped configurations: really signed tokens, real requests. Where
//! a test holds a point of the contract with Envoy, it says which: the numbers are those of `envoy/CONTRACT.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/envoy.rs"]
mod support;

#[path = "envoy_inbound/callers.rs"]
mod callers;
#[path = "envoy_inbound/drain.rs"]
mod drain;
#[path = "envoy_inbound/failures.rs"]
mod failures;
#[path = "envoy_inbound/headers.rs"]
mod headers;
#[path = "envoy_inbound/outbound.rs"]
mod outbound;
#[path = "envoy_inbound/outbound_tls.rs"]
mod outbound_tls;
#[path = "envoy_inbound/paths.rs"]
mod paths;
#[path = "envoy_inbound/protocols.rs"]
mod protocols;
#[path = "envoy_inbound/tokens.rs"]
mod tokens;
#[path = "support/wait.rs"]
mod wait;
