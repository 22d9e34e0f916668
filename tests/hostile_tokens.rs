//! Hostile tokens: each test names its row of the list of hostile inputs (sections A, B, C, D, F, G and H).
//! Most of them ask `authn::jwt::validate`, the pure function behind every answer; where headers, caches or the choice of
//! an issuer matter, they ask `authn::authenticate`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "hostile_tokens/algorithms.rs"]
mod algorithms;
#[path = "hostile_tokens/bench.rs"]
mod bench;
#[path = "hostile_tokens/claims.rs"]
mod claims;
#[path = "hostile_tokens/credentials.rs"]
mod credentials;
#[path = "hostile_tokens/form.rs"]
mod form;
#[path = "hostile_tokens/header.rs"]
mod header;
#[path = "hostile_tokens/json.rs"]
mod json;
#[path = "hostile_tokens/random.rs"]
mod random;
#[path = "hostile_tokens/shapes.rs"]
mod shapes;
#[path = "hostile_tokens/signatures.rs"]
mod signatures;
mod support;
