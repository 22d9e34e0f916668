//! Tollgate answers Envoy's external authorization call: it validates bearer tokens, checks them against a
//! policy table and returns allow or deny plus the identity headers that the upstream may trust.
//!
//! `ARCHITECTURE.md` has the bird's-eye view and the rules on what may import what.

pub mod admin;
pub mod authn;
pub mod cases;
pub mod cli;
pub mod clock;
pub mod config;
pub mod core;
pub mod demo;
pub mod engine;
pub mod grpc;
mod html;
pub mod import;
pub mod lint;
pub mod listen;
pub mod net;
pub mod outbound;
pub mod provider;
pub mod secret;
pub mod telemetry;
pub mod trace_context;
pub mod turns;
pub mod watch;
