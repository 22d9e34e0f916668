//! What several test files share.

#![allow(unreachable_pub, reason = "shared by test files")]

pub mod mint;
