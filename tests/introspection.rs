//! Introspection (RFC 7662) as requests meet it: a whole engine, configured by a file, and an issuer on a real socket.
//! Tests name the rows of the list of hostile inputs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "introspection/answers.rs"]
mod answers;
#[path = "introspection/cached.rs"]
mod cached;
#[path = "introspection/command.rs"]
mod command;
#[path = "introspection/fixture.rs"]
mod fixture;
#[path = "introspection/floods.rs"]
mod floods;
#[path = "support/http.rs"]
mod http;
#[path = "introspection/jwts.rs"]
mod jwts;
#[path = "introspection/kinds.rs"]
mod kinds;
#[path = "introspection/outages.rs"]
mod outages;
#[path = "introspection/reloads.rs"]
mod reloads;
mod support;
#[path = "support/wait.rs"]
mod wait;
