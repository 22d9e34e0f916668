//! Why a request was allowed or refused: a closed set of stable codes.
//!
//! A code is an API. It is the only reason label in metrics, logs, dynamic metadata and denial bodies; it is
//! never renamed, and it says whose fault a denial is. This is the one place that maps an outcome to an HTTP
//! status, a `google.rpc.Code` and an RFC 6750 error.

use std::fmt;

/// Who has to act on a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Nobody: the request was allowed.
    None,
    /// The caller sent something that does not entitle it to what it asked for.
    Caller,
    /// An identity provider could not be asked, or answered nonsense.
    Provider,
    /// The operator's configuration, or the mesh that feeds the gate, is at fault.
    Operator,
    /// Tollgate itself: a defect, or more load than it was given room for.
    Gate,
}

impl Fault {
    /// The label value used in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Caller => "caller",
            Self::Provider => "provider",
            Self::Operator => "operator",
            Self::Gate => "gate",
        }
    }
}

/// The `error` attribute of an RFC 6750 §3 challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BearerError {
    /// A challenge without an `error`: no bearer token was sent (RFC 6750 §3.1, last paragraph).
    Bare,
    /// `invalid_request`, 400.
    InvalidRequest,
    /// `invalid_token`, 401.
    InvalidToken,
    /// `insufficient_scope`, 403.
    InsufficientScope,
}

/// The `google.rpc.Code` of `CheckResponse.status`. Envoy only tells zero from non-zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum RpcCode {
    /// Allowed.
    Ok = 0,
    /// Denied with HTTP 400.
    InvalidArgument = 3,
    /// Denied with HTTP 403.
    PermissionDenied = 7,
    /// Denied with HTTP 500.
    Internal = 13,
    /// Denied with HTTP 503.
    Unavailable = 14,
    /// Denied with HTTP 401.
    Unauthenticated = 16,
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $fault:ident, $status:literal, $bearer:expr, $say:literal;)+) => {
        /// Why a request was allowed or refused. See the [module](self) for what each part means.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)+ }

        impl Reason {
            /// Every reason there is, in the order of the documentation.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)+];

            /// The stable code, as in metrics, logs and denial bodies.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// Who has to act.
            pub const fn fault(self) -> Fault {
                match self { $(Self::$name => Fault::$fault,)+ }
            }

            /// The HTTP status that Envoy sends: 200 for a reason that allows.
            pub const fn http_status(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }

            /// The RFC 6750 challenge that goes with a denial, if one does.
            pub const fn bearer_error(self) -> Option<BearerError> {
                match self { $(Self::$name => $bearer,)+ }
            }

            /// One sentence for the caller. It says nothing that the caller did not send or that an
            /// attacker could use: no claim, no key id, no issuer.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $say,)+ }
            }

            /// The reason with this code.
            pub fn from_code(code: &str) -> Option<Self> {
                match code { $($code => Some(Self::$name),)+ _ => None }
            }
        }
    };
}

use BearerError::{Bare, InsufficientScope, InvalidRequest, InvalidToken};

