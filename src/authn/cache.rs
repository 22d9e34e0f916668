//! Tokens that were found valid, for a while: bounded in bytes, and judged again on every hit.
//!
//! Only valid tokens are kept, so a flood of bad ones displaces nothing. An entry is never used at or after the token's
//! `exp`, nor beyond the configured age, nor once the key that verified it would no longer do so. A clock that was
//! set back makes entries from its future unusable; moka's own monotonic time-to-live bounds them as well.
//!
//! Tokens that their issuer was asked about are kept here, too, with or without a key, for as long as its answer may be
//! used. Where the configuration lets answers serve on in an outage they stay for that long, and are only found by who
//! asks for stale ones.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Context, SHA256};
use moka::Expiry;
use moka::sync::Cache;
use serde_json::{Map, Value};

use super::claims;
use super::jwt::Verified;
use super::keys::KeySet;
use super::spec::IssuerSpec;
use crate::clock::Timestamp;

/// A request that looked at its clock this long before another one did may find what that one left behind. Beyond it, the
/// clock was set back.
pub(super) const EARLIER: Duration = Duration::from_millis(500);

/// One issuer's cache.
#[derive(Debug)]
pub(super) struct TokenCache {
    entries: Cache<Key, Arc<Entry>>,
    /// For tokens that are verified by their signature.
    max_age: Duration,
    /// For those that their issuer was asked about: fresh, and stale beyond that.
    answers: (Duration, Duration),
    leeway: Duration,
}

/// A digest of everything that an issuer's configuration says.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConfigDigest([u8; 32]);

/// SHA-256 over the whole token and everything that the issuer's configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

/// A token's digest, to be completed for each issuer's cache that is asked.
#[derive(Clone)]
pub(super) struct TokenDigest(Context);

impl TokenDigest {
    pub(super) fn of(token: &str) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(token.as_bytes());
        Self(context)
    }

    /// A name for it that no configuration has a part in.
    pub(super) fn alone(self) -> Key {
        Key(finish(self.0))
    }
}

#[derive(Debug)]
struct Entry {
    verified: Verified,
    validated_at: Timestamp,
    fresh_for: Duration,
    time_to_live: Duration,
    weight: u32,
}

impl ConfigDigest {
    pub(super) fn of(spec: &IssuerSpec) -> Self {
        Self(digest(spec))
    }

    pub(super) fn key(&self, token: &TokenDigest) -> Key {
        let mut context = token.0.clone();
        context.update(&self.0);
        Key(finish(context))
    }
}

impl TokenCache {
    /// `None` where the configuration gives it no room or no time.
    pub(super) fn of(spec: &IssuerSpec) -> Option<Self> {
        if spec.cache.max_bytes == 0 || spec.cache.max_age.is_zero() {
            return None;
        }
        let entries = Cache::builder()
            .max_capacity(spec.cache.max_bytes)
            .weigher(|_: &Key, entry: &Arc<Entry>| entry.weight)
            .expire_after(TimeToLive)
            .build();
        let max_age = spec.cache.max_age;
        let answers = spec.introspection.as_ref().map(|how| (how.active_for.min(max_age), how.stale_for));
        Some(Self { entries, max_age, answers: answers.unwrap_or_default(), leeway: spec.leeway })
    }

    /// The valid token with this digest, if it is known and as good as if it were validated now. Without `keys`, only
    /// one that none was needed for.
    pub(super) fn find(&self, key: &Key, keys: Option<&KeySet>, now: Timestamp) -> Option<Verified> {
        let entry = self.usable(key, keys, now)?;
        (now.since(entry.validated_at) < entry.fresh_for).then(|| entry.verified.clone())
    }

    /// As [`TokenCache::find`], also where the issuer's answer is older than it may be, within the time for which the
    /// configuration lets it serve all the same.
    pub(super) fn find_stale(&self, key: &Key, keys: Option<&KeySet>, now: Timestamp) -> Option<Verified> {
        self.usable(key, keys, now).map(|entry| entry.verified.clone())
    }

    fn usable(&self, key: &Key, keys: Option<&KeySet>, now: Timestamp) -> Option<Arc<Entry>> {
        let entry = self.entries.get(key)?;
        let verified = &entry.verified;
        let signed = match (verified.key(), keys) {
            (None, _) => true,
            (Some(used), Some(keys)) => used.is_in(keys),
            // No keys at the moment: they may come back.
            (Some(_), None) => return None,
        };
        let usable = signed
            && entry.validated_at <= now.saturating_add(EARLIER)
            && now.since(entry.validated_at) < entry.time_to_live
            && verified.expires_at().is_none_or(|exp| now < exp)
            && claims::is_begun(verified.not_before(), now, self.leeway);
        if !usable {
            self.entries.invalidate(key);
            return None;
        }
        Some(entry)
    }

