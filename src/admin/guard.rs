//! Who may ask for what on the control listener.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{AppendHeaders, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::secret::Secret;

/// Where the browser says whether a page made it ask, and whose.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What may be read without the token.
const OPEN: [&str; 2] = ["/status", "/log-level"];

/// Stands before every route and before what is no route.
pub(super) async fn guard(State(token): State<Arc<Secret>>, request: Request, next: Next) -> Response {
    // A web page can make a browser on this machine send requests here, and can give loopback a name of its own
    // (DNS rebinding). Neither gets as far as the token.
    if request.headers().contains_key(ORIGIN) || is_from_a_page(request.headers()) {
        return (StatusCode::FORBIDDEN, "requests from web pages are refused\n").into_response();
    }
    if !names_this_host(&request) {
        return (StatusCode::FORBIDDEN, "ask for `localhost` or a loopback address\n").into_response();
    }
    let reads = request.method() == Method::GET || request.method() == Method::HEAD;
    let open = reads && OPEN.contains(&request.uri().path());
    // One that is sent has to be right, even where none is needed.
    let needed = !open || request.headers().contains_key(AUTHORIZATION);
    if needed && !holds_token(request.headers(), &token) {
        // A browser asks for a name and a password at the second.
        let challenges = AppendHeaders([
            (WWW_AUTHENTICATE, "Bearer realm=\"tollgate control\""),
            (WWW_AUTHENTICATE, "Basic realm=\"tollgate control\", charset=\"UTF-8\""),
        ]);
        return (StatusCode::UNAUTHORIZED, challenges, "the control token is required\n").into_response();
    }
    next.run(request).await
}

/// Whether a browser says that a page of somebody else made it ask. Who types an address, and our own page, may.
fn is_from_a_page(headers: &HeaderMap) -> bool {
    headers.get_all(SEC_FETCH_SITE).iter().any(|site| site != "none" && site != "same-origin")
}

/// Whether every name that the request gives its server is loopback's, and there is exactly one `Host`.
fn names_this_host(request: &Request) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let host = Authority::try_from(host.as_bytes()).ok();
    host.as_ref().is_some_and(is_loopback) && request.uri().authority().is_none_or(is_loopback)
}

fn is_loopback(authority: &Authority) -> bool {
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let user = authority.as_str().contains('@');
    !user && (host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()))
}

/// Whether there is exactly one credential and it is the token, compared in constant time.
fn holds_token(headers: &HeaderMap, token: &Secret) -> bool {
    let mut credentials = headers.get_all(AUTHORIZATION).iter();
    let (Some(credential), None) = (credentials.next(), credentials.next()) else { return false };
    let Some((scheme, presented)) = credential.to_str().ok().and_then(|text| text.split_once(' ')) else {
        return false;
    };
    let presented = if scheme.eq_ignore_ascii_case("bearer") {
        presented.to_owned()
    } else if scheme.eq_ignore_ascii_case("basic") {
        // RFC 7617, for browsers: the token is the password, whatever the name.
        let decoded = STANDARD.decode(presented).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        decoded.and_then(|pair| Some(pair.split_once(':')?.1.to_owned())).unwrap_or_default()
    } else {
        return false;
    };
    !presented.is_empty() && Secret::new(presented) == *token
}
