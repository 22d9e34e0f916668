//! Every fault, for everything that a provider is needed for: from the start, after a good time, and coming back.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;
use tollgate::core::reason::Reason;
use tollgate::engine::Readiness;

use crate::faults::Fault;
use crate::idp::ISSUED_FOR;
use crate::world::{Need, Setting, World, policy, provider};

/// Every need with every fault that it can meet.
fn cases() -> Vec<(Need, Fault)> {
    let all = Need::ALL.into_iter().flat_map(|need| Fault::ALL.map(|fault| (need, fault)));
    let meet = |(need, fault): &(Need, Fault)| match fault {
        Fault::EmptyKeySet => need.is_of_keys(),
        // A key set does not name its issuer.
        Fault::WrongIssuer => *need != Need::Jwks,
        _ => true,
    };
    all.filter(meet).collect()
}

/// All cases at once. Each is told of by itself.
async fn all<F: Future<Output = ()> + Send + 'static>(case: impl Fn(Need, Fault) -> F) {
    let cases = cases().into_iter().map(|(need, fault)| (need, fault, tokio::spawn(case(need, fault))));
    let mut failed = Vec::new();
    for (need, fault, case) in cases.collect::<Vec<_>>() {
        if case.await.is_err() {
            failed.push((need, fault));
        }
    }
    assert_eq!(failed, []);
}

/// A key set and metadata are judged by what they are, not by what they are called.
fn harmless(need: Need, fault: Fault) -> bool {
    need.is_of_keys() && fault == Fault::WrongContentType
}

/// More tokens at once, twice: what is asked of a provider that fails is bounded.
async fn crowd(world: &World, what: &(Need, Fault)) {
    const CROWD: usize = 12;
    let (began, before) = (Instant::now(), world.idp.server.count());
    for _ in 0..2 {
        let tokens: Vec<String> = (0..CROWD).map(|_| world.token()).collect();
        join_all(tokens.iter().map(|token| world.ask(token))).await;
    }
    let asked = world.idp.server.count() - before;
    let took = began.elapsed();
    let (need, fault) = *what;
    let probes = |each: Duration| usize::try_from(took.as_millis() / each.as_millis()).unwrap() + 1;
    let most = match need {
        // In the background alone, with growing pauses; requests do not add to that.
        Need::Discovery | Need::Jwks => 2 * probes(Duration::from_millis(250)),
        // One for each failure, at most one a second while requests wait.
        Need::Own => 2 * probes(Duration::from_millis(400)),
        // With a second attempt each; the second crowd finds the breaker open.
        Need::Opaque | Need::Jwts | Need::Exchange if fault.is_down() => 2 * CROWD + probes(Duration::from_millis(200)),
        // It answers, so no breaker opens; few attempts are too slow and made again.
        Need::Opaque | Need::Jwts | Need::Exchange => 3 * CROWD,
    };
    assert!(asked <= most, "{what:?}: {asked} requests in {took:?}, at most {most}");
}

async fn from_the_start(need: Need, fault: Fault) {
    let what = (need, fault);
    let (idp, clock) = provider().await;
    idp.fail(fault).await;
    let world = World::with(need, &policy(need, Setting::of(fault)), idp, clock).await;
    if harmless(need, fault) {
        world.becomes(need.allowed(), || world.token(), &what).await;
        return;
    }
    world.both_new(need.unavailable(), &what).await;
    let ready = world.gate.engine.readiness();
    let waiting = Readiness::WaitingFor(vec!["shop".into()]);
    assert_eq!(ready, if need.is_of_keys() { waiting } else { Readiness::Ready }, "{what:?}");
    crowd(&world, &what).await;
    world.idp.heal().await;
    world.becomes(need.allowed(), || world.token(), &what).await;
    world.both_new(need.allowed(), &what).await;
    assert_eq!(world.gate.engine.readiness(), Readiness::Ready, "{what:?}");
    assert_eq!(world.idp.elsewhere.count(), 0, "{what:?}");
}

/// Rows 73, 75, 177, 178, 188, 190, 191, 196.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_177_and_row_188_and_row_196_an_outage_from_the_start_is_a_503_until_it_is_over() {
    all(from_the_start).await;
}

async fn after_a_good_time(need: Need, fault: Fault) {
    let what = (need, fault);
    let world = World::new(need, Setting::of(fault)).await;
    let known = world.allowed().await;
    world.idp.fail(fault).await;
    world.both_with(&known, need.allowed(), &what).await;
    match need {
        Need::Discovery | Need::Jwks => {
            // The last good keys serve, and know nothing of new ones.
            world.both_new(need.allowed(), &what).await;
            if !harmless(need, fault) {
                let unknown = world.idp.rotated_jwt();
                world.both_with(&unknown, Reason::UnknownKey, &what).await;
                world.both_new(need.allowed(), &what).await;
            }
        }
        Need::Opaque | Need::Jwts => {
            // The endpoint is known already; what it says is another issuer's.
            let lies = fault == Fault::WrongIssuer;
            let refused = if lies { Reason::UnknownIssuer } else { need.unavailable() };
            // A JWT that says who issued it, and an issuer that says otherwise.
            let refused = if lies && need == Need::Jwts { Reason::TokenConflict } else { refused };
            world.both_new(refused, &what).await;
            crowd(&world, &what).await;
            // Its answer has become old.
            world.clock.advance(Duration::from_secs(30));
            world.both_with(&known, refused, &what).await;
        }
        Need::Exchange => {
            // Metadata that were good are kept; the endpoint itself says nothing of an issuer.
            let fine = fault == Fault::WrongIssuer;
            world.both_new(if fine { need.allowed() } else { need.unavailable() }, &what).await;
            crowd(&world, &what).await;
            world.clock.advance(Duration::from_secs(300));
            world.both_with(&known, if fine { need.allowed() } else { need.unavailable() }, &what).await;
        }
        Need::Own => {
            world.clock.advance(Duration::from_secs(ISSUED_FOR.unsigned_abs() - 30));
            world.both_with(&known, need.allowed(), &what).await;
            world.clock.advance(Duration::from_secs(60));
            if fault != Fault::WrongIssuer {
                world.both_with(&known, need.unavailable(), &what).await;
                crowd(&world, &what).await;
            }
        }
    }
    world.idp.heal().await;
    world.becomes(need.allowed(), || world.token(), &what).await;
    world.becomes(need.allowed(), || known.clone(), &what).await;
    if need.is_of_keys() {
        world.idp.rotate();
        world.becomes(need.allowed(), || world.idp.rotated_jwt(), &what).await;
    }
    assert_eq!(world.idp.elsewhere.count(), 0, "{what:?}");
}

/// Rows 73, 74, 75, 177, 178, 187, 193, 196.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_074_and_row_187_and_row_196_after_a_good_time_what_is_known_serves_and_what_is_new_is_a_503() {
    all(after_a_good_time).await;
}

/// Connections that were kept end with the provider. Who asks again is not refused for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_restarts_is_asked_again_at_once() {
    for need in [Need::Opaque, Need::Jwts] {
        let world = World::new(need, Setting { call: "8s", ..Setting::default() }).await;
        world.allowed().await;
        for _ in 0..5 {
            let connections = world.idp.server.connections();
            assert_eq!(world.ask(&world.token()).await, Reason::Allowed, "{need:?}");
            assert_eq!(world.idp.server.connections(), connections, "{need:?}: the connection is kept");
            world.idp.fail(Fault::Killed).await;
            world.idp.heal().await;
            assert_eq!(world.ask(&world.token()).await, Reason::Allowed, "{need:?}");
        }
    }
}
