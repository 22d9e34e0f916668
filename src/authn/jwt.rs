//! Validation of a signed token (RFC 7519 §7.2, RFC 8725): a pure function of the issuer's configuration, its keys, the
//! token and the time.
//!
//! It runs in three stages, each a type that only the one before it makes: [`Token`] is decoded, [`Checked`] passed
//! everything that needs no key (so that a hopeless token never causes a fetch), [`Signed`] is signed by the issuer. That
//! becomes [`Verified`] as it is, or together with what the issuer says of it (module `introspection`). A principal
//! comes out of the last alone, and only against proof of possession where the token asks for one.

use serde_json::{Map, Value};

use super::claims::{self, Claims, Validity};
use super::error::{AuthnError, shown};
use super::jose::{Compact, Header};
use super::json;
use super::keys::KeySet;
pub use super::keys::UsedKey;
use super::mapping;
use super::spec::{Algorithm, IssuerClaim, IssuerSpec, KeySource};
use super::trace::{Check, Failure, Trace, Unwatched, lazily};
pub use super::verified::{Signed, Verified};
use crate::clock::Timestamp;
use crate::core::caller::Thumbprint;
use crate::core::reason::Reason;

/// Validates a token as one of this issuer's, by what it says itself.
///
/// # Errors
/// The first check that it does not pass.
pub fn validate(spec: &IssuerSpec, keys: &KeySet, token: &str, now: Timestamp) -> Result<Verified, AuthnError> {
    let trace = &mut Unwatched;
    let token = Token::decode(token, spec.max_token_bytes, trace)?;
    Ok(Checked::check(spec, token, now, trace)?.verify(keys, trace)?.alone(spec, &mapping::origin(spec))?)
}

/// A token that could be read. Nothing in it is verified.
#[derive(Debug)]
pub struct Token<'t> {
    bytes: usize,
    compact: Compact<'t>,
    header: Header,
    claims: Claims,
}

impl<'t> Token<'t> {
    /// Reads a token of at most `max_bytes`.
    ///
    /// # Errors
    /// One that is too long, not in compact form, or whose header or claims are not acceptable JSON objects.
    pub fn decode(token: &'t str, max_bytes: usize, trace: &mut dyn Trace) -> Result<Self, Failure> {
        let bytes = token.len();
        check_size(bytes, max_bytes)?;
        trace.passed(Check::Size, format_args!("{bytes} bytes, the maximum is {max_bytes}"));
        let compact = Compact::parse(token)?;
        trace.passed(Check::Form, format_args!("three parts of base64url"));
        let header = Header::parse(&compact.header)?;
        trace.passed(Check::Header, format_args!("{} members", header.members.len()));
        let claims = json::parse_object(&compact.payload)
            .map_err(|error| Check::Payload.fails(Reason::TokenMalformed, format!("the payload: {error}")))?;
        trace.passed(Check::Payload, format_args!("{} claims", claims.len()));
        Ok(Self { bytes, compact, header, claims })
    }

    /// The JOSE header, unverified: for people.
    pub fn header(&self) -> &Map<String, Value> {
        &self.header.members
    }

    /// The claims, unverified: for people.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// `iss`, unverified: good for choosing the issuer whose keys must have signed the token.
    ///
    /// # Errors
    /// An `iss` that is not a text.
    pub fn issuer(&self) -> Result<Option<&str>, Failure> {
        claims::issuer(&self.claims)
    }
}

fn check_size(bytes: usize, max_bytes: usize) -> Result<(), Failure> {
    if bytes > max_bytes {
        let detail = format!("the token has {bytes} bytes, the maximum is {max_bytes}");
        return Err(Check::Size.fails(Reason::TokenTooLarge, detail));
    }
    Ok(())
}

/// A token whose every check that needs no key was passed.
#[derive(Debug)]
pub struct Checked<'t> {
    token: Token<'t>,
    /// Whether keys are found by the token's `kid`.
    has_ids: bool,
    algorithm: Algorithm,
    validity: Validity,
    bound_to: Option<Thumbprint>,
}

impl<'t> Checked<'t> {
    /// Runs the checks that need no key.
    ///
    /// # Errors
    /// The first check that the token does not pass.
    pub fn check(spec: &IssuerSpec, token: Token<'t>, now: Timestamp, trace: &mut dyn Trace) -> Result<Self, Failure> {
        check_size(token.bytes, spec.max_token_bytes)?;
        let claims = &token.claims;
        let iss = token.issuer()?;
        if !claims::is_of(&spec.issuer, iss) {
            return Err(unclaimed(std::iter::once(&spec.issuer), iss));
        }
        trace.passed(Check::Issuer, format_args!("{}", lazily(|| iss.map_or_else(|| "no `iss`".to_owned(), shown))));
        let algorithm = algorithm(spec, &token.header)?;
        trace.passed(Check::Algorithm, format_args!("`{}`", algorithm.as_str()));
        let kid = token.header.kid();
        if kid.is_none() && !spec.kid_optional && !is_pem(spec) {
            return Err(
                Check::KeyId.fails(Reason::UnknownKey, "there is no `kid`, which this issuer's tokens must have")
            );
        }
        trace.passed(Check::KeyId, format_args!("{}", lazily(|| kid.map_or_else(|| "no `kid`".to_owned(), shown))));
        let (validity, bound_to) = check_claims(spec, Some(&token.header), claims, now, trace)?;
        Ok(Self { token, has_ids: !is_pem(spec), algorithm, validity, bound_to })
    }

