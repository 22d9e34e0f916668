use super::*;
use crate::authn::Issuer;
use crate::authn::spec::IssuerSpec;
use crate::core::reason::Reason;

const NOW: i64 = 1_800_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(NOW + seconds)
}

fn spec(max_bytes: u64) -> ExchangeCacheSpec {
    ExchangeCacheSpec { max_age: Duration::from_secs(300), margin: Duration::from_secs(10), max_bytes }
}

fn granted(token: &str, expires_at: Option<i64>) -> Granted {
    Granted { token: Secret::new(token), expires_at: expires_at.map(at), jwt: None, scope: None }
}

fn issuer(name: &str) -> Arc<Issuer> {
    let path = |text: &str| crate::core::principal::ClaimPath::dotted(text).unwrap();
    let spec = IssuerSpec {
        name: name.into(),
        issuer: crate::authn::spec::IssuerClaim::Absent,
        keys: crate::authn::spec::KeySource::None,
        algorithms: Vec::new(),
        kid_optional: false,
        times_in_strings: false,
        leeway: Duration::ZERO,
        max_lifetime: None,
        rfc9068: false,
        claims: crate::authn::spec::ClaimMapping {
            subject: path("sub"),
            client: Vec::new(),
            scopes: Vec::new(),
            roles: Vec::new(),
            service: None,
            tenant: None,
            extra: Vec::new(),
            audience: path("aud"),
        },
        wildcard_scope: None,
        credential: crate::authn::spec::CredentialSource::Authorization,
        max_token_bytes: 8192,
        cache: crate::authn::spec::TokenCacheSpec { max_age: Duration::ZERO, max_bytes: 0 },
        tokens: crate::authn::spec::TokenFormat::Opaque,
        introspection: None,
        provider: None,
        ready_without_keys: false,
    };
    Issuer::start(spec, &deps()).unwrap()
}

fn deps() -> crate::provider::Deps {
    crate::provider::Deps::new(
        crate::net::HttpClient::new(),
        Arc::new(crate::clock::SystemClock),
        Arc::new(crate::core::event::Silent),
    )
}

fn own_subject(expires_at: i64) -> OwnSubject {
    OwnSubject { token: Secret::new("s"), expires_at: at(expires_at), issuer: issuer("shop"), sub: None }
}

const KEY: Key = Key([7; 32]);

#[test]
fn row_199_an_entry_serves_until_the_first_of_its_ends_less_the_margin() {
    for (token, subject, last) in
        [(Some(3600), 3600, 299), (Some(100), 3600, 89), (Some(3600), 100, 89), (Some(100), 60, 49)]
    {
        for (seconds, hit) in [(0, true), (last, true), (last + 1, false), (-1, false), (-3600, false)] {
            let cache = ExchangeCache::new(&spec(1 << 20));
            cache.keep(KEY, &granted("new", token), &own_subject(subject), at(0));
            let found = cache.find(&KEY, at(seconds));
            assert_eq!(found.is_some(), hit, "{token:?} {subject} at {seconds}");
            // What was once found dead stays so.
            assert_eq!(cache.find(&KEY, at(0)).is_some(), hit, "{token:?} {subject} after {seconds}");
        }
    }
}

#[test]
fn what_ends_at_once_or_does_not_say_when_is_not_kept() {
    for (token, subject) in [(None, 3600), (Some(10), 3600), (Some(3600), 10), (Some(-5), 3600), (Some(3600), -5)] {
        let cache = ExchangeCache::new(&spec(1 << 20));
        cache.keep(KEY, &granted("new", token), &own_subject(subject), at(0));
        assert!(cache.find(&KEY, at(0)).is_none(), "{token:?} {subject}");
        assert_eq!(cache.settle().0, 0);
    }
}

