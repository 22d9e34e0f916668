//! Tokens that the gate obtains, from the Check to a token endpoint on loopback and back, by the rows of hostile inputs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod specs;
mod support;

#[path = "outbound/actors.rs"]
mod actors;
#[path = "outbound/answers.rs"]
mod answers;
#[path = "outbound/exchange.rs"]
mod exchange;
#[path = "outbound/idp.rs"]
mod idp;
#[path = "outbound/outages.rs"]
mod outages;
#[path = "outbound/own.rs"]
mod own;
#[path = "outbound/secrets.rs"]
mod secrets;
#[path = "support/wait.rs"]
mod wait;
#[path = "outbound/world.rs"]
mod world;
