//! The measurements, one file for each group of rows.

mod allocations;
mod cached;
mod envoy;
mod ghz;
mod latency;
mod memory;
mod reload;
mod rules;
mod startup;
mod uncached;

use crate::table::Group;

/// All of them, in the order in which they run.
pub const GROUPS: &[Group] = &[
    cached::GROUP,
    uncached::GROUP,
    rules::GROUP,
    memory::GROUP,
    reload::GROUP,
    startup::GROUP,
    allocations::GROUP,
    latency::GROUP,
    envoy::THROUGH,
    envoy::MIX,
];
