//! Row 205: frames without end that cost their sender next to nothing.

use crate::gate::Gate;
use crate::wait;
use crate::wire::{self, CHECK, HEALTH, INITIAL_WINDOW, Wire, block, call, code, flag, frame, kind, literal};
use crate::wire::{message, open, reset, settings, streams, window_update};

/// Of frames that are to be ignored, and of those that are to be answered.
const MANY: usize = 200_000;

/// Sends this again and again, as fast as it is taken. False where the connection was ended meanwhile.
async fn flood(wire: &mut Wire, frames: &[u8], times: usize) -> bool {
    let piece = frames.repeat(1000);
    for _ in 0..times / 1000 {
        if wire.try_send(&piece).await.is_err() {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn row_205_frames_that_say_nothing_are_read_and_forgotten() {
    let gate = Gate::start().await;
    let before = gate.memory();
    for frames in [
        // Priorities of streams that are not there, of the same and of ever new ones.
        frame(kind::PRIORITY, 0, 0x7fff_fff1, &[0, 0, 0, 1, 9]),
        streams(100).map(|id| id + 1_000_001).flat_map(|id| frame(kind::PRIORITY, 0, id, &[0, 0, 0, 1, 9])).collect(),
        // Kinds of frames that nobody knows.
        frame(0xbe, 0, 0, b"unknown!"),
        window_update(0, 1),
    ] {
        let mut wire = Wire::greet(gate.address).await;
        let times = MANY * 17 / frames.len();
        assert!(flood(&mut wire, &frames, times).await);
        wire.answers(1).await;
    }
    gate.stands(before).await;
}

/// Each is to be answered. Who does not read the answers is not read from, either.
#[tokio::test]
async fn row_205_pings_and_settings_are_answered_no_faster_than_answers_are_read() {
    let gate = Gate::start().await;
    let before = gate.memory();
    let mut deaf = Vec::new();
    for frames in [frame(kind::PING, 0, 0, &[7; 8]), settings(&[(INITIAL_WINDOW, 65_535), (1, 0), (1, 4096)])] {
        let mut wire = Wire::greet(gate.address).await;
        let piece = frames.repeat(1000);
        // The sockets of both sides hold some megabytes, and then it stops: nothing piles up in between.
        let mut taken = 0;
        let mut looks = crate::wait::Looks::at("it takes no more");
        let mut refused = 0;
        while refused < 100 {
            match wire.send_what_fits(&piece) {
                0 => {
                    refused += 1;
                    looks.again().await;
                }
                bytes => (taken, refused) = (taken + bytes, 0),
            }
            assert!(taken < 256 << 20, "it takes everything");
        }
        deaf.push(wire);
        wire::serves(gate.address).await;
    }
    gate.stands(before).await;
    // Nor does it keep them for ever.
    for wire in deaf {
        let mut looks = crate::wait::Looks::at("it is given up");
        while wire.is_open() {
            looks.again().await;
        }
    }
    gate.stands(before).await;
}

/// An acknowledgement of nothing is no reason for a line in the log.
#[tokio::test]
async fn row_219_acknowledgements_of_nothing_do_not_flood_the_log() {
    let gate = Gate::start().await;
    let before = gate.memory();
    let mut wire = Wire::greet(gate.address).await;
    assert!(flood(&mut wire, &frame(kind::PING, flag::ACK, 0, b"not sent"), 10_000).await);
    wire.answers(1).await;
    gate.stands(before).await;
    assert!(gate.lines("").len() < 20, "{:#?}", gate.lines("").last());
}

#[tokio::test]
async fn row_205_empty_and_tiny_pieces_of_a_message_have_an_end() {
    let gate = Gate::start().await;
    let before = gate.memory();
    let empty = frame(kind::DATA, 0, 1, &[]);
    let padding = frame(kind::DATA, flag::PADDED, 1, &[&[255][..], &[0; 255]].concat());
    let headers = frame(kind::HEADERS, flag::END_HEADERS, 1, &block(HEALTH, &[]));
    for pieces in [empty, padding] {
        for first in [open(1), headers.clone()] {
            let mut wire = Wire::greet(gate.address).await;
            wire.send(&first).await;
            flood(&mut wire, &pieces, 20_000).await;
            // Either it ended the connection, or it reads on and answers.
            let _ = wire.try_send(&call(3, "/")).await;
            let end = wire.until(|frame| frame.ends(3) || frame.kind == kind::GOAWAY).await;
            if let Some(end) = end.filter(|end| end.kind == kind::GOAWAY) {
                assert!(matches!(end.code(), Some(code::ENHANCE_YOUR_CALM | code::PROTOCOL)), "{end:?}");
            }
        }
    }
    gate.stands(before).await;
}

/// A header block that does not end.
#[tokio::test]
async fn row_205_continuations_without_end_end_the_connection() {
    let gate = Gate::start().await;
    let before = gate.memory();
    let filler = literal("x-filler", &"v".repeat(16_000));
    for piece in [Vec::new(), literal("x", "y"), filler] {
        let mut wire = Wire::greet(gate.address).await;
        wire.send(&frame(kind::HEADERS, 0, 1, &block(CHECK, &[]))).await;
        flood(&mut wire, &frame(kind::CONTINUATION, 0, 1, &piece), MANY / 10).await;
        let said = wire.last_words().await;
        assert!(matches!(said, None | Some(code::ENHANCE_YOUR_CALM | code::COMPRESSION)), "{said:?}");
    }
    // The code itself, where nothing is sent after it.
    let mut wire = Wire::greet(gate.address).await;
    let mut pieces = frame(kind::HEADERS, 0, 1, &block(CHECK, &[]));
    pieces.extend(frame(kind::CONTINUATION, 0, 1, &[]).repeat(6));
    wire.send(&pieces).await;
    assert_eq!(wire.last_words().await, Some(code::ENHANCE_YOUR_CALM));
    gate.stands(before).await;
}

/// A call whose six header fields go into the table of HPACK.
fn remembered(stream: u32) -> Vec<u8> {
    let mut block = block(CHECK, &[]);
    let mut at = 0;
    while at < block.len() {
        block[at] = 0x40;
        at += 1;
        for _ in 0..2 {
            assert!(block[at] < 127);
            at += 1 + usize::from(block[at]);
        }
    }
    frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, &block)
}

/// The block of such a call when it is made again.
const AGAIN: [u8; 6] = [0x80 | 67, 0x80 | 66, 0x80 | 65, 0x80 | 64, 0x80 | 63, 0x80 | 62];

/// CVE-2023-44487. The gate stands still while the calls are made and taken back, so that all of them wait at once.
#[tokio::test]
async fn row_205_rapid_resets_end_the_connection() {
    let gate = Gate::start().await;
    let before = gate.memory();
    for end in [0, flag::END_STREAM] {
        let mut wire = Wire::greet(gate.address).await;
        wire.send(&remembered(1)).await;
        wire.until(|frame| frame.ends(1)).await.unwrap();
        gate.hold().await;
        let one = |id| [frame(kind::HEADERS, flag::END_HEADERS | end, id, &AGAIN), reset(id, code::CANCEL)].concat();
        wire.send(&streams(1100).flat_map(|id| one(id + 2)).collect::<Vec<u8>>()).await;
        gate.go_on();
        assert_eq!(wire.last_words().await, Some(code::ENHANCE_YOUR_CALM));
    }
    gate.stands(before).await;
}

/// The same at the pace at which the gate reads. Calls that were taken back are in memory until their turn comes to
/// notice; three hundred thousand of them are no more at one time than thirty thousand.
#[tokio::test]
async fn row_205_three_hundred_thousand_resets_leave_nothing_behind() {
    let gate = Gate::start().await;
    let before = gate.memory();
    let mut made = 0;
    while made < 300_000 {
        let mut wire = Wire::greet(gate.address).await;
        for first in (0..20_000).step_by(100) {
            let pairs = streams(100).map(|id| id + 2 * first);
            let pairs = pairs.flat_map(|id| [open(id), reset(id, code::CANCEL)].concat());
            made += 100;
            if wire.try_send(&pairs.collect::<Vec<u8>>()).await.is_err() {
                break;
            }
        }
    }
    gate.stands(before).await;
}

/// CVE-2025-8671: the client has the gate itself reset the calls, which then do not count among those that are open.
#[tokio::test]
async fn row_205_streams_that_the_gate_is_made_to_reset_are_counted_too() {
    let gate = Gate::start().await;
    let before = gate.memory();
    let overflow = |id| [open(id), window_update(id, 0x7fff_ffff)].concat();
    let nothing = |id| [open(id), window_update(id, 0)].concat();
    let own_father =
        |id: u32| [open(id), frame(kind::PRIORITY, 0, id, &[&id.to_be_bytes()[..], &[9]].concat())].concat();
    let after_end = |id| [call(id, "/"), frame(kind::DATA, 0, id, &message("/"))].concat();
    let malformed = |id| frame(kind::HEADERS, flag::END_HEADERS, id, &block(CHECK, &[(":path", "/")]));
    for make in [&overflow as &dyn Fn(u32) -> Vec<u8>, &nothing, &own_father, &after_end, &malformed] {
        let mut wire = Wire::greet(gate.address).await;
        for first in (0..5_000).step_by(100) {
            let calls: Vec<u8> = streams(100).flat_map(|id| make(id + 2 * first)).collect();
            if wire.try_send(&calls).await.is_err() {
                break;
            }
        }
        // It ends, that is. What was said before may be lost where more was sent meanwhile.
        let said = wire.last_words().await;
        assert!(matches!(said, None | Some(code::ENHANCE_YOUR_CALM | code::PROTOCOL)), "{said:?}");
    }
    gate.stands(before).await;
}

/// Calls that are refused for want of room, and of which nothing more comes: what is left of them is bounded, and goes.
#[tokio::test]
async fn row_205_refused_calls_whose_message_never_comes_leave_nothing_behind() {
    let gate = Gate::start_with("limits: { max_in_flight: 1 }\n  deadline: 20s", &[]).await;
    let (before, open_files) = (gate.memory(), gate.descriptors());
    for _ in 0..10 {
        let mut wire = Wire::greet(gate.address).await;
        wire.send(&streams(1_000).flat_map(open).collect::<Vec<u8>>()).await;
        // All but the first, which has the room, are answered although nothing came of them.
        let mut answered = 0;
        while answered < 999 {
            let frame = wire.until(|frame| frame.ends(frame.stream) || frame.kind == kind::GOAWAY).await.unwrap();
            assert_eq!(frame.kind, kind::HEADERS, "the end of an answer");
            answered += 1;
        }
    }
    // The last one's first call has the room until it is seen that the caller is gone.
    wait::until("they are gone", || gate.descriptors() <= open_files).await;
    gate.stands(before).await;
}

/// Streams over the limit that was told are refused, and those within it are served.
#[tokio::test]
async fn row_205_streams_over_the_limit_are_refused_alone() {
    let gate = Gate::start_with("limits: { max_concurrent_streams: 10 }\n  deadline: 20s", &[]).await;
    let before = gate.memory();
    let mut wire = Wire::greet(gate.address).await;
    // Held still, so that none is answered, for want of its message, before the last is there.
    gate.hold().await;
    wire.send(&streams(15).flat_map(open).collect::<Vec<u8>>()).await;
    gate.go_on();
    let mut refused = Vec::new();
    while refused.len() < 5 {
        let frame = wire.until(|frame| frame.kind == kind::RST_STREAM || frame.kind == kind::GOAWAY).await.unwrap();
        assert_eq!((frame.kind, frame.code()), (kind::RST_STREAM, Some(code::REFUSED_STREAM)));
        refused.push(frame.stream);
    }
    assert_eq!(refused, [21, 23, 25, 27, 29]);
    for id in streams(10) {
        wire.send(&frame(kind::DATA, flag::END_STREAM, id, &message("/"))).await;
        assert_eq!(wire.answer(id).await.unwrap().status.unwrap().code, 0);
    }
    wire.answers(31).await;
    gate.stands(before).await;
}
