//! The measurements, one file for each group of rows.

mod allocations;
mod cached;
mod envoy;
mod flood;
mod ghz;
mod latency;
mod memory;
mod overload;
mod reload;
mod rules;
mod soak;
mod startup;
mod uncached;

use crate::table::Group;

/// Those of every run, in the order in which they run.
pub const GROUPS: &[Group] = &[
    cached::GROUP,
    uncached::GROUP,
    rules::GROUP,
    memory::GROUP,
    reload::GROUP,
    startup::GROUP,
    allocations::GROUP,
    latency::GROUP,
    overload::GROUP,
    flood::GROUP,
    soak::SHORT,
    envoy::THROUGH,
    envoy::MIX,
];

/// Those that run only where their rows are named.
pub const ON_REQUEST: &[Group] = &[soak::LONG];
