//! Row 204: what RFC 9113 wants where a peer breaks its rules. `make h2spec` asks for the rest.

use crate::gate::Gate;
use crate::wire::{CHECK, Frame, INITIAL_WINDOW, Wire, block, call, code, fields, flag, frame, kind, literal};
use crate::wire::{message, open, reset, serves, settings, window_update};

const END: u8 = flag::END_HEADERS | flag::END_STREAM;

/// Errors that end a connection: what is said after the greeting, and the code of the GOAWAY.
fn connection_errors() -> Vec<(&'static str, Vec<u8>, u32)> {
    let headers = |stream, flags| frame(kind::HEADERS, flags, stream, &block(CHECK, &[]));
    let both = |first: Vec<u8>, second: Vec<u8>| [first, second].concat();
    vec![
        ("DATA on stream 0", frame(kind::DATA, 0, 0, b"x"), code::PROTOCOL),
        ("DATA on an idle stream", frame(kind::DATA, 0, 1, b"x"), code::PROTOCOL),
        ("DATA padded beyond its end", both(open(1), frame(kind::DATA, flag::PADDED, 1, &[9, 0, 0])), code::PROTOCOL),
        ("HEADERS on stream 0", headers(0, END), code::PROTOCOL),
        ("HEADERS on a server's stream", headers(2, END), code::PROTOCOL),
        ("HEADERS on an older stream", both(headers(5, END), headers(3, END)), code::PROTOCOL),
        ("HEADERS padded beyond its end", frame(kind::HEADERS, END | flag::PADDED, 1, &[9, 0]), code::PROTOCOL),
        ("a frame inside a header block", both(headers(1, 0), frame(kind::PING, 0, 0, &[0; 8])), code::PROTOCOL),
        ("CONTINUATION of nothing", frame(kind::CONTINUATION, END, 1, &block(CHECK, &[])), code::PROTOCOL),
        ("CONTINUATION of another stream", both(headers(1, 0), frame(kind::CONTINUATION, END, 3, &[])), code::PROTOCOL),
        ("PUSH_PROMISE of a client", both(open(1), frame(kind::PUSH_PROMISE, END, 1, &[0, 0, 0, 2])), code::PROTOCOL),
        ("PRIORITY on stream 0", frame(kind::PRIORITY, 0, 0, &[0, 0, 0, 1, 9]), code::PROTOCOL),
        ("RST_STREAM on stream 0", reset(0, code::CANCEL), code::PROTOCOL),
        ("RST_STREAM on an idle stream", reset(1, code::CANCEL), code::PROTOCOL),
        ("RST_STREAM of 3 bytes", both(open(1), frame(kind::RST_STREAM, 0, 1, &[0; 3])), code::FRAME_SIZE),
        ("SETTINGS on a stream", frame(kind::SETTINGS, 0, 1, &[]), code::PROTOCOL),
        ("SETTINGS of 5 bytes", frame(kind::SETTINGS, 0, 0, &[0; 5]), code::FRAME_SIZE),
        ("SETTINGS ACK that says something", frame(kind::SETTINGS, flag::ACK, 0, &[0; 6]), code::FRAME_SIZE),
        ("SETTINGS: push neither on nor off", settings(&[(2, 2)]), code::PROTOCOL),
        ("SETTINGS: too large a window", settings(&[(INITIAL_WINDOW, 1 << 31)]), code::FLOW_CONTROL),
        ("SETTINGS: too small a frame size", settings(&[(5, 16_383)]), code::PROTOCOL),
        ("SETTINGS: too large a frame size", settings(&[(5, 1 << 24)]), code::PROTOCOL),
        ("PING on a stream", frame(kind::PING, 0, 1, &[0; 8]), code::PROTOCOL),
        ("PING of 7 bytes", frame(kind::PING, 0, 0, &[0; 7]), code::FRAME_SIZE),
        ("GOAWAY on a stream", frame(kind::GOAWAY, 0, 1, &[0; 8]), code::PROTOCOL),
        ("WINDOW_UPDATE by nothing", window_update(0, 0), code::PROTOCOL),
        ("WINDOW_UPDATE beyond the largest", window_update(0, 0x7fff_ffff), code::FLOW_CONTROL),
        ("WINDOW_UPDATE on an idle stream", window_update(1, 1), code::PROTOCOL),
        ("WINDOW_UPDATE of 3 bytes", frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 1]), code::FRAME_SIZE),
        ("a frame over the largest size", frame(kind::DATA, 0, 1, &[0; 16_385]), code::FRAME_SIZE),
        ("HPACK: an index that is not there", frame(kind::HEADERS, END, 1, &[0xff, 0xff, 0x00]), code::COMPRESSION),
        ("HPACK: index 0", frame(kind::HEADERS, END, 1, &[0x80]), code::COMPRESSION),
        ("HPACK: a literal without its end", frame(kind::HEADERS, END, 1, &[0, 9, b'x']), code::COMPRESSION),
        ("HPACK: a table over the limit", frame(kind::HEADERS, END, 1, &[0x3f, 0xe2, 0x1f]), code::COMPRESSION),
    ]
}

