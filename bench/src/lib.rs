//! Measures the gate: a load generator, the servers it is compared with, and the table of what must hold.

pub mod baseline;
pub mod compare;
pub mod document;
pub mod envoy;
pub mod ghz;
pub mod load;
pub mod machine;
pub mod mint;
pub mod plot;
pub mod policy;
pub mod process;
pub mod request;
pub mod rows;
pub mod scene;
pub mod scrape;
pub mod shuffle;
pub mod stats;
pub mod table;