    /// The same apart from the request that carried it.
    pub(super) fn into_owned(self) -> Checked<'static> {
        let Self { token: Token { bytes, compact, header, claims }, has_ids, algorithm, validity, bound_to } = self;
        let Compact { header: raw_header, payload, signature, signed } = compact;
        let compact = Compact { header: raw_header, payload, signature, signed: signed.into_owned().into() };
        Checked { token: Token { bytes, compact, header, claims }, has_ids, algorithm, validity, bound_to }
    }

    /// The token's `kid`, where these keys do not know it and newer ones might.
    pub fn unknown_kid(&self, keys: &KeySet) -> Option<&str> {
        self.lookup_id().filter(|kid| !keys.has_kid(kid))
    }

    /// Whether these keys hold one to verify it with.
    pub fn has_key_in(&self, keys: &KeySet) -> bool {
        keys.candidates(self.lookup_id(), self.algorithm).next().is_some()
    }

    /// Verifies the signature.
    ///
    /// # Errors
    /// No key fits, or none that does made the signature.
    pub fn verify(self, keys: &KeySet, trace: &mut dyn Trace) -> Result<Signed, Failure> {
        let kid = self.lookup_id();
        let (mut tried, mut made_by) = (0_usize, None);
        for key in keys.candidates(kid, self.algorithm) {
            tried += 1;
            if key.verify(self.algorithm, &self.token.compact.signed, &self.token.compact.signature) {
                made_by = key.used(self.algorithm, kid.is_some());
                break;
            }
        }
        if tried == 0 {
            return Err(self.no_key(kid, keys));
        }
        trace.passed(Check::Key, format_args!("{tried} of {} keys tried", keys.len()));
        let Some(key) = made_by else {
            let detail = format!("none of the {tried} keys that fit made this signature");
            return Err(Check::Signature.fails(Reason::TokenSignature, detail));
        };
        trace.passed(Check::Signature, format_args!("`{}`", self.algorithm.as_str()));
        Ok(Signed { claims: self.token.claims, validity: self.validity, bound_to: self.bound_to, key })
    }

    /// The id to look for. Keys from PEM files have none, whatever the token says.
    fn lookup_id(&self) -> Option<&str> {
        if self.has_ids { self.token.header.kid() } else { None }
    }

    fn no_key(&self, kid: Option<&str>, keys: &KeySet) -> Failure {
        let algorithm = self.algorithm.as_str();
        match kid {
            Some(kid) if keys.has_kid(kid) => {
                let detail = format!("no usable key with the id {} is for `{algorithm}`", shown(kid));
                Check::Key.fails(Reason::TokenAlgorithm, detail)
            }
            Some(kid) => {
                let detail = format!("no key has the id {} (keys: {})", shown(kid), keys.len());
                Check::Key.fails(Reason::UnknownKey, detail)
            }
            None => {
                let detail = format!("none of the {} keys is for `{algorithm}`, or more than are tried", keys.len());
                Check::Key.fails(Reason::UnknownKey, detail)
            }
        }
    }
}

/// The checks of a JWT's claims, in their order; of its header's, that of the type, where there is a header.
pub(super) fn check_claims(
    spec: &IssuerSpec,
    header: Option<&Header>,
    claims: &Claims,
    now: Timestamp,
    trace: &mut dyn Trace,
) -> Result<(Validity, Option<Thumbprint>), Failure> {
    let validity = claims::check_times(spec, claims, now, claims::Expiry::Required, trace)?;
    if let Some(header) = header {
        header.check_type(spec.rfc9068)?;
    }
    claims::check_kind(claims)?;
    let typ = header.and_then(|header| header.text("typ"));
    trace.passed(Check::Type, format_args!("{}", lazily(|| typ.map_or_else(|| "no `typ`".into(), shown))));
    claims::check_types(spec, claims)?;
    if header.is_none() || !spec.introspects_jwts() {
        // What is not there may come with the answer.
        claims::check_profile(spec, claims)?;
    }
    trace.passed(Check::Claims, format_args!("`sub` and the audience have their types"));
    Ok((validity, claims::binding(claims, trace)?))
}

fn is_pem(spec: &IssuerSpec) -> bool {
    matches!(spec.keys, KeySource::Pem(_))
}

fn algorithm(spec: &IssuerSpec, header: &Header) -> Result<Algorithm, Failure> {
    let seen = header.alg();
    let accepted = seen.and_then(Algorithm::parse).filter(|algorithm| spec.algorithms.contains(algorithm));
    accepted.ok_or_else(|| {
        let wanted: Vec<&str> = spec.algorithms.iter().map(|algorithm| algorithm.as_str()).collect();
        let seen = seen.map_or_else(|| "not a text".to_owned(), shown);
        Check::Algorithm.fails(Reason::TokenAlgorithm, format!("`alg` is {seen}, wanted one of {}", wanted.join(", ")))
    })
}

/// A token that none of these issuers claims.
pub(super) fn unclaimed<'c>(wanted: impl Iterator<Item = &'c IssuerClaim>, iss: Option<&str>) -> Failure {
    let seen = iss.map_or_else(|| "there is no `iss`".to_owned(), |iss| format!("`iss` is {}", shown(iss)));
    let wanted: Vec<String> = wanted
        .map(|claim| match claim {
            IssuerClaim::Exact(want) => shown(want),
            IssuerClaim::Absent => "none".to_owned(),
        })
        .collect();
    Check::Issuer.fails(Reason::UnknownIssuer, format!("{seen}, wanted {}", wanted.join(" or ")))
}
