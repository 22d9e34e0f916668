//! What suites share.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each suite uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

pub mod mint;
