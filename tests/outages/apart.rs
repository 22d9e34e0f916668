//! One provider's trouble stays its own: places, breakers, budgets.

use std::time::Duration;

use futures_util::future::join_all;
use tollgate::core::reason::Reason;

use crate::faults::Fault;
use crate::idp::Idp;
use crate::wait::{Looks, until};
use crate::world::{Need, Setting, World, policy, provider, soon};

/// A second issuer with a provider of its own: JWTs that are introspected.
const OTHER: &str = "
  other:
    issuer: OTHER
    keys: { jwks: OTHER/jwks }
    provider: { discovery: true, timeout: 10s }
    introspection: { jwts: true, client: { id: gate, secret_file: secret }, cache: { active: 0s } }
rules:
";

async fn bulkhead(fault: Fault) {
    let (idp, clock) = provider().await;
    let other = Idp::start(&clock).await;
    let setting = Setting { call: "60s", open: "10m", ..Setting::default() };
    let text = policy(Need::Opaque, setting).replace("issuers: [shop]", "issuers: [shop, other]");
    let text = text.replace("\nrules:\n", &OTHER.replace("OTHER", other.issuer()));
    let world = World::with(Need::Opaque, &text, idp, clock).await;
    world.becomes(Reason::Allowed, || other.jwt(), &fault).await;
    let known = world.allowed().await;
    world.idp.fail(fault).await;
    let tokens: Vec<String> = (0..200).map(|_| world.token()).collect();
    let crowd = join_all(tokens.iter().map(|token| world.ask_within(token, Duration::from_secs(2))));
    let others = async {
        for _ in 0..20 {
            let token = other.jwt();
            assert_eq!(world.ask(&token).await, Reason::Allowed, "{fault:?}");
            let answer = world.ask_server(&token, None).await;
            assert_eq!(crate::world::reason(&answer), "allowed", "{fault:?}");
        }
        // Nor does it hold up what is known of its own tokens.
        assert_eq!(world.ask(&known).await, Reason::Allowed, "{fault:?}");
    };
    let (crowd, ()) = tokio::join!(crowd, others);
    let refused = [Reason::IntrospectionUnavailable, Reason::IntrospectionLimited];
    assert!(crowd.iter().all(|reason| refused.contains(reason)), "{fault:?}: {crowd:?}");
    assert_eq!(other.calls().0, 41, "{fault:?}: its answers are not kept");
    let open = |name: &str| world.metric(&format!("tollgate_provider_breaker{{provider=\"{name}\",state=\"open\"}}"));
    assert_eq!(open("other"), 0, "{fault:?}");
    // Who is not known has few places: that is how often it was asked.
    assert!(world.idp.calls().0 <= 1 + 16, "{fault:?}: {}", world.idp.calls().0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_172_one_providers_outage_is_not_anothers() {
    join_all([Fault::Killed, Fault::Hanging].map(bulkhead)).await;
}

fn breaker(world: &World, state: &str) -> bool {
    world.metric(&format!("tollgate_provider_breaker{{provider=\"shop\",state=\"{state}\"}}")) == 1
}

#[tokio::test]
async fn an_open_breaker_spares_the_provider() {
    for need in [Need::Opaque, Need::Jwts, Need::Exchange] {
        let world = World::new(need, Setting { call: "60s", open: "10m", ..Setting::default() }).await;
        world.allowed().await;
        assert!(breaker(&world, "closed") && !breaker(&world, "open"), "{need:?}");
        let before = world.idp.server.count();
        world.idp.fail(Fault::Status500).await;
        while !breaker(&world, "open") {
            assert_eq!(world.ask(&world.token()).await, need.unavailable(), "{need:?}");
        }
        for _ in 0..40 {
            world.both_new(need.unavailable(), &need).await;
        }
        assert!(breaker(&world, "open") && !breaker(&world, "closed"), "{need:?}");
        assert_eq!(world.idp.server.count() - before, 5, "{need:?}: as many failures as are configured");
        let endpoint = if need == Need::Exchange { "token_exchange" } else { "introspection" };
        let spared =
            format!("tollgate_provider_calls_total{{provider=\"shop\",endpoint=\"{endpoint}\",outcome=\"open\"}}");
        assert!(world.metric(&spared) >= 80, "{need:?}");
    }
}

#[tokio::test]
async fn a_breaker_that_is_half_open_lets_one_probe_through_and_closes() {
    for need in [Need::Opaque, Need::Jwts, Need::Exchange] {
        let world = World::new(need, Setting { call: "60s", ..Setting::default() }).await;
        world.allowed().await;
        world.idp.fail(Fault::Status500).await;
        while !breaker(&world, "open") {
            assert_eq!(world.ask(&world.token()).await, need.unavailable(), "{need:?}");
        }
        let switch = world.idp.hold();
        let before = world.idp.server.count();
        // Whoever comes first after the pause asks, and waits.
        let probe = async {
            let mut looks = Looks::at(format!("{need:?}: the probe is let through"));
            loop {
                match world.ask(&world.token()).await {
                    reason if reason == need.allowed() => return,
                    reason => assert_eq!(reason, need.unavailable(), "{need:?}"),
                }
                looks.again().await;
            }
        };
        let crowd = async {
            until(format!("{need:?}: half open"), || breaker(&world, "half_open")).await;
            for _ in 0..25 {
                world.both_new(need.unavailable(), &need).await;
            }
            assert!(breaker(&world, "half_open"), "{need:?}");
            assert_eq!(world.idp.server.count() - before, 1, "{need:?}: one probe, however many ask");
            switch.send_replace(true);
        };
        soon(async { tokio::join!(probe, crowd) }).await;
        assert!(breaker(&world, "closed") && !breaker(&world, "half_open"), "{need:?}");
        world.both_new(need.allowed(), &need).await;
    }
}

#[tokio::test]
async fn a_token_that_is_not_active_opens_no_breaker() {
    let world = World::new(Need::Opaque, Setting { open: "10m", ..Setting::default() }).await;
    for _ in 0..20 {
        let token = world.token();
        world.idp.revoke(&token);
        world.becomes(Reason::TokenInactive, || token.clone(), &"inactive").await;
    }
    assert!(breaker(&world, "closed"));
    world.both_new(Reason::Allowed, &"active").await;
}
