//! Providers in trouble: what each kind of outage comes to, by configurations as operators write them, in the engine and
//! over gRPC, and that it passes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

#[path = "outages/apart.rs"]
mod apart;
#[path = "outages/crowds.rs"]
mod crowds;
#[path = "outages/deadlines.rs"]
mod deadlines;
#[path = "outages/faults.rs"]
mod faults;
#[path = "support/gate.rs"]
mod gate;
#[path = "support/http.rs"]
mod http;
#[path = "outages/idp.rs"]
mod idp;
#[path = "outages/matrix.rs"]
mod matrix;
#[path = "outages/settings.rs"]
mod settings;
#[path = "support/wait.rs"]
mod wait;
#[path = "outages/world.rs"]
mod world;