reasons! {
    /// A valid token met every requirement of the rule.
    Allowed = "allowed", None, 200, None, "the request is allowed";
    /// The rule admits requests without a token.
    AllowedAnonymous = "allowed_anonymous", None, 200, None, "the request is allowed without a token";
    /// A CORS preflight on a rule that answers preflights.
    AllowedPreflight = "allowed_preflight", None, 200, None, "the preflight request is allowed";

    /// The Check call lacks a part that every HTTP request has, or holds bytes that are not text.
    MalformedRequest = "malformed_request", Caller, 400, None, "the request is malformed";
    /// The path has more than one reading: encoded slashes, dot segments, empty segments, controls.
    AmbiguousPath = "ambiguous_path", Caller, 400, None, "the path is ambiguous; send its plain form";
    /// The host is missing, malformed, or named differently in two places.
    AmbiguousHost = "ambiguous_host", Caller, 400, None, "the host is missing, malformed or ambiguous";
    /// The credential cannot be read: an empty bearer value, or a token that does not follow after one space.
    MalformedCredential = "malformed_credential", Caller, 400, Some(InvalidRequest), "the credential is malformed";
    /// More than one credential was sent (RFC 6750 §2).
    MultipleCredentials = "multiple_credentials", Caller, 400, Some(InvalidRequest), "more than one credential was sent";

    /// No rule of the table matches the request.
    NoRule = "no_rule", Caller, 403, None, "no rule allows this request";
    /// A `deny` rule matches the request.
    DeniedByRule = "denied_by_rule", Caller, 403, None, "this request is not allowed";

    /// The rule wants a token and none was sent.
    MissingToken = "missing_token", Caller, 401, Some(Bare), "a bearer token is required";
    /// The credential is of a scheme other than `Bearer`.
    UnsupportedScheme = "unsupported_scheme", Caller, 401, Some(Bare), "a bearer token is required";
    /// The token is not a JWT in compact form, or its JSON is not acceptable; and it does not look like an opaque token of
    /// an accepted issuer.
    TokenMalformed = "token_malformed", Caller, 401, Some(InvalidToken), "the token is malformed";
    /// The token is longer than the issuer's limit.
    TokenTooLarge = "token_too_large", Caller, 401, Some(InvalidToken), "the token is too large";
    /// The JOSE header asks for something unsupported: `crit`, `b64`, `zip`, an embedded key, a nested token.
    TokenHeader = "token_header", Caller, 401, Some(InvalidToken), "the token's header is not acceptable";
    /// The token's algorithm is not one that the issuer signs with.
    TokenAlgorithm = "token_algorithm", Caller, 401, Some(InvalidToken), "the token's algorithm is not accepted";
    /// The issuer has no key that this token names.
    UnknownKey = "unknown_key", Caller, 401, Some(InvalidToken), "the token's key is not known";
    /// The signature does not verify.
    TokenSignature = "token_signature", Caller, 401, Some(InvalidToken), "the token's signature is not valid";
    /// None of the issuers that the rule accepts issued this token, or two could have.
    UnknownIssuer = "unknown_issuer", Caller, 401, Some(InvalidToken), "the token's issuer is not accepted here";
    /// The token has expired.
    TokenExpired = "token_expired", Caller, 401, Some(InvalidToken), "the token has expired";
    /// The token is not valid yet (`nbf`).
    TokenNotYetValid = "token_not_yet_valid", Caller, 401, Some(InvalidToken), "the token is not valid yet";
    /// The token says it was issued in the future (`iat`).
    TokenIssuedInFuture = "token_issued_in_future", Caller, 401, Some(InvalidToken), "the token was issued in the future";
    /// The token lives longer than the issuer's configured maximum.
    TokenLifetime = "token_lifetime", Caller, 401, Some(InvalidToken), "the token lives too long";
    /// A registered claim is missing or of the wrong type.
    TokenClaims = "token_claims", Caller, 401, Some(InvalidToken), "the token's claims are not acceptable";
    /// An ID, refresh or log-out token, or one without the RFC 9068 type where that is required.
    TokenType = "token_type", Caller, 401, Some(InvalidToken), "this type of token is not accepted";
    /// The token is bound to a key or certificate whose possession was not shown (`cnf`).
    TokenBinding = "token_binding", Caller, 401, Some(InvalidToken), "the token is bound to another sender";
    /// The issuer says that the token is no longer good, or never was (RFC 7662 §2.2).
    TokenInactive = "token_inactive", Caller, 401, Some(InvalidToken), "the token is not active";
    /// What the issuer's introspection says of the token contradicts what the token says.
    TokenConflict = "token_conflict", Caller, 401, Some(InvalidToken), "the token's claims are not acceptable";
    /// The token is meant for another audience.
    WrongAudience = "wrong_audience", Caller, 401, Some(InvalidToken), "the token is meant for another audience";
    /// The token lacks a claim from which the rule makes a required identity header.
    MissingIdentity = "missing_identity", Caller, 401, Some(InvalidToken), "the token lacks a required claim";

    /// The token lacks a scope.
    InsufficientScope = "insufficient_scope", Caller, 403, Some(InsufficientScope), "the token lacks a required scope";
    /// The token lacks a role.
    InsufficientRole = "insufficient_role", Caller, 403, None, "the token lacks a required role";
    /// A claim does not have the value that the rule wants.
    ClaimMismatch = "claim_mismatch", Caller, 403, None, "the token does not entitle to this resource";
    /// The workload that calls is not one that the rule accepts.
    CallerNotAllowed = "caller_not_allowed", Caller, 403, None, "this caller is not allowed";
    /// A claim cannot be made into a header value.
    IdentityTooLarge = "identity_too_large", Caller, 403, None, "the token's claims do not fit a header";
    /// The token was handed on too often: its chain of actors (RFC 8693 §4.1) is longer than the maximum.
    ActorChain = "actor_chain", Caller, 403, None, "the token was handed on too often";
    /// The provider refuses to exchange this token for one for the next hop: `access_denied`.
    ExchangeDenied = "exchange_denied", Caller, 403, None, "the token may not be used for the next hop";
    /// The provider does not issue this client tokens for the next hop: `invalid_target` (RFC 8693 §2.2.2).
    ExchangeTarget = "exchange_target", Caller, 403, None, "the token may not be used for the next hop";
    /// The provider does not grant the scopes that the next hop needs: `invalid_scope`, or fewer than were asked for.
    ExchangeScope = "exchange_scope", Caller, 403, None, "the token may not be used for the next hop";
    /// A condition met a value it cannot judge (bytes that are not text, a number out of range).
    ConditionError = "condition_error", Caller, 403, None, "this request is not allowed";

    /// The issuer's keys were never fetched, are older than the configured maximum, or did not come in time.
    KeysUnavailable = "keys_unavailable", Provider, 503, None, "tokens cannot be verified at the moment";

    /// The issuer could not be asked whether the token is still good, or answered nonsense, or not in time.
    IntrospectionUnavailable = "introspection_unavailable", Provider, 503, None, "tokens cannot be verified at the moment";
    /// The token for the next hop did not come: the provider is down, slow, or answered nonsense.
    UpstreamTokenUnavailable = "upstream_token_unavailable", Provider, 503, None, "the next hop cannot be called at the moment";

    /// The issuer refuses the gate's own credentials for introspection.
    IntrospectionRefused = "introspection_refused", Operator, 503, None, "tokens cannot be verified at the moment";
    /// The provider refuses the gate's own credentials, or what it was asked for, so that there is no token for the next hop.
    UpstreamTokenRefused = "upstream_token_refused", Operator, 503, None, "the next hop cannot be called at the moment";
    /// A rule needs the peer certificate or its identity, and Envoy does not send it.
    CallerUnknown = "caller_unknown", Operator, 403, None, "this caller is not allowed";

    /// The decision was not ready before the call's deadline.
    DeadlineExceeded = "deadline_exceeded", Gate, 503, None, "no decision in time";
    /// More calls are being decided than the configured maximum.
    Overloaded = "overloaded", Gate, 503, None, "too many requests are being decided";
    /// More tokens that the issuer never called active are sent than it may be asked about.
    IntrospectionLimited = "introspection_limited", Gate, 503, None, "too many unknown tokens are being verified";
    /// Tollgate failed while deciding. The failure is in its log under the decision id.
    InternalError = "internal_error", Gate, 500, None, "no decision could be made";
}

