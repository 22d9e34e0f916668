//! An issuer, its keys and a time to hold tokens against.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tollgate::authn::AuthnError;
use tollgate::authn::jwt::{self, Verified};
use tollgate::authn::keys::KeySet;
use tollgate::authn::spec::{
    Algorithm, ClaimMapping, CredentialSource, IssuerClaim, IssuerSpec, KeySource, TokenCacheSpec,
};
use tollgate::clock::Timestamp;
use tollgate::core::caller::Caller;
use tollgate::core::principal::{ClaimPath, Principal};
use tollgate::core::reason::Reason;

use crate::support::mint::Signer;

/// Now, in seconds.
pub(crate) const NOW: i64 = 1_800_000_000;
/// What good tokens say in `iss`.
pub(crate) const ISSUER: &str = "https://issuer.example/realms/shop";
/// What good tokens say in `kid`.
pub(crate) const KID: &str = "key-1";

pub(crate) struct Bench {
    pub(crate) spec: IssuerSpec,
    pub(crate) keys: KeySet,
    pub(crate) signer: Signer,
}

impl Bench {
    /// Trusts this signer's key under [`KID`], and every algorithm there is.
    pub(crate) fn new(signer: Signer) -> Self {
        Self { spec: spec(), keys: key_set(&[signer.jwk(KID)]), signer }
    }

    /// With the fastest signer.
    pub(crate) fn quick() -> Self {
        Self::new(Signer::ed25519())
    }

    /// A token of good header and these claims.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.signer.sign(&self.signer.header(KID), claims)
    }

    /// A token of this header and good claims.
    pub(crate) fn with_header(&self, header: &Value) -> String {
        self.signer.sign(header, &good_claims())
    }

    pub(crate) fn validate(&self, token: &str) -> Result<Verified, AuthnError> {
        self.validate_at(token, Timestamp::from_unix_seconds(NOW))
    }

    pub(crate) fn validate_at(&self, token: &str, now: Timestamp) -> Result<Verified, AuthnError> {
        jwt::validate(&self.spec, &self.keys, token, now)
    }

    /// The principal of a token that must be good.
    #[track_caller]
    pub(crate) fn accepted(&self, token: &str) -> Arc<Principal> {
        let verified = self.validate(token).unwrap_or_else(|error| panic!("refused: {error}"));
        verified.prove(&Caller::new("", "")).unwrap_or_else(|error| panic!("refused: {error}"))
    }

    /// A token that must be refused for one of these reasons, with 401.
    #[track_caller]
    pub(crate) fn refused(&self, token: &str, reasons: &[Reason]) {
        match self.validate(token).and_then(|verified| verified.prove(&Caller::new("", ""))) {
            Ok(_) => panic!("accepted: {token}"),
            Err(error) => {
                assert!(reasons.contains(&error.reason), "wanted {reasons:?}, saw {error}; {token}");
                assert_eq!(error.reason.http_status(), 401, "{error}");
                assert!(token.len() < 20 || !error.detail.contains(token), "the detail repeats the token");
            }
        }
    }

    /// Claims that must be refused for this reason.
    #[track_caller]
    pub(crate) fn claims_refused(&self, claims: &Value, reason: Reason) {
        self.refused(&self.token(claims), &[reason]);
    }
}

/// Claims that every check likes.
pub(crate) fn good_claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "user-1", "aud": "orders", "client_id": "shop-web", "scope": "orders:read orders:write",
        "iat": NOW - 10, "exp": NOW + 300, "jti": "t-1",
    })
}

/// Good claims with these on top; `null` removes one.
pub(crate) fn claims_with(changes: &Value) -> Value {
    let mut claims = good_claims();
    let members = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    claims
}

pub(crate) fn key_set(jwks: &[Value]) -> KeySet {
    KeySet::from_jwks(json!({ "keys": jwks }).to_string().as_bytes()).unwrap().set
}

/// An issuer with a leeway of 30 seconds, whose keys have ids.
pub(crate) fn spec() -> IssuerSpec {
    let path = |text: &str| ClaimPath::dotted(text).unwrap();
    IssuerSpec {
        name: "shop".into(),
        tokens: tollgate::authn::spec::TokenFormat::Jwt,
        introspection: None,
        provider: None,
        ready_without_keys: false,
        issuer: IssuerClaim::Exact(ISSUER.into()),
        keys: KeySource::JwksFile(PathBuf::from("jwks.json")),
        algorithms: Algorithm::ALL.to_vec(),
        kid_optional: false,
        times_in_strings: false,
        leeway: Duration::from_secs(30),
        max_lifetime: None,
        rfc9068: false,
        claims: ClaimMapping {
            subject: path("sub"),
            client: vec![path("client_id"), path("azp")],
            scopes: vec![path("scope"), path("scp"), path("scopes")],
            roles: vec![path("realm_access.roles")],
            service: None,
            tenant: None,
            extra: Vec::new(),
            audience: path("aud"),
        },
        wildcard_scope: None,
        credential: CredentialSource::Authorization,
        max_token_bytes: 8192,
        cache: TokenCacheSpec { max_age: Duration::from_secs(300), max_bytes: 1 << 20 },
    }
}
