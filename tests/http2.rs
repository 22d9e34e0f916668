//! HTTP/2 as nobody should speak it, and the gate that has to go on. Tests name the rows of the list of hostile
//! inputs. Attacks go to this machine alone, and each has an end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "http2/crowds.rs"]
mod crowds;
#[path = "introspection/fixture.rs"]
#[allow(dead_code, unused_imports, reason = "a part is used here")]
mod fixture;
#[path = "http2/floods.rs"]
mod floods;
#[path = "http2/frames.rs"]
mod frames;
#[path = "http2/gate.rs"]
mod gate;
#[path = "http2/headers.rs"]
mod headers;
#[path = "support/http.rs"]
mod http;
#[path = "http2/overload.rs"]
mod overload;
#[path = "http2/slow.rs"]
mod slow;
mod specs;
mod support;
#[path = "support/wait.rs"]
mod wait;
#[path = "http2/wire.rs"]
mod wire;