    /// Keeps a token that was valid at `now`.
    pub(super) fn keep(&self, key: Key, verified: &Verified, now: Timestamp) {
        let (fresh_for, stale_for) =
            if verified.is_introspected() { self.answers } else { (self.max_age, Duration::ZERO) };
        let left = verified.expires_at().map_or(Duration::MAX, |exp| exp.since(now));
        let time_to_live = fresh_for.saturating_add(stale_for).min(left);
        if time_to_live.is_zero() {
            self.forget(&key);
            return;
        }
        let weight = u32::try_from(OVERHEAD + object_bytes(verified.claims()) * 2).unwrap_or(u32::MAX);
        let (verified, validated_at) = (verified.clone(), now);
        self.entries.insert(key, Arc::new(Entry { verified, validated_at, fresh_for, time_to_live, weight }));
    }

    /// Drops a token that is no longer good.
    pub(super) fn forget(&self, key: &Key) {
        self.entries.invalidate(key);
    }

    #[cfg(test)]
    fn settle(&self) -> (u64, u64) {
        self.entries.run_pending_tasks();
        (self.entries.entry_count(), self.entries.weighted_size())
    }
}

struct TimeToLive;

impl Expiry<Key, Arc<Entry>> for TimeToLive {
    fn expire_after_create(&self, _: &Key, entry: &Arc<Entry>, _: Instant) -> Option<Duration> {
        Some(entry.time_to_live)
    }

    fn expire_after_update(&self, _: &Key, entry: &Arc<Entry>, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(entry.time_to_live)
    }
}

/// What an entry takes beside its claims: moka's table, queues and timer, the reference counts, the principal's fields.
const OVERHEAD: usize = 1024;

/// A node of the map holds eleven members, used or not.
const NODE_BYTES: usize = 11 * (size_of::<String>() + size_of::<Value>()) + 16;

/// About what claims take on the heap. The principal repeats some of them: the caller doubles this.
fn object_bytes(map: &Map<String, Value>) -> usize {
    let members: usize = map.iter().map(|(name, value)| name.len() + value_bytes(value)).sum();
    map.len().div_ceil(6) * NODE_BYTES + members
}

fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len() + 16,
        Value::Array(items) => 16 + items.iter().map(|item| size_of::<Value>() + value_bytes(item)).sum::<usize>(),
        Value::Object(map) => object_bytes(map),
    }
}

/// A digest of everything in a spec. Claim paths print alike where one name holds a dot, so they are hashed as well.
fn digest(spec: &IssuerSpec) -> [u8; 32] {
    let mut hasher = Sha256Hasher(Context::new(&SHA256));
    hasher.write(format!("{spec:?}").as_bytes());
    let mapping = &spec.claims;
    mapping.subject.hash(&mut hasher);
    mapping.audience.hash(&mut hasher);
    (&mapping.client, &mapping.scopes, &mapping.roles).hash(&mut hasher);
    (&mapping.service, &mapping.tenant, &mapping.extra).hash(&mut hasher);
    finish(hasher.0)
}

struct Sha256Hasher(Context);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Not asked for: the whole digest is.
    fn finish(&self) -> u64 {
        0
    }
}