#[tokio::test]
async fn row_204_what_breaks_the_connections_rules_ends_the_connection() {
    let gate = Gate::start().await;
    let before = gate.memory();
    let mut wrong = Vec::new();
    for (name, bytes, code) in connection_errors() {
        let mut wire = Wire::greet(gate.address).await;
        wire.send(&bytes).await;
        match wire.last_words().await {
            // RFC 9113 §5.4: a generic code may stand for a more specific one.
            Some(said) if said == code || said == code::PROTOCOL => {}
            said => wrong.push((name, code, said)),
        }
    }
    assert!(wrong.is_empty(), "wanted, said: {wrong:#?}");
    gate.stands(before).await;
}

/// Errors of one stream, each on stream 1: what is said, and the code of the RST_STREAM.
fn stream_errors() -> Vec<(&'static str, Vec<u8>, u32)> {
    let call_with = |more: &[(&str, &str)]| frame(kind::HEADERS, END, 1, &block(CHECK, more));
    let only = |list: &[(&str, &str)]| frame(kind::HEADERS, END, 1, &fields(list));
    let method = (":method", "POST");
    let scheme = (":scheme", "http");
    let path = (":path", CHECK);
    let host = (":authority", "gate.test");
    vec![
        ("a name in upper case", call_with(&[("X-Upper", "1")]), code::PROTOCOL),
        ("a header of one connection", call_with(&[("connection", "keep-alive")]), code::PROTOCOL),
        ("te other than trailers", call_with(&[("te", "gzip")]), code::PROTOCOL),
        ("a pseudo-header after others", call_with(&[(":path", "/")]), code::PROTOCOL),
        ("an unknown pseudo-header", only(&[method, scheme, path, (":test", "1")]), code::PROTOCOL),
        ("a pseudo-header of answers", only(&[method, scheme, path, (":status", "200")]), code::PROTOCOL),
        ("two methods", only(&[method, method, scheme, path]), code::PROTOCOL),
        ("two paths", only(&[method, scheme, path, path]), code::PROTOCOL),
        ("no method", only(&[scheme, path, host]), code::PROTOCOL),
        ("no scheme", only(&[method, path, host]), code::PROTOCOL),
        ("no path", only(&[method, scheme, host]), code::PROTOCOL),
        ("an empty path", only(&[method, scheme, host, (":path", "")]), code::PROTOCOL),
        (
            "less than its content-length",
            [
                frame(kind::HEADERS, flag::END_HEADERS, 1, &block(CHECK, &[("content-length", "1000")])),
                frame(kind::DATA, flag::END_STREAM, 1, &message("/")),
            ]
            .concat(),
            code::PROTOCOL,
        ),
        ("a window that overflows", [open(1), window_update(1, 0x7fff_ffff)].concat(), code::FLOW_CONTROL),
        ("a window opened by nothing", [open(1), window_update(1, 0)].concat(), code::PROTOCOL),
    ]
}

const MAY_END_ALL: [&str; 3] = ["a name in upper case", "an unknown pseudo-header", "a window opened by nothing"];

