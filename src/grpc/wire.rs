//! Our view of the protocol's bytes; see `proto/tollgate/wire/v1/check.proto`.
#![allow(missing_docs, reason = "generated")]

include!(concat!(env!("OUT_DIR"), "/tollgate.wire.v1.rs"));