fn finish(context: Context) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;
    use crate::authn::jwt;
    use crate::authn::spec::{
        Algorithm, ClaimMapping, CredentialSource, IssuerClaim, KeySource, TokenCacheSpec, TokenFormat,
    };
    use crate::core::principal::ClaimPath;

    const NOW: i64 = 1_800_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(NOW + seconds)
    }

    fn spec(max_bytes: u64) -> IssuerSpec {
        let path = |text: &str| ClaimPath::dotted(text).unwrap();
        IssuerSpec {
            name: "shop".into(),
            issuer: IssuerClaim::Absent,
            keys: KeySource::JwksFile("jwks.json".into()),
            algorithms: vec![Algorithm::EdDSA],
            kid_optional: true,
            times_in_strings: false,
            leeway: Duration::from_secs(30),
            max_lifetime: None,
            rfc9068: false,
            claims: ClaimMapping {
                subject: path("sub"),
                client: vec![path("azp")],
                scopes: vec![path("scope")],
                roles: vec![],
                service: None,
                tenant: Some(path("a.b")),
                extra: vec![],
                audience: path("aud"),
            },
            wildcard_scope: None,
            credential: CredentialSource::Authorization,
            max_token_bytes: 64 << 10,
            cache: TokenCacheSpec { max_age: Duration::from_secs(300), max_bytes },
            tokens: TokenFormat::Jwt,
            introspection: None,
            provider: None,
            ready_without_keys: false,
        }
    }

    struct Mint(Ed25519KeyPair);

    impl Mint {
        fn new() -> Self {
            Self(Ed25519KeyPair::generate().unwrap())
        }

        fn keys(&self, kid: &str) -> KeySet {
            let x = URL_SAFE_NO_PAD.encode(self.0.public_key().as_ref());
            let jwks = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x }] });
            KeySet::from_jwks(jwks.to_string().as_bytes()).unwrap().set
        }

        fn token(&self, claims: &Value) -> String {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let signed = format!("{}.{}", part(&json!({ "alg": "EdDSA", "kid": "k" })), part(claims));
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(self.0.sign(signed.as_bytes())))
        }
    }

    /// A cache that holds one token of these claims, since [`NOW`].
    fn holding(claims: &Value) -> (TokenCache, Key, KeySet, Mint) {
        let (spec, mint) = (spec(1 << 20), Mint::new());
        let (token, keys) = (mint.token(claims), mint.keys("k"));
        let cache = TokenCache::of(&spec).unwrap();
        let key = ConfigDigest::of(&spec).key(&TokenDigest::of(&token));
        cache.keep(key, &jwt::validate(&spec, &keys, &token, at(0)).unwrap(), at(0));
        (cache, key, keys, mint)
    }

    #[test]
    fn an_entry_serves_between_its_start_and_the_first_of_its_ends() {
        for (claims, last) in [
            (json!({ "exp": NOW + 60 }), 59),
            (json!({ "exp": NOW + 3600 }), 299),
            (json!({ "exp": NOW + 3600, "nbf": NOW + 20 }), 299),
        ] {
            for (seconds, hit) in [(0, true), (last, true), (last + 1, false), (-1, false), (-3600, false)] {
                let (cache, key, keys, _) = holding(&claims);
                assert_eq!(cache.find(&key, Some(&keys), at(seconds)).is_some(), hit, "{claims} at {seconds}");
                // What was once found dead stays so.
                assert_eq!(cache.find(&key, Some(&keys), at(0)).is_some(), hit, "{claims} after {seconds}");
            }
        }
    }

    /// Of a thousand at once, some looked at their clock before the one that found the token valid.
    #[test]
    fn who_came_a_moment_earlier_finds_an_entry_as_well() {
        let (cache, key, keys, _) = holding(&json!({ "exp": NOW + 3600 }));
        assert!(cache.find(&key, Some(&keys), at(0).saturating_sub(Duration::from_millis(200))).is_some());
        assert!(cache.find(&key, Some(&keys), at(0)).is_some());
    }

    #[test]
    fn a_token_within_its_leeway_is_not_kept() {
        let (cache, key, keys, _) = holding(&json!({ "exp": NOW - 10 }));
        assert!(cache.find(&key, Some(&keys), at(0)).is_none());
        assert_eq!(cache.settle().0, 0);
    }

    #[test]
    fn an_entry_dies_with_its_key() {
        let claims = json!({ "exp": NOW + 3600 });
        for (other_key, kid, hit) in [(false, "k", true), (false, "renamed", false), (true, "k", false)] {
            let (cache, key, _, mint) = holding(&claims);
            let keys = if other_key { Mint::new().keys(kid) } else { mint.keys(kid) };
            assert_eq!(cache.find(&key, Some(&keys), at(1)).is_some(), hit, "{other_key} {kid}");
        }
        let (cache, key, ..) = holding(&claims);
        assert!(cache.find(&key, Some(&KeySet::default()), at(1)).is_none());
    }

    #[test]
    fn row_218_the_bound_holds_in_bytes() {
        let (spec, mint) = (spec(256 << 10), Mint::new());
        let (cache, keys) = (TokenCache::of(&spec).unwrap(), mint.keys("k"));
        let mut bytes_sent = 0;
        for index in 0..2_000 {
            let token = mint.token(&json!({ "exp": NOW + 3600, "jti": index, "pad": "x".repeat(index % 4000) }));
            let verified = jwt::validate(&spec, &keys, &token, at(0)).unwrap();
            cache.keep(ConfigDigest::of(&spec).key(&TokenDigest::of(&token)), &verified, at(0));
            bytes_sent += token.len();
        }
        let (entries, weight) = cache.settle();
        assert!(bytes_sent > 2 << 20, "the flood must be larger than the room");
        assert!(weight <= 256 << 10, "{weight}");
        assert!((1..=256).contains(&entries), "{entries}");
    }

    #[test]
    fn keys_differ_by_token_and_by_configuration() {
        let base = spec(1);
        let mut longer = base.clone();
        longer.leeway += Duration::from_millis(1);
        let mut whole = base.clone();
        // Prints like the nested path that it replaces.
        whole.claims.tenant = ClaimPath::new(["a.b"]);
        let mut keys = Vec::new();
        for spec in [&base, &longer, &whole] {
            let config = ConfigDigest::of(spec);
            keys.extend(["a.b.c", "a.b.cc", "a.b.C"].map(|token| config.key(&TokenDigest::of(token)).0));
        }
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 9);
        let twin = ConfigDigest::of(&base.clone());
        assert!(keys.contains(&twin.key(&TokenDigest::of("a.b.c")).0));
    }

    #[test]
    fn no_room_is_no_cache() {
        assert!(TokenCache::of(&spec(0)).is_none());
        let mut ageless = spec(1);
        ageless.cache.max_age = Duration::ZERO;
        assert!(TokenCache::of(&ageless).is_none());
    }
}
