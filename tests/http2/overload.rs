//! Rows 214 and 216: more calls than there is room for, and callers that are gone before their answer.

use std::net::SocketAddr;
use std::sync::Arc;

use envoy_types::pb::envoy::service::auth::v3::CheckResponse;
use serde_json::json;
use tollgate::config::server::{Address, ServerSpec};
use tollgate::core::reason::Reason;
use tollgate::grpc::{Health, Running, Server};
use tollgate::telemetry::{Exposition, Recorder};

use crate::fixture::{self, Idp, Named, active};
use crate::http::{Answer, http};
use crate::wire::{Wire, bearer, code, flag, frame, kind, open, reset, streams};
use crate::{specs, wait};

/// Calls that may be in flight.
const ROOM: usize = 8;

/// A gate in this process, whose issuer has to be asked and answers when it is let.
struct Asking {
    idp: Idp,
    inner: fixture::Gate,
    recorder: Arc<Recorder>,
    address: SocketAddr,
    let_answer: tokio::sync::watch::Sender<bool>,
    _running: Running,
}

impl Asking {
    async fn start(room: usize) -> Self {
        let idp = Idp::start().await;
        let (let_answer, may_answer) = tokio::sync::watch::channel(false);
        idp.server.set(Answer::When(
            may_answer,
            http(200, &["Content-Type: application/json"], active(&json!({})).to_string()),
        ));
        let unbounded = Named {
            introspection: "unknown: { per_second: 10000, burst: 10000, max_in_flight: 64 }",
            ..Named::new(&idp)
        };
        let inner = fixture::Gate::start(&[unbounded]).await;
        let mut spec: ServerSpec =
            specs::server(vec![specs::listener("127.0.0.1:0", tollgate::core::request::Direction::Inbound)]);
        spec.deadline = crate::wire::PATIENCE;
        spec.limits.max_in_flight = room;
        spec.limits.max_concurrent_streams = 1024;
        let server = Server::bind(&spec).await.unwrap();
        let Address::Tcp(address) = server.addresses()[0] else { panic!("TCP was asked for") };
        let recorder = Arc::new(Recorder::default());
        let running = server.run(Arc::clone(&inner.engine), Arc::clone(&recorder), Health::new());
        Self { idp, inner, recorder, address, let_answer, _running: running }
    }

    fn metric(&self, start: &str) -> u64 {
        let text = self.recorder.exposition(Exposition::Prometheus);
        let samples = text.lines().filter(|line| line.starts_with(start));
        samples.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap() as u64).sum()
    }

    async fn in_flight(&self, number: u64) {
        wait::until(format!("{number} calls in flight"), || self.metric("tollgate_checks_in_flight") == number).await;
    }
}

fn call(stream: u32, token: &str) -> Vec<u8> {
    [open(stream), frame(kind::DATA, flag::END_STREAM, stream, &bearer(token))].concat()
}

fn rpc_code(answer: &CheckResponse) -> i32 {
    answer.status.as_ref().unwrap().code
}

/// Ten times as many calls as there is room for, over ten connections, while those within wait for the issuer.
#[tokio::test]
async fn row_216_calls_beyond_the_room_are_shed_at_once_and_there_is_room_again_at_once() {
    let gate = Asking::start(ROOM).await;
    let mut admitted = Wire::greet(gate.address).await;
    for (number, stream) in streams(ROOM as u32).enumerate() {
        admitted.send(&call(stream, &fixture::opaque(number))).await;
    }
    gate.in_flight(ROOM as u64).await;
    gate.idp.server.saw(ROOM).await;
    for number in 0..9 {
        let mut shed = Wire::greet(gate.address).await;
        for stream in streams(ROOM as u32) {
            shed.send(&call(stream, &fixture::opaque(100 * number + stream as usize))).await;
            // It comes while the others still wait, and says so in an RPC that succeeds.
            let answer = shed.answer(stream).await.unwrap();
            assert_eq!(rpc_code(&answer), 14);
        }
    }
    assert_eq!(gate.metric("tollgate_checks_in_flight"), ROOM as u64);
    assert_eq!(gate.idp.asked(), ROOM, "nobody was asked for the sake of calls that were shed");
    let shed = format!("reason=\"{}\"", Reason::Overloaded.code());
    let text = gate.recorder.exposition(Exposition::Prometheus);
    assert!(text.lines().any(|line| line.contains(&shed) && line.ends_with(&format!(" {}", 9 * ROOM))), "{text}");

    gate.let_answer.send(true).unwrap();
    // In whatever order: each is read from where the others have not been.
    let mut answered = 0;
    while answered < ROOM {
        admitted.until(|frame| frame.ends(frame.stream) && frame.kind == kind::HEADERS).await.expect("an answer");
        answered += 1;
    }
    gate.in_flight(0).await;
    let mut again = Wire::greet(gate.address).await;
    for stream in streams(100) {
        again.send(&call(stream, &fixture::opaque(stream as usize % ROOM))).await;
        assert_eq!(rpc_code(&again.answer(stream).await.unwrap()), 0);
    }
}

