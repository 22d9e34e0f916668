//! Tokens that were found valid, for a while: bounded in bytes, and judged again on every hit.
//!
//! Only valid tokens are kept, so a flood of bad ones displaces nothing. An entry is never used at or after the token's
//! `exp`, nor beyond the configured age, nor once the key that verified it would no longer do so. A clock that was
//! set back makes entries from its future unusable. Nothing is timed: what has expired is dropped when it is asked for, or
//! displaced by what came later.
//!
//! Tokens that their issuer was asked about are kept here, too, with or without a key, for as long as its answer may be
//! used. Where the configuration lets answers serve on in an outage they stay for that long, and are only found by who
//! asks for stale ones.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::digest::{self, Context, SHA256};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};

use super::claims;
use super::keys::KeySet;
use super::spec::IssuerSpec;
use super::verified::Verified;
use crate::clock::Timestamp;
use crate::core::trail::TokenId;

/// A request that looked at its clock this long before another one did may find what that one left behind. Beyond it, the
/// clock was set back.
pub(super) const EARLIER: Duration = Duration::from_millis(500);

/// One issuer's cache.
#[derive(Debug)]
pub(super) struct TokenCache {
    entries: Cache<Key, Entry, Weight, DefaultHashBuilder, Displaced>,
    max_bytes: u64,
    displaced: Displaced,
    /// For tokens that are verified by their signature.
    max_age: Duration,
    /// For those that their issuer was asked about: fresh, and stale beyond that.
    answers: (Duration, Duration),
    leeway: Duration,
}

/// How full a cache is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheStatus {
    /// What it holds, expired entries included that nobody has asked for since.
    pub entries: u64,
    /// What they take.
    pub bytes: u64,
    /// What they may take.
    pub max_bytes: u64,
    /// Entries that gave way to others since it was made.
    pub evictions: u64,
}

/// A digest of everything that an issuer's configuration says.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConfigDigest([u8; 32]);

/// Names a token under one configuration: SHA-256 over the whole token, xored with the digest of everything that the
/// configuration says. Under one configuration two tokens share a key only where SHA-256 collides. Under two they share
/// one where the digests of two tokens differ in just what the configurations do, which is as hard to come by; and each
/// configuration has a cache of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

/// SHA-256 over a whole token.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenDigest([u8; 32]);

impl TokenDigest {
    pub(super) fn of(token: &str) -> Self {
        Self(bytes(&digest::digest(&SHA256, token.as_bytes())))
    }

    /// The name under which an audit log knows it.
    pub(super) fn id(&self) -> TokenId {
        let (half, _) = self.0.split_at(16);
        TokenId(half.iter().fold(0, |all, byte| all << 8 | u128::from(*byte)))
    }

    /// A name for it that no configuration has a part in.
    pub(super) fn alone(self) -> Key {
        Key(self.0)
    }
}

#[derive(Clone, Debug)]
struct Entry {
    verified: Verified,
    validated_at: Timestamp,
}

impl ConfigDigest {
    pub(super) fn of(spec: &IssuerSpec) -> Self {
        Self(digest(spec))
    }

    pub(super) fn key(&self, token: &TokenDigest) -> Key {
        let mut key = token.0;
        key.iter_mut().zip(self.0).for_each(|(byte, of_config)| *byte ^= of_config);
        Key(key)
    }
}

impl TokenCache {
    /// `None` where the configuration gives it no room or no time.
    pub(super) fn of(spec: &IssuerSpec) -> Option<Self> {
        if spec.cache.max_bytes == 0 || spec.cache.max_age.is_zero() {
            return None;
        }
        let room = usize::try_from(spec.cache.max_bytes / USUAL_BYTES).unwrap_or(usize::MAX).min(MOST_RESERVED);
        let options = OptionsBuilder::new()
            .weight_capacity(spec.cache.max_bytes)
            .estimated_items_capacity(room)
            // Tokens come into use, and expire: what was used often is no promise. Nothing is remembered of what went.
            .hot_allocation(0.5)
            .ghost_allocation(0.0)
            .build()
            .ok()?;
        let displaced = Displaced::default();
        let entries = Cache::with_options(options, Weight, DefaultHashBuilder::default(), displaced.clone());
        // Tables that grow copy themselves while requests wait. What is reserved takes no memory before it is used.
        entries.reserve(room);
        let max_age = spec.cache.max_age;
        let answers = spec.introspection.as_ref().map(|how| (how.active_for.min(max_age), how.stale_for));
        let max_bytes = spec.cache.max_bytes;
        Some(Self { entries, max_bytes, displaced, max_age, answers: answers.unwrap_or_default(), leeway: spec.leeway })
    }

    /// The valid token with this digest, if it is known and as good as if it were validated now. Without `keys`, only
    /// one that none was needed for.
    pub(super) fn find(&self, key: &Key, keys: Option<&KeySet>, now: Timestamp) -> Option<Verified> {
        let entry = self.usable(key, keys, now)?;
        (now.since(entry.validated_at) < self.times_of(&entry.verified).0).then_some(entry.verified)
    }

    /// As [`TokenCache::find`], also where the issuer's answer is older than it may be, within the time for which the
    /// configuration lets it serve all the same.
    pub(super) fn find_stale(&self, key: &Key, keys: Option<&KeySet>, now: Timestamp) -> Option<Verified> {
        self.usable(key, keys, now).map(|entry| entry.verified)
    }

