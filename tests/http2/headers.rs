//! Rows 205 and 210: header lists that are larger than they look, and than any call needs.

use crate::gate::Gate;
use crate::wire::{CHECK, HEADER_TABLE, Wire, block, code, fields, flag, frame, kind, literal, open, streams};

/// A header block in as few frames as it takes, that ends the stream.
fn headers(stream: u32, block: &[u8]) -> Vec<u8> {
    let mut pieces = block.chunks(16_384);
    let mut frames = Vec::new();
    let last = block.len().div_ceil(16_384) - 1;
    let end = |number| if number == last { flag::END_HEADERS } else { 0 };
    frames.extend(frame(kind::HEADERS, flag::END_STREAM | end(0), stream, pieces.next().unwrap()));
    for (number, piece) in pieces.enumerate() {
        frames.extend(frame(kind::CONTINUATION, end(number + 1), stream, piece));
    }
    frames
}

/// A peer that lets the gate remember no headers, so that each status is sent in the same way.
async fn forgetful(gate: &Gate) -> Wire {
    Wire::greet_with(gate.address, &[(HEADER_TABLE, 0)]).await
}

/// `:status: 431` by RFC 7541: the name by its index in the static table, then three digits in Huffman's code.
fn is_too_large(payload: &[u8]) -> bool {
    payload.ends_with(&[0x08, 0x83, 0x69, 0x90, 0xff])
}

#[tokio::test]
async fn row_210_header_lists_over_the_limit_are_refused_alone() {
    let gate = Gate::start().await;
    let before = gate.memory();
    let mut wire = forgetful(&gate).await;
    let large = block(CHECK, &[("x-large", &"v".repeat(20_000))]);
    let several = block(CHECK, &[("x-large", &*"v".repeat(5_000)); 6]);
    // Few bytes, and yet many fields: each counts for 32 bytes more than it has (RFC 9113 §6.5.2).
    let many = [block(CHECK, &[]), fields(&vec![("x", "y"); 1_000])].concat();
    for (number, block) in [large, several, many].iter().enumerate() {
        let stream = 4 * number as u32 + 1;
        wire.send(&headers(stream, block)).await;
        let answer = wire.until(|frame| frame.ends(stream)).await.unwrap();
        assert!(answer.kind == kind::HEADERS && is_too_large(&answer.payload), "{answer:?}");
        wire.answers(stream + 2).await;
    }
    // Ten times that is no mistake.
    wire.send(&headers(101, &[block(CHECK, &[]), fields(&vec![("x", "y"); 10_000])].concat())).await;
    assert_eq!(wire.last_words().await, Some(code::ENHANCE_YOUR_CALM));
    gate.stands(before).await;
}

/// One field in the table, named again and again by one byte each: 64 MB of headers in 16 kB.
#[tokio::test]
async fn row_205_a_bomb_of_references_is_not_unpacked() {
    let gate = Gate::start().await;
    let before = gate.memory();
    let mut wire = forgetful(&gate).await;
    let mut planted = literal("x-bomb", &"v".repeat(4_000));
    planted[0] = 0x40;
    wire.send(&headers(1, &[block(CHECK, &[]), planted].concat())).await;
    wire.until(|frame| frame.ends(1)).await.unwrap();
    // Somewhat too large: one call is refused, and the table stays in step.
    for stream in streams(200).map(|id| id + 2) {
        wire.send(&headers(stream, &[block(CHECK, &[]), vec![0x80 | 62; 5]].concat())).await;
        let answer = wire.until(|frame| frame.ends(stream)).await.unwrap();
        assert!(is_too_large(&answer.payload), "{answer:?}");
    }
    wire.answers(1001).await;
    wire.send(&headers(1003, &[block(CHECK, &[]), vec![0x80 | 62; 16_000]].concat())).await;
    assert_eq!(wire.last_words().await, Some(code::ENHANCE_YOUR_CALM));
    gate.stands(before).await;
}

/// Fields that push each other out of the table, and sizes of the table that change with every block.
#[tokio::test]
async fn row_205_a_table_that_always_changes_stays_small() {
    let gate = Gate::start().await;
    let before = gate.memory();
    let mut wire = forgetful(&gate).await;
    for (number, stream) in streams(300).enumerate() {
        let mut changing = vec![0x20, 0x3f, 0xe1, 0x1f];
        changing.extend(block(CHECK, &[]));
        for field in 0..100 {
            let mut planted = literal(&format!("x-{number}-{field}"), &"v".repeat(60));
            planted[0] = 0x40;
            changing.extend(planted);
        }
        wire.send(&headers(stream, &changing)).await;
        wire.until(|frame| frame.ends(stream)).await.unwrap();
    }
    wire.answers(1001).await;
    gate.stands(before).await;
}

/// As many calls as may be open at a time, each with about as many headers as it may have, and then nothing more.
#[tokio::test]
async fn row_210_open_calls_with_large_headers_fit_into_the_bound() {
    let gate = Gate::start().await;
    let before = gate.memory();
    let mut wire = forgetful(&gate).await;
    let large = block(CHECK, &[("x-large", &"v".repeat(15_000))]);
    for stream in streams(1024) {
        let mut call = headers(stream, &large);
        call[4] &= !flag::END_STREAM;
        wire.send(&call).await;
    }
    wire.send(&open(2049)).await;
    wire.until(|frame| frame.stream == 2049).await.expect("it is answered");
    gate.stands(before).await;
}
