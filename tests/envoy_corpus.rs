//! The cases of the corpus that are marked `envoy: true`, through a real Envoy with the shipped configuration: what the
//! client gets, and what the service behind sees.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/gate.rs"]
mod gate;
#[path = "support/mint.rs"]
mod mint;

use corpus::{Case, Corpus, Decided};
use tollgate::demo::client::{Call, Reply};
use tollgate::demo::envoy::{Envoy, Gate, Shipped, find};
use tollgate::demo::upstream::{SeenRequest, Upstream};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_and_the_gate_decide_the_corpus() {
    let binary = find().unwrap().expect("no envoy binary: `make envoy` fetches it, or name one in TOLLGATE_ENVOY");
    let mut count = 0;
    for corpus in Corpus::all() {
        let gate = corpus.gate().await;
        let upstream = Upstream::start(0).await.unwrap();
        let shipped = Shipped::inbound().between(0, 0, upstream.address(), &[Gate::Unix(gate.socket())]).unwrap();
        let patient = shipped.replace(" timeout: 0.25s\n", " timeout: 10s\n").unwrap();
        let envoy = Envoy::start(&binary, patient.text()).await.unwrap();
        for case in corpus.cases().filter(Case::through_envoy) {
            count += 1;
            let reply =
                call(&case).send(envoy.address()).await.unwrap_or_else(|error| panic!("{}: {error}", case.title()));
            let seen = upstream.take_seen();
            let decided = Decided::of_answer(&case.decided_by_engine(&corpus, &gate.engine).await);
            match (decided.allow, seen.as_slice()) {
                (true, [seen]) => passed(&case, &decided, &reply, seen),
                (false, []) => refused(&case, &decided, &reply),
                (allow, seen) => panic!("{}: allow is {allow}, the service saw {seen:?}", case.title()),
            }
        }
        gate.stop().await;
    }
    assert!(count > 40, "{count}");
}

fn call(case: &Case<'_>) -> Call {
    let asked = case.asked();
    let mut call = Call::get(&asked.host, &asked.path).method(asked.method.parse().unwrap());
    for (name, value) in &asked.headers {
        call = call.header(name, std::str::from_utf8(value).unwrap());
    }
    call
}

/// What the service saw is what the decision says: set headers and nothing beside them, removed ones gone.
fn passed(case: &Case<'_>, decided: &Decided, reply: &Reply, seen: &SeenRequest) {
    let title = case.title();
    assert_eq!(reply.status, 200, "{title}");
    for (name, value) in &decided.set {
        assert_eq!(seen.header(name).as_ref(), Some(value), "{title}: {name}");
    }
    for name in &decided.remove {
        assert_eq!(seen.header(name), None, "{title}: {name}");
    }
    for (name, value) in &decided.response_headers {
        assert_eq!(reply.headers.get(name).map(|value| value.to_str().unwrap()), Some(value.as_str()), "{title}");
    }
}

/// What the client got is what the decision says.
fn refused(case: &Case<'_>, decided: &Decided, reply: &Reply) {
    let title = case.title();
    let text = |name: &str| reply.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    if case.asked().is_grpc() {
        // Envoy's own mapping of HTTP statuses to gRPC's.
        let code = match decided.status {
            400 => "13",
            401 => "16",
            403 => "7",
            503 => "14",
            status => panic!("{title}: {status}"),
        };
        assert_eq!(reply.status, 200, "{title}");
        assert_eq!(text("grpc-status").as_deref(), Some(code), "{title}");
        let message = text("grpc-message").unwrap();
        assert!(message.contains(&decided.reason), "{title}: {message}");
        return;
    }
    assert_eq!(reply.status.as_u16(), decided.status, "{title}");
    for name in decided.denied_headers.keys() {
        assert_eq!(text(name).as_ref(), decided.denied_headers.get(name), "{title}: {name}");
    }
    let body = String::from_utf8(reply.body.to_vec()).unwrap();
    assert!(body.contains(&decided.reason), "{title}: {body}");
}
