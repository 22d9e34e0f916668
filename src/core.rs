//! The pure decision: no I/O, no wire types, no clock of its own.

pub mod algorithm;
pub mod answer;
pub mod audit;
pub mod caller;
pub mod condition;
pub mod decide;
pub(crate) mod denial;
pub mod event;
pub mod guard;
pub mod header_list;
pub mod inject;
pub mod observer;
pub mod path;
pub mod principal;
pub mod reason;
pub mod request;
pub mod rule;
pub mod table;
pub mod trail;
