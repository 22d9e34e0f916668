//! Keys that are fetched or read from files, against a real server on loopback, by the rows of hostile inputs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod client;
mod fetched;
mod files;
mod fixture;
#[path = "../support/http.rs"]
mod http;
mod unknown_kid;
#[path = "../support/wait.rs"]
mod wait;