#[tokio::test]
async fn row_204_what_breaks_a_streams_rules_ends_the_stream_alone() {
    let gate = Gate::start().await;
    let before = gate.memory();
    let mut wrong = Vec::new();
    for (name, bytes, code) in stream_errors() {
        let mut wire = Wire::greet(gate.address).await;
        wire.send(&bytes).await;
        let end = wire.until(|frame| frame.ends(1) || frame.kind == kind::GOAWAY).await;
        match end {
            Some(end) if (end.kind, end.code()) == (kind::RST_STREAM, Some(code)) => wire.answers(3).await,
            // What does not even read as a frame or a header ends the connection; RFC 9113 §5.4.2 allows that for all.
            Some(end) if end.code() == Some(code) && MAY_END_ALL.contains(&name) => {}
            end => wrong.push((name, code, end.map(|end| (end.kind, end.code())))),
        }
    }
    assert!(wrong.is_empty(), "wanted, came: {wrong:?}");
    gate.stands(before).await;
}

/// A call may not go on after its end. Which of the two ends depends on whether it is still being answered.
#[tokio::test]
async fn row_204_nothing_follows_the_end_of_a_stream() {
    let gate = Gate::start().await;
    for (name, bytes) in [
        ("DATA", frame(kind::DATA, flag::END_STREAM, 1, &message("/"))),
        ("HEADERS", frame(kind::HEADERS, END, 1, &block(CHECK, &[]))),
        ("CONTINUATION", frame(kind::CONTINUATION, END, 1, &[])),
    ] {
        let mut wire = Wire::greet(gate.address).await;
        wire.send(&[call(1, "/"), bytes].concat()).await;
        let failed = |frame: &Frame| frame.code().is_some_and(|code| code != code::NO_ERROR);
        let end = wire.until(failed).await.unwrap_or_else(|| panic!("{name}: it ended without a word"));
        assert!(matches!(end.code(), Some(code::STREAM_CLOSED | code::PROTOCOL)), "{name}: {end:?}");
    }
    serves(gate.address).await;
}

#[tokio::test]
async fn row_204_what_is_unknown_or_advice_is_ignored() {
    let gate = Gate::start().await;
    let mut wire = Wire::greet(gate.address).await;
    for (number, bytes) in [
        frame(0xbe, 0xff, 0, b"a frame of no known kind"),
        frame(0xbe, 0xff, 77, b"on a stream of no one"),
        settings(&[(0xbeef, 7), (1, 0)]),
        frame(kind::PRIORITY, 0, 99, &[0, 0, 0, 1, 9]),
        frame(kind::PING, 0xfe, 0, &[7; 8]),
        window_update(0, 1000),
    ]
    .into_iter()
    .enumerate()
    {
        wire.send(&bytes).await;
        wire.answers(2 * number as u32 + 1).await;
    }
    // Reserved bits, and a call in three pieces with padding.
    let whole = block(CHECK, &[]);
    let (first, second) = whole.split_at(20);
    let padded = [&[3][..], &message("/"), &[0; 3]].concat();
    wire.send(&frame(kind::HEADERS, 0, 101, first)).await;
    wire.send(&frame(kind::CONTINUATION, 0, 101, second)).await;
    wire.send(&frame(kind::CONTINUATION, flag::END_HEADERS, 101, &literal("x-more", "1"))).await;
    wire.send(&frame(kind::DATA, flag::END_STREAM | flag::PADDED, 101 | 1 << 31, &padded)).await;
    assert_eq!(wire.answer(101).await.unwrap().status.unwrap().code, 0);
}

/// What is sent on a stream follows its window, at every turn that its settings take.
#[tokio::test]
async fn row_204_answers_keep_to_the_window() {
    let gate = Gate::start().await;
    let data = async |wire: &mut Wire| {
        let frame = wire.until(|frame| frame.kind == kind::DATA && !frame.payload.is_empty()).await;
        frame.expect("a part of an answer").payload.len()
    };
    // The last of several values of one setting counts.
    let values = [(INITIAL_WINDOW, 100), (INITIAL_WINDOW, 10)];
    let mut wire = Wire::greet_with(gate.address, &values).await;
    wire.send(&call(1, "/")).await;
    assert_eq!(data(&mut wire).await, 10);
    // Five less than what has been sent: the window is below zero, and must come above it first.
    wire.send(&settings(&[(INITIAL_WINDOW, 5)])).await;
    wire.send(&window_update(1, 6)).await;
    assert_eq!(data(&mut wire).await, 1);
    wire.send(&settings(&[(INITIAL_WINDOW, 8)])).await;
    assert_eq!(data(&mut wire).await, 3);
    wire.send(&window_update(1, 65_535)).await;
    wire.until(|frame| frame.ends(1)).await.expect("the rest");
}
