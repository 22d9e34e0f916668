//! The corpus: cases as data, decided by the pure core, by the engine and over gRPC, which must agree with the data and
//! so with each other. `tests/envoy_corpus.rs` runs the cases marked `envoy: true` through a real Envoy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/gate.rs"]
mod gate;
#[path = "support/mint.rs"]
mod mint;

use corpus::{Corpus, Decided};

#[test]
fn the_pure_core_decides_the_corpus() {
    for corpus in Corpus::all() {
        let table = corpus.config();
        for case in corpus.cases().filter(|case| case.by_core()) {
            case.compare("core", &Decided::of_answer(&case.decided_by_core(&corpus, &table)));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engine_decides_the_corpus() {
    for corpus in Corpus::all() {
        let engine = corpus.engine().await;
        // The second time each token comes from the cache, and nothing may change.
        for pass in ["engine", "engine, cached"] {
            for case in corpus.cases() {
                case.compare(pass, &Decided::of_answer(&case.decided_by_engine(&corpus, &engine).await));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_decides_the_corpus() {
    for corpus in Corpus::all() {
        let gate = corpus.gate().await;
        let mut client = gate.client().await;
        for case in corpus.cases() {
            let response = client.check(case.check_request(&corpus)).await.unwrap_or_else(|status| {
                panic!("{}: an RPC error instead of a decision: {status}", case.title());
            });
            case.compare("gRPC", &Decided::of_response(&response.into_inner()));
        }
        gate.stop().await;
    }
}

#[test]
fn row_161_denials_tell_nothing_of_the_token() {
    let mut looked_at = 0;
    for corpus in Corpus::all() {
        let table = corpus.config();
        for case in corpus.cases() {
            let decided = Decided::of_answer(&case.decided_by_core(&corpus, &table));
            let Some(token) = case.token().filter(|_| !decided.allow) else { continue };
            let said = format!("{}{:?}", decided.body, decided.denied_headers);
            let claims =
                ["alice", "m2m_orders", "org_1", "staging", "dev/null", "scalekit.example/", "keycloak.internal"];
            for secret in token.split('.').filter(|part| !part.is_empty()).chain(claims) {
                assert!(!said.contains(secret), "{}: `{secret}` is in {said}", case.title());
            }
            looked_at += 1;
        }
    }
    assert!(looked_at > 40, "{looked_at}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_162_metadata_stands_under_one_key_of_ours() {
    for corpus in Corpus::all() {
        let gate = corpus.gate().await;
        let mut client = gate.client().await;
        for case in corpus.cases() {
            let response = client.check(case.check_request(&corpus)).await.unwrap().into_inner();
            let metadata = response.dynamic_metadata.unwrap();
            assert_eq!(metadata.fields.keys().collect::<Vec<_>>(), ["tollgate"], "{}", case.title());
        }
        gate.stop().await;
    }
}

#[test]
fn the_corpus_is_not_empty_and_its_cases_have_names_of_their_own() {
    let all = Corpus::all();
    let mut names: Vec<String> = all.iter().flat_map(|corpus| corpus.cases()).map(|case| case.title()).collect();
    assert!(names.len() > 140, "{}", names.len());
    names.sort();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "two cases have one name");
}