#[test]
fn row_218_the_bound_holds_in_bytes() {
    let cache = ExchangeCache::new(&spec(64 << 10));
    let (mut bytes, subject) = (0, own_subject(3600));
    for index in 0_u16..1_000 {
        let token = "x".repeat(usize::from(index) * 7 % 4000);
        bytes += token.len();
        let mut key = [0; 32];
        key[..2].copy_from_slice(&index.to_be_bytes());
        cache.keep(Key(key), &granted(&token, Some(3600)), &subject, at(0));
    }
    let (entries, weight) = cache.settle();
    assert!(bytes > 1 << 20, "the flood must be larger than the room");
    assert!(weight <= 64 << 10, "{weight}");
    assert!((1..=128).contains(&entries), "{entries}");
}

#[test]
fn row_198_keys_differ_in_every_part() {
    use super::super::tests::exchange;
    use crate::outbound::spec::TokenSpec;
    use crate::provider::Provider;
    use crate::provider::spec::{BreakerSpec, ProviderSpec};

    let provider = |endpoint: &str| ProviderSpec {
        name: "shop".into(),
        issuer: None,
        metadata: None,
        allowed_hosts: Vec::new(),
        introspection_endpoint: None,
        token_endpoint: Some(endpoint.parse().unwrap()),
        transport: Default::default(),
        timeout: Duration::from_secs(1),
        max_in_flight: 1,
        retries: 0,
        breaker: BreakerSpec { failures: 1, open_for: Duration::from_secs(1) },
    };
    let terms = |spec: TokenSpec, endpoint: &str| {
        let provider = Provider::start(provider(endpoint), &deps());
        Terms::of(&Requester::new(spec, provider, Vec::new(), &deps()))
    };
    let one = "https://one.example/token";
    let change = |edit: fn(&mut TokenSpec)| {
        let mut spec = exchange();
        edit(&mut spec);
        terms(spec, one)
    };
    let all = [
        terms(exchange(), one),
        terms(exchange(), "https://two.example/token"),
        change(|spec| spec.audience = vec!["ledger".into()]),
        change(|spec| spec.audience = vec!["payments".into(), "ledger".into()]),
        change(|spec| spec.audience = vec!["payments ledger".into()]),
        change(|spec| spec.scopes.clear()),
        change(|spec| spec.scopes.push("more".into())),
        change(|spec| spec.resources.push("https://one.example/".into())),
        change(|spec| spec.client.id = "other".into()),
        change(|spec| spec.expect_audience = None),
        change(|spec| spec.also_granted.clear()),
        change(|spec| {
            let crate::outbound::spec::Grant::Exchange(grant) = &mut spec.grant else { panic!() };
            grant.requested_token_type = Some(TokenType::Jwt);
        }),
    ];
    let (shop, other) = (issuer("shop"), issuer("other"));
    let principal = principal();
    let actors = [
        None,
        Some((Secret::new("a"), TokenType::AccessToken)),
        Some((Secret::new("a"), TokenType::Jwt)),
        Some((Secret::new("b"), TokenType::Jwt)),
    ];
    let mut keys = Vec::new();
    for terms in &all {
        for issuer in [&shop, &other] {
            for token in ["t", "tt", "T"] {
                let subject = Subject { token, expires_at: at(0), issuer, principal: &principal };
                keys.extend(actors.iter().map(|actor| terms.key(&subject, actor.as_ref()).0));
            }
        }
    }
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), count);
    assert_eq!(count, all.len() * 2 * 3 * 4);
    let subject = Subject { token: "t", expires_at: at(99), issuer: &shop, principal: &principal };
    let again = terms(exchange(), one).key(&subject, None);
    assert!(keys.contains(&again.0), "the same is the same");
}

fn principal() -> crate::core::principal::Principal {
    crate::core::principal::Parts::of(&"shop".into()).into()
}

#[test]
fn a_refusal_is_told_again_for_a_moment() {
    let cache = ExchangeCache::new(&spec(0));
    assert!(cache.refusal(&KEY).is_none());
    let error = AuthnError::new(Reason::ExchangeDenied, "no");
    cache.refuse(KEY, error.clone());
    assert_eq!(cache.refusal(&KEY), Some(error));
    assert!(cache.refusal(&Key([8; 32])).is_none());
}
