//! Measures the gate: a load generator, the servers it is compared with, and the table of what must hold.

pub mod baseline;
pub mod compare;
pub mod envoy;
pub mod ghz;
pub mod load;
pub mod mint;
pub mod policy;
pub mod process;
pub mod request;
pub mod scene;
pub mod shuffle;
pub mod stats;