impl Reason {
    /// Whether this reason allows the request.
    pub const fn allows(self) -> bool {
        matches!(self.fault(), Fault::None)
    }

    /// The code of `CheckResponse.status`.
    pub const fn rpc_code(self) -> RpcCode {
        match self.http_status() {
            200 => RpcCode::Ok,
            400 => RpcCode::InvalidArgument,
            401 => RpcCode::Unauthenticated,
            403 => RpcCode::PermissionDenied,
            503 => RpcCode::Unavailable,
            _ => RpcCode::Internal,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_read_back() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
        }
    }

    #[test]
    fn only_reasons_that_allow_have_an_ok_code() {
        for reason in Reason::ALL {
            assert_eq!(reason.allows(), reason.rpc_code() == RpcCode::Ok, "{reason}");
            assert_eq!(reason.allows(), reason.http_status() == 200, "{reason}");
        }
    }

    #[test]
    fn challenges_carry_the_status_that_rfc_6750_gives_them() {
        for reason in Reason::ALL {
            let status = match reason.bearer_error() {
                None => continue,
                Some(Bare | InvalidToken) => 401,
                Some(InvalidRequest) => 400,
                Some(InsufficientScope) => 403,
            };
            assert_eq!(reason.http_status(), status, "{reason}");
        }
    }
}
