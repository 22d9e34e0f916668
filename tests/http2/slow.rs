//! Rows 205 and 217: peers that take their time.

use crate::gate::Gate;
use crate::wait::Looks;
use crate::wire::{self, CHECK, HEALTH, INITIAL_WINDOW, Wire, block, call, code, flag, frame, kind, message, open};
use crate::wire::{settings, streams};

const END: u8 = flag::END_HEADERS | flag::END_STREAM;

/// Answers that nobody takes: as many as there are streams, and then no more calls are taken.
#[tokio::test]
async fn row_205_answers_to_a_closed_window_are_bounded_and_delivered_in_the_end() {
    let gate = Gate::start().await;
    let before = gate.memory();
    let mut wire = Wire::greet_with(gate.address, &[(INITIAL_WINDOW, 0)]).await;
    for stream in streams(1024) {
        wire.send(&call(stream, "/")).await;
    }
    // Each has begun to be answered: its headers are not held back by the window.
    let mut begun = 0;
    while begun < 1024 {
        wire.until(|frame| frame.kind == kind::HEADERS).await.expect("an answer");
        begun += 1;
    }
    for stream in streams(1000).map(|id| id + 2048) {
        wire.send(&frame(kind::HEADERS, END, stream, &block(CHECK, &[]))).await;
        let refused = wire.until(|frame| frame.stream == stream).await.unwrap();
        assert_eq!(refused.code(), Some(code::REFUSED_STREAM));
    }
    gate.stands(before).await;
    wire.send(&settings(&[(INITIAL_WINDOW, 65_535)])).await;
    let mut ended = 0;
    while ended < 1024 {
        wire.until(|frame| frame.ends(frame.stream)).await.expect("the rest of an answer");
        ended += 1;
    }
    wire.answers(6001).await;
}

/// Calls whose message comes a byte at a time, or not at all: each is answered when its time is over.
#[tokio::test]
async fn row_217_a_message_a_byte_at_a_time_is_answered_at_the_deadline() {
    let gate = Gate::start_with("deadline: 100ms", &[]).await;
    let before = gate.memory();
    let mut wire = Wire::greet(gate.address).await;
    let message = message("/a/very/long/path");
    for stream in streams(500) {
        wire.send(&open(stream)).await;
    }
    let mut looks = Looks::at("all are answered");
    let mut answered = 0;
    for byte in &message {
        for stream in streams(5) {
            wire.send(&frame(kind::DATA, 0, stream, &[*byte])).await;
        }
        looks.again().await;
    }
    while answered < 500 {
        wire.until(|frame| frame.ends(frame.stream)).await.expect("an answer");
        answered += 1;
    }
    wire.answers(2001).await;
    gate.stands(before).await;
}

/// Health checks are asked by anybody, too: their messages are small, and must end.
#[tokio::test]
async fn row_217_health_checks_are_bounded_in_size_and_time() {
    let gate = Gate::start().await;
    let before = gate.memory();
    let mut wire = Wire::greet(gate.address).await;
    let headers = |stream| frame(kind::HEADERS, flag::END_HEADERS, stream, &block(HEALTH, &[]));
    // One that says it is long is not waited for.
    wire.send(&headers(1)).await;
    wire.send(&frame(kind::DATA, 0, 1, &[0, 0, 16, 0, 0, 1])).await;
    wire.until(|frame| frame.ends(1)).await.expect("an answer");
    // One that does not come is not waited for longer than for others.
    for stream in streams(100).map(|id| id + 2) {
        wire.send(&headers(stream)).await;
    }
    for _ in 0..100 {
        wire.until(|frame| frame.ends(frame.stream)).await.expect("an answer");
    }
    wire.answers(1001).await;
    gate.stands(before).await;
}

/// A preface that comes slowly, or not at all: the connection is closed when its time is over, and nothing is left.
#[tokio::test]
async fn row_217_slow_prefaces_are_closed() {
    let gate = Gate::start_with("limits: { tls_handshake: 300ms }", &[]).await;
    let (before, descriptors) = (gate.memory(), gate.descriptors());
    let mut slow = Vec::new();
    for _ in 0..200 {
        slow.push(Wire::connect(gate.address).await);
    }
    let mut looks = Looks::at("they are closed");
    for byte in wire::PREFACE.iter().cycle().take(23) {
        for wire in slow.iter_mut().take(100) {
            // It may be closed by now.
            let _ = wire.try_send(&[*byte]).await;
        }
        looks.again().await;
    }
    for wire in &mut slow {
        assert_eq!(wire.last_words().await, None);
    }
    crate::wait::until("their descriptors are free", || gate.descriptors() <= descriptors).await;
    gate.stands(before).await;
}
