use serde_json::json;

use super::*;
use crate::authn::cache::{ConfigDigest, TokenDigest};
use crate::authn::spec::tests::spec;
use crate::authn::spec::{OpaqueAlphabet, OpaqueFilter, TokenFormat, UnknownBudget};
use crate::clock::SystemClock;
use crate::core::event::Silent;
use crate::net::HttpClient;
use crate::provider::Deps;
use crate::provider::spec::{BreakerSpec, ClientAuth, ClientSpec, ProviderSpec};
use crate::secret::SecretSource;

/// An answer may come after a request looked for it and before the request asks: then nobody is asked again. The
/// provider here cannot be asked at all.
#[tokio::test]
async fn row_181_who_comes_too_late_for_a_flight_finds_what_it_left() {
    let provider = ProviderSpec {
        name: "shop".into(),
        issuer: None,
        metadata: None,
        allowed_hosts: Vec::new(),
        introspection_endpoint: None,
        token_endpoint: None,
        transport: Default::default(),
        timeout: Duration::from_secs(1),
        max_in_flight: 1,
        retries: 0,
        breaker: BreakerSpec { failures: 1, open_for: Duration::from_secs(1) },
    };
    let how = IntrospectionSpec {
        jwts: false,
        client: ClientSpec {
            id: "gate".into(),
            auth: ClientAuth::SecretBasic(SecretSource::Env("NOBODY_SETS_THIS".into())),
        },
        active_for: Duration::from_secs(30),
        inactive_for: Duration::from_secs(5),
        filter: OpaqueFilter { min_bytes: 1, max_bytes: 1024, prefix: "".into(), alphabet: OpaqueAlphabet::Token68 },
        unknown: UnknownBudget { per_second: 1, burst: 9, max_in_flight: 9 },
        stale_for: Duration::ZERO,
    };
    let spec = IssuerSpec { tokens: TokenFormat::Opaque, introspection: Some(how), ..spec() };
    let deps = Deps::new(HttpClient::new(), Arc::new(SystemClock), Arc::new(Silent));
    let provider = Provider::start(provider, &deps);
    let (spec, cache) = (Arc::new(spec.clone()), TokenCache::of(&spec).map(Arc::new).unwrap());
    let introspector = Introspector::of(&spec, Some(&provider), Some(&cache), &deps.events).unwrap();

    let now = Timestamp::from_unix_seconds(1_800_000_000);
    let give_up = Instant::now() + Duration::from_secs(20);
    let ask = |token: &'static str| {
        let key = ConfigDigest::of(&spec).key(&TokenDigest::of(token));
        let introspector = Arc::clone(&introspector);
        (key, async move {
            let question = Question { key, token, own: None, keys: None, now };
            introspector.ask(question, give_up).await.map(drop).map_err(|error| error.reason)
        })
    };
    let claims = json!({ "sub": "alice" }).as_object().cloned().unwrap();
    let good = judge::judge(&spec, None, claims, Duration::from_secs(30), now, &mut Unwatched).unwrap();
    let (key, asked) = ask("good");
    cache.keep(key, &good, now);
    assert_eq!(asked.await, Ok(()));
    let (key, asked) = ask("bad");
    introspector.memory.refuse(key, &inactive().error, now);
    assert_eq!(asked.await, Err(Reason::TokenInactive));
    assert_eq!(ask("unknown").1.await, Err(Reason::IntrospectionUnavailable));
}