/// Calls that are refused before their message is there: the answer comes first, and the rest of each call is taken as if
/// there had been none. More of them than a connection bears resets.
#[tokio::test]
async fn row_216_a_message_that_comes_after_the_refusal_resets_nothing() {
    let gate = Asking::start(1).await;
    let mut admitted = Wire::greet(gate.address).await;
    admitted.send(&call(1, &fixture::opaque(0))).await;
    gate.in_flight(1).await;
    let mut shed = Wire::greet(gate.address).await;
    for first in (0..2_000).step_by(100) {
        let ids = || streams(100).map(|id| id + 2 * first);
        shed.send(&ids().flat_map(open).collect::<Vec<u8>>()).await;
        let mut ended = 0;
        while ended < 100 {
            let frame = shed.until(|frame| frame.ends(frame.stream) || frame.kind == kind::GOAWAY).await.unwrap();
            assert_eq!(frame.kind, kind::HEADERS, "the end of an answer");
            ended += 1;
        }
        let messages = ids().flat_map(|id| frame(kind::DATA, flag::END_STREAM, id, &bearer("late")));
        shed.send(&messages.collect::<Vec<u8>>()).await;
    }
    // Everything before it was read by then.
    shed.send(&call(4_001, &fixture::opaque(1))).await;
    let last = shed.until(|frame| frame.ends(4_001) || frame.kind == kind::RST_STREAM).await.unwrap();
    assert_eq!((last.kind, last.stream), (kind::HEADERS, 4_001));
    gate.let_answer.send(true).unwrap();
    gate.in_flight(0).await;
}

/// Callers that give up while the issuer is asked: by taking back the call, or by going away.
#[tokio::test]
async fn row_214_who_gives_up_while_the_issuer_is_asked_leaves_nothing_behind() {
    let gate = Asking::start(1024).await;
    let token = fixture::opaque(1);
    let mut wire = Wire::greet(gate.address).await;
    // Ever more than may be open at a time, all of them for the one question.
    for round in 0..20 {
        let ids = || streams(50).map(|id| id + 100 * round);
        wire.send(&ids().flat_map(|id| call(id, &token)).collect::<Vec<u8>>()).await;
        gate.in_flight(50).await;
        wire.send(&ids().flat_map(|id| reset(id, code::CANCEL)).collect::<Vec<u8>>()).await;
        gate.in_flight(0).await;
    }
    for _ in 0..20 {
        let mut gone = Wire::greet(gate.address).await;
        gone.send(&call(1, &token)).await;
        gate.in_flight(1).await;
        drop(gone);
        gate.in_flight(0).await;
    }
    assert_eq!(gate.idp.asked(), 1, "they had one question");
    assert_eq!(gate.metric("tollgate_decisions_total"), 0, "who is gone is not answered");
    // The question outlives those who asked it. Its answer is there for the next.
    gate.let_answer.send(true).unwrap();
    wait::until("it is remembered", || gate.inner.events.count("active") == 1).await;
    wire.send(&call(9001, &token)).await;
    assert_eq!(rpc_code(&wire.answer(9001).await.unwrap()), 0);
    assert_eq!(gate.idp.asked(), 1);
}

/// What callers say becomes no label: the metrics have as many lines after a thousand inventions as after one.
#[tokio::test]
async fn row_221_no_invention_of_a_caller_becomes_a_label() {
    let gate = Asking::start(64).await;
    gate.let_answer.send(true).unwrap();
    let mut wire = Wire::greet(gate.address).await;
    let series = |gate: &Asking| gate.recorder.exposition(Exposition::Prometheus).lines().count();
    let mut ask = async |number: u32| {
        // Invented each time: a token, the issuer and key of a JWT, the algorithm.
        let part = |value: serde_json::Value| {
            use base64::Engine as _;
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string())
        };
        let invented = format!("invented{number}");
        let jwt = [
            part(json!({ "alg": invented, "kid": invented, "typ": invented })),
            part(json!({ "iss": invented, "sub": invented, "aud": invented })),
            part(json!("signature")),
        ]
        .join(".");
        for (more, token) in [(0, &*jwt), (2, &*fixture::opaque(number as usize)), (4, "?"), (6, "")] {
            let stream = 8 * number + more + 1;
            wire.send(&call(stream, token)).await;
            wire.answer(stream).await.unwrap();
        }
    };
    ask(0).await;
    let before = series(&gate);
    for number in 1..250 {
        ask(number).await;
    }
    assert_eq!(series(&gate), before);
    let text = gate.recorder.exposition(Exposition::Prometheus);
    assert!(!text.contains("invented") && !text.contains("tok_"), "{text}");
    assert_eq!(gate.metric("tollgate_decisions_total"), 1000);
}
