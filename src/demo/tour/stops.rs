//! The stops of the tour, as data.

use http::Method;
use serde_json::json;

use super::super::DemoError;
use super::super::client::{Call, Protocol};
use super::super::issuer::{CLIENTS, DevIssuer};
use super::super::passport::Passport;
use crate::clock::{Clock, SystemClock};

/// One request, and what must come of it.
pub(super) struct Stop {
    pub(super) what: &'static str,
    pub(super) call: Call,
    pub(super) expected: Expected,
}

/// What must come of a request.
pub(super) struct Expected {
    pub(super) status: u16,
    pub(super) reason: &'static str,
    pub(super) grpc_status: Option<&'static str>,
    /// The identity headers that the service must see, and no others; `None` where it must not see the request.
    pub(super) saw: Option<Vec<(&'static str, &'static str)>>,
}

/// Tokens for the tour.
#[derive(Debug)]
pub(in super::super) struct Tokens {
    /// Of `demo-orders`: tenant `acme`, every scope.
    pub(in super::super) orders: String,
    /// Of `demo-reports`: tenant `globex`, may read.
    pub(in super::super) reports: String,
    /// Of `demo-billing`, for another audience.
    billing: String,
    expired: String,
    /// Of client 5 at Passport, with every scope there is.
    pub(in super::super) passport: String,
}

impl Tokens {
    /// Has tokens made.
    ///
    /// # Errors
    /// Where signing fails.
    pub(in super::super) fn new(issuer: &DevIssuer, passport: &Passport) -> Result<Self, DemoError> {
        let [orders, reports, billing] = &CLIENTS;
        let mut expired = issuer.claims(orders);
        let now = SystemClock.now();
        if let Some(claims) = expired.as_object_mut() {
            let then = now.as_unix_seconds() - 3600;
            for (name, time) in [("iat", then), ("nbf", then), ("exp", then + 900)] {
                claims.insert(name.to_owned(), json!(time));
            }
        }
        Ok(Self {
            orders: issuer.token(orders)?,
            reports: issuer.sign_es256(&issuer.claims(reports))?,
            billing: issuer.token(billing)?,
            expired: issuer.sign(&expired)?,
            passport: passport.token("5", &["*"], now, 900)?,
        })
    }
}

/// The host that the tour asks for.
const HOST: &str = "shop.example";

pub(super) fn stops(tokens: &Tokens) -> Vec<Stop> {
    let get = |path: &str| Call::get(HOST, path);
    let stop = |what, call, status, reason, saw: Option<&[(&'static str, &'static str)]>| Stop {
        what,
        call,
        expected: Expected { status, reason, grpc_status: None, saw: saw.map(<[_]>::to_vec) },
    };
    let grpc = |what, call, grpc_status, reason, saw: Option<&[(&'static str, &'static str)]>| Stop {
        what,
        call,
        expected: Expected { status: 200, reason, grpc_status: Some(grpc_status), saw: saw.map(<[_]>::to_vec) },
    };
    let orders: &[(&str, &str)] = &[
        ("x-service-name", "order-service"),
        ("x-service-scopes", "read:orders write:orders write:payments"),
        ("x-tenant", "acme"),
    ];
    let reports: &[(&str, &str)] =
        &[("x-service-name", "report-service"), ("x-service-scopes", "read:orders"), ("x-tenant", "globex")];
    let charge = "/shop.v1.Payments/Charge";
    let acme = "/orgs/acme/orders/17";
    vec![
        stop("allowed", get("/orders/17").bearer(&tokens.orders), 200, "allowed", Some(orders)),
        stop(
            "allowed over HTTP/2, ES256",
            get("/orders/17").protocol(Protocol::Http2).bearer(&tokens.reports),
            200,
            "allowed",
            Some(reports),
        ),
        stop("no token", get("/orders/17"), 401, "missing_token", None),
        stop("wrong audience", get("/orders/17").bearer(&tokens.billing), 401, "wrong_audience", None),
        stop(
            "missing scope",
            get("/orders").method(Method::POST).bearer(&tokens.reports),
            403,
            "insufficient_scope",
            None,
        ),
        stop(
            "forged x-service-name: admin",
            get("/orders/17").bearer(&tokens.reports).header("x-service-name", "admin").header("x-user-id", "root"),
            200,
            "allowed",
            Some(reports),
        ),
        stop(
            "the same without a token",
            get("/public/catalogue").header("x-service-name", "admin"),
            200,
            "allowed_anonymous",
            Some(&[]),
        ),
        stop("expired", get("/orders/17").bearer(&tokens.expired), 401, "token_expired", None),
        stop("anonymous health", get("/healthz"), 200, "allowed_anonymous", Some(&[])),
        grpc("gRPC call", Call::grpc(HOST, charge).bearer(&tokens.orders), "0", "allowed", Some(orders)),
        grpc("gRPC call denied", Call::grpc(HOST, charge).bearer(&tokens.reports), "7", "insufficient_scope", None),
        stop("own tenant's path", get(acme).bearer(&tokens.orders), 200, "allowed", Some(orders)),
        stop("another tenant's path", get(acme).bearer(&tokens.reports), 403, "claim_mismatch", None),
        stop(
            "Passport token, no iss, no kid",
            get("/doctors/api/some-data").bearer(&tokens.passport),
            200,
            "allowed",
            Some(&[("x-service-name", "5")]),
        ),
        stop("a rule that denies", get("/admin/users").bearer(&tokens.orders), 403, "denied_by_rule", None),
    ]
}