    fn usable(&self, key: &Key, keys: Option<&KeySet>, now: Timestamp) -> Option<Entry> {
        let entry = self.entries.get(key)?;
        let verified = &entry.verified;
        let signed = match (verified.key(), keys) {
            (None, _) => true,
            (Some(used), Some(keys)) => used.is_in(keys),
            // No keys at the moment: they may come back.
            (Some(_), None) => return None,
        };
        let (fresh_for, stale_for) = self.times_of(verified);
        let usable = signed
            && entry.validated_at <= now.saturating_add(EARLIER)
            && now.since(entry.validated_at) < fresh_for.saturating_add(stale_for)
            && verified.expires_at().is_none_or(|exp| now < exp)
            && claims::is_begun(verified.not_before(), now, self.leeway);
        if !usable {
            self.forget(key);
            return None;
        }
        Some(entry)
    }

    /// For how long a token of this kind is used, and for how long beyond that in an outage.
    fn times_of(&self, verified: &Verified) -> (Duration, Duration) {
        if verified.is_introspected() { self.answers } else { (self.max_age, Duration::ZERO) }
    }

    /// Keeps a token that was valid at `now`.
    pub(super) fn keep(&self, key: Key, verified: &Verified, now: Timestamp) {
        let (fresh_for, stale_for) = self.times_of(verified);
        let is_over = verified.expires_at().is_some_and(|exp| exp <= now);
        if is_over || fresh_for.saturating_add(stale_for).is_zero() {
            self.forget(&key);
            return;
        }
        self.entries.insert(key, Entry { verified: verified.clone(), validated_at: now });
    }

    /// Drops a token that is no longer good.
    pub(super) fn forget(&self, key: &Key) {
        self.entries.remove(key);
    }

    /// How full it is.
    pub(super) fn status(&self) -> CacheStatus {
        CacheStatus {
            entries: u64::try_from(self.entries.len()).unwrap_or(u64::MAX),
            bytes: self.entries.weight(),
            max_bytes: self.max_bytes,
            evictions: self.displaced.count.load(Ordering::Relaxed),
        }
    }

    #[cfg(test)]
    fn settle(&self) -> (u64, u64) {
        (self.entries.len() as u64, self.entries.weight())
    }
}

/// Counts entries that give way to others, and does with them what the cache does by itself.
#[derive(Clone, Debug, Default)]
struct Displaced {
    count: Arc<AtomicU64>,
    usual: DefaultLifecycle<Key, Entry>,
}

impl Lifecycle<Key, Entry> for Displaced {
    type RequestState = <DefaultLifecycle<Key, Entry> as Lifecycle<Key, Entry>>::RequestState;

    fn begin_request(&self) -> Self::RequestState {
        self.usual.begin_request()
    }

    fn on_evict(&self, state: &mut Self::RequestState, key: Key, entry: Entry) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.usual.on_evict(state, key, entry);
    }
}

/// What an entry takes in all.
#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Key, Entry> for Weight {
    fn weight(&self, _: &Key, entry: &Entry) -> u64 {
        u64::try_from(TABLE_BYTES + entry.verified.heap_bytes()).unwrap_or(u64::MAX)
    }
}

/// What the cache's own tables take for an entry: itself, its state and links, and its place in the index.
const TABLE_BYTES: usize = size_of::<(Key, Entry)>() + 24;

/// What an entry for a service's token takes. The cache's tables are made for so many.
const USUAL_BYTES: u64 = 512;

/// Most entries that the tables are made for at first: 128 MiB of addresses.
const MOST_RESERVED: usize = 1 << 20;

/// A digest of everything in a spec. Claim paths print alike where one name holds a dot, so they are hashed as well.
fn digest(spec: &IssuerSpec) -> [u8; 32] {
    let mut hasher = Sha256Hasher(Context::new(&SHA256));
    hasher.write(format!("{spec:?}").as_bytes());
    let mapping = &spec.claims;
    mapping.subject.hash(&mut hasher);
    mapping.audience.hash(&mut hasher);
    (&mapping.client, &mapping.scopes, &mapping.roles).hash(&mut hasher);
    (&mapping.service, &mapping.tenant, &mapping.extra).hash(&mut hasher);
    bytes(&hasher.0.finish())
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

fn bytes(digest: &digest::Digest) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::*;
    use crate::authn::jwt;
    use crate::authn::spec::{
        Algorithm, ClaimMapping, CredentialSource, IssuerClaim, KeySource, TokenCacheSpec, TokenFormat,
    };
    use crate::core::principal::{ClaimPath, KeptClaims};

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
            kept: KeptClaims::All,
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

    /// However often they were used.
    #[test]
    fn tokens_that_are_gone_make_room_for_those_that_come() {
        let (spec, mint) = (IssuerSpec { kept: KeptClaims::only([]), ..spec(256 << 10) }, Mint::new());
        let (cache, keys, config) = (TokenCache::of(&spec).unwrap(), mint.keys("k"), ConfigDigest::of(&spec));
        let round = |ids: std::ops::Range<u32>, now: Timestamp| {
            let token = |id: u32| mint.token(&json!({ "exp": NOW + 3600, "sub": format!("service-{id}") }));
            let hits = ids.map(|id| {
                let token = token(id);
                let key = config.key(&TokenDigest::of(&token));
                let known = cache.find(&key, Some(&keys), now).is_some();
                if !known {
                    cache.keep(key, &jwt::validate(&spec, &keys, &token, now).unwrap(), now);
                }
                usize::from(known)
            });
            hits.sum::<usize>()
        };
        for _ in 0..6 {
            round(0..600, at(0));
        }
        assert!(round(0..600, at(0)) > 500);
        // Ten minutes on nobody sends those any more.
        for _ in 0..4 {
            round(1000..1400, at(600));
        }
        let hits = round(1000..1400, at(600));
        assert!(hits > 380, "{hits}");
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
